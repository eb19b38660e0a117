"""Trajectories side by side in one job: each finds what it finds alone, and keeps its own records and checkpoints."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from scaling.data import Tokens
from scaling.planning import Interrupted
from scaling.records import Job, Observation, RunDirectory, Trajectory, read_json
from scaling.training import job as jobs
from scaling.training.population import population
from scaling.training.stacking import fastest, places, steps_per_second
from tests.conftest import MODEL, trajectory_of

MakeJob = Callable[..., Job]


@pytest.fixture
def mixed(tokens: Tokens) -> tuple[Trajectory, ...]:
    """Five for two or three lanes: of several lengths, and one that diverges."""
    return (
        trajectory_of(tokens, 30, 50),
        trajectory_of(tokens, 45, seed=1),
        trajectory_of(tokens, 60, seed=2, learning_rate=1e4, gradient_clip=1e9, divergence_factor=1.2),
        trajectory_of(tokens, 20, 31, 60, seed=3, learning_rate=1e-2),
        trajectory_of(tokens, 25, seed=4),
    )


def found(job: Job) -> dict[str, list[Observation]]:
    directory = RunDirectory(job.settings.run_dir)
    return {one.id: directory.trajectory(one.id).observations() for one in job.trajectories}


def alike(one: dict[str, list[Observation]], two: dict[str, list[Observation]]) -> None:
    for name, rows in one.items():
        np.testing.assert_allclose([row.loss for row in rows], [row.loss for row in two[name]], atol=1e-5)
        assert [row.horizon for row in rows] == [row.horizon for row in two[name]]


@pytest.mark.full
def test_each_finds_in_company_what_it_finds_alone(
    job_of: MakeJob, mixed: tuple[Trajectory, ...], tmp_path: Path
) -> None:
    alone, together = job_of(*mixed), job_of(*mixed, stack=2, run_dir=str(tmp_path / "together"))
    jobs.run(alone)
    jobs.run(together)
    alike(found(alone), found(together))
    assert sorted(map(len, found(together).values())) == [0, 1, 1, 2, 3]
    for job in (alone, together):
        record = read_json(RunDirectory(job.settings.run_dir).trajectory(mixed[2].id).diverged)
        assert (record["branch"], 0 < record["step"] < 50) == ("trunk", True)


def test_an_interrupted_company_goes_on_from_its_checkpoints_alone(
    job_of: MakeJob, mixed: tuple[Trajectory, ...], tmp_path: Path
) -> None:
    alone, together = job_of(*mixed), job_of(*mixed, stack=2, run_dir=str(tmp_path / "together"))
    jobs.run(alone)
    asked = iter([False] * 8)
    with pytest.raises(Interrupted):
        jobs.run(together, lambda: next(asked, True))
    left = [one.id for one in mixed if not RunDirectory(together.settings.run_dir).trajectory(one.id).root.exists()]
    assert left, "the ones that had no lane yet were not begun"
    jobs.run(together.model_copy(update={"settings": together.settings.model_copy(update={"stack": 1})}))
    alike(found(alone), found(together))
    lines = (RunDirectory(together.settings.run_dir).trajectory(mixed[0].id).metrics).read_text().splitlines()
    steps = [line["step"] for line in map(json.loads, lines) if line["branch"] == "trunk"]
    assert steps == sorted(set(steps)), "no step of the trunk was taken twice"


def test_as_many_at_once_as_were_asked_for_and_are_there() -> None:
    assert [places(asked, 5, 1, {}.get) for asked in (1, 3, 8, "auto")] == [1, 3, 5, 1]
    assert [places(asked, 5, 2, {}.get) for asked in (1, 3, 8, "auto")] == [2, 4, 6, 2], "all places of the mesh"


def test_the_last_doubling_that_was_worth_it_is_taken() -> None:
    speeds = {1: 10.0, 2: 19.0, 4: 30.0, 8: 31.0, 12: 90.0}
    assert fastest(1, 12, speeds.get) == 4
    assert fastest(2, 2, speeds.get) == 2
    assert fastest(1, 6, {1: 10.0, 2: 20.0, 4: None, 6: 1e9}.get) == 2


def test_speed_is_measured_on_the_programs_own_steps(tokens: Tokens) -> None:
    together = population(MODEL)
    speed = steps_per_second(together, trajectory_of(tokens, 30), 8, 2)
    assert speed is not None
    assert 1 < speed < 1e6
