"""SIGKILLs of workers, of the sweeper and of all at once, at random and at chosen moments; the losses stay those of a
sweep left in peace.

`pytest tests/faults/test_kills.py -m full -s` prints the table of docs/faults.md.
"""

import itertools
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from scaling.config import ModelConfig
from scaling.data import Tokens
from scaling.records import Job
from tests.conftest import MODEL, trajectory_of
from tests.faults.disturbing import ANY_TIME, BEFORE_INDEX, MOMENTS, Sweep, losses, repeated_steps, torn, went_back

Jobs = Callable[[Path, int], list[Job]]
STEPS = (640, 1280)
EVERY_STEPS = 96
DISPATCH = 16


@pytest.fixture(scope="session")
def jobs_in(tokens: Tokens, tokens_dir: Path, compilation_cache: Path) -> Jobs:
    """So many jobs of one trajectory with two horizons, in a run directory of a folder."""

    def make(folder: Path, count: int) -> list[Job]:
        settings = {
            "run_dir": str(folder / "run"),
            "tokens_dir": str(tokens_dir),
            "steps_per_dispatch": DISPATCH,
            "checkpoint_seconds": 3600.0,
            "checkpoint_steps": EVERY_STEPS,
            "keep_forks": "last",
            "compilation_cache": str(compilation_cache),
        }
        models = [MODEL, ModelConfig.model_validate(MODEL.model_dump() | {"ffn_width": 2 * MODEL.ffn_width})]
        found = []
        for number in range(count):
            one = trajectory_of(tokens, *STEPS, model=models[number % 2], seed=number)
            name = f"j{number}"
            found.append(Job.model_validate({"name": name, "settings": settings, "trajectories": [one.model_dump()]}))
        return found

    return make


def undisturbed(jobs_in: Jobs, folder: Path, count: int) -> dict[str, list[tuple[str, float]]]:
    """Losses of the same trajectories, those of one shape in one job."""
    jobs = jobs_in(folder, count)
    shapes = [jobs[number::2] for number in range(2)]
    alike = [
        group[0].model_copy(update={"trajectories": tuple(job.trajectories[0] for job in group)}) for group in shapes
    ]
    sweep = Sweep(folder, alike)
    sweep.finish()
    return losses(sweep.directory, jobs)


def kill_often(sweep: Sweep, kills: int, seed: int) -> None:
    """Workers at each moment in turn and at any time, the sweeper now and then, and all of them at once, until there
    were so many."""
    rng = random.Random(seed)
    plan = [("worker", moment) for moment in MOMENTS] + [("worker", ANY_TIME)] * 2
    plan += [("sweeper", ANY_TIME), ("sweeper", "after a commit"), ("sweeper", "while it trains")]
    plan += [("all", ANY_TIME), ("all", "after a checkpoint")]
    for victim, moment in itertools.cycle(plan):
        if sweep.killed >= kills or not sweep.kill_at(victim, moment, rng):
            return


@pytest.mark.parametrize(
    ("count", "kills"), [pytest.param(10, 30, id="30"), pytest.param(60, 200, id="200", marks=pytest.mark.full)]
)
def test_killed_sweeps_end_as_if_left_in_peace(jobs_in: Jobs, tmp_path: Path, count: int, kills: int) -> None:
    expected = undisturbed(jobs_in, tmp_path / "peace", count)
    sweep = Sweep(tmp_path / "killed", jobs_in(tmp_path / "killed", count))
    kill_often(sweep, kills - 1, seed=7)
    print(f"{len(sweep.committed)} of {count * len(STEPS)} horizons were committed by then")
    sweep.kill_at("sweeper", BEFORE_INDEX, random.Random(0), patience=600.0)
    sweep.finish()
    print(f"\n{count} jobs, {sweep.killed} kills")
    for (victim, moment), number in sorted(sweep.table().items()):
        print(f"| {victim} | {moment} | {number} |")
    assert losses(sweep.directory, sweep.jobs) == expected
    assert torn(sweep.directory.root) == []
    assert len(sweep.committed) == count * len(STEPS)
    assert sweep.directory.observations.exists()
    assert {moment for _, moment in sweep.table()} >= {"before a checkpoint", "after a commit", ANY_TIME}
    assert [line for kill in sweep.kills for line in went_back(kill, sweep.directory)] == []
    assert sum(step > 0 for kill in sweep.kills for _, step in kill.left.values()) >= kills // 5
    assert sweep.killed >= kills


@pytest.mark.full
def test_two_sweepers_share_one_plan(jobs_in: Jobs, tmp_path: Path) -> None:
    """Each trajectory is trained by one of them alone, and both end well."""
    jobs = jobs_in(tmp_path, 4)
    first, second = Sweep(tmp_path / "first", jobs, 1), Sweep(tmp_path / "second", jobs, 1)
    first.finish()
    second.finish()
    for job in jobs:
        directory = first.directory.trajectory(job.trajectories[0].id)
        assert repeated_steps(directory) == 0
        assert len(directory.observations()) == len(STEPS)
    logs = [(tmp_path / "run/jobs" / f"{job.name}.log").read_text() for job in jobs]
    assert not any("Traceback" in log for log in logs)
