"""Sweeps over simulated slices: what comes of a plan, and what a sweep takes by itself."""

import cProfile
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from scaling.config import Study, StudyError
from scaling.engines import Conditions, Rules, Simulation, simulate
from scaling.engines.clock import VirtualClock
from scaling.engines.simulated_jobs import SimulatedRecords, course_of
from scaling.planning import exact_flops, left_of, makespan
from scaling.records import Horizon, Job, JobSettings, RunDirectory, read_json
from scaling.studies.preflight import check_directory
from scaling.studies.status import observations
from tests.engines.conftest import trajectory_of

ROOT = Path(__file__).parents[2]
OWN = str(ROOT / "scaling")
SPEED = exact_flops(trajectory_of(0, steps=1))
"""So that a step takes a second."""
CALM = Conditions(slices=4, flops_per_second=SPEED)
ROUGH = Conditions(
    slices=30,
    flops_per_second=SPEED,
    start_seconds=7.0,
    checkpoint_seconds=20.0,
    preemption_seconds=300.0,
    node_loss_seconds=400.0,
    slices_per_node=4,
    gone_seconds=11.0,
    failure_probability=0.03,
    seed=5,
)
PATIENT = Rules(retries=50)


def job(folder: Path, seed: int, steps: Sequence[int]) -> Job:
    """One trajectory with a horizon at each of `steps`, the last ten of each a decay."""
    horizons = tuple(
        Horizon(tokens=8 * count, steps=count, decay_steps=10, decay_shape="linear", budget=1e6) for count in steps
    )
    settings = JobSettings(
        run_dir=str(folder),
        tokens_dir="",
        steps_per_dispatch=1,
        checkpoint_seconds=60,
        keep_forks="last",
        compilation_cache=None,
    )
    one = trajectory_of(seed, steps=1).model_copy(update={"horizons": horizons})
    return Job(name=f"j{seed}", settings=settings, trajectories=(one,))


def jobs(folder: Path, count: int, horizons: int = 1) -> list[Job]:
    """Of many lengths, between 20 and 200 seconds to the first horizon."""
    return [job(folder, seed, [20 * part + 37 * seed % 181 + 20 for part in range(horizons)]) for seed in range(count)]


def run(folder: Path, conditions: Conditions, count: int = 300, horizons: int = 2) -> Simulation:
    return simulate(jobs(folder, count, horizons), conditions, RunDirectory(folder), PATIENT)


def said(found: Simulation) -> tuple[Any, ...]:
    """All that a simulation says, but for what this machine took."""
    ends = tuple((one.job.name, one.status, one.attempts) for one in found.results)
    return ends, found.makespan_seconds, found.spent, found.preemptions, found.node_losses


def test_a_seed_gives_the_same_simulation_wherever_it_lies(tmp_path: Path) -> None:
    first = run(tmp_path / "first", ROUGH)
    assert said(run(tmp_path / "again", ROUGH)) == said(first)
    other = Conditions(**(vars(ROUGH) | {"seed": 6}))
    assert said(run(tmp_path / "other", other)) != said(first)


def test_where_nothing_is_lost_the_makespan_is_that_of_list_scheduling(tmp_path: Path) -> None:
    found = run(tmp_path, CALM, count=50, horizons=1)
    lengths = sorted((exact_flops(one.job.trajectories[0]) / SPEED for one in found.results), reverse=True)
    ends = [0.0] * CALM.slices
    for length in lengths:
        ends[ends.index(min(ends))] += length
    assert found.makespan_seconds == max(ends) == makespan(lengths, CALM.slices)
    assert found.bound_seconds == pytest.approx(sum(lengths) / CALM.slices)
    assert found.spent.work == pytest.approx(sum(lengths))
    assert found.waste == pytest.approx(1 - sum(lengths) / (CALM.slices * max(ends)))
    assert found.attempts == 50


def test_a_start_is_waste(tmp_path: Path) -> None:
    found = run(tmp_path, Conditions(slices=1, flops_per_second=SPEED, start_seconds=5.0), count=10)
    assert found.makespan_seconds == pytest.approx(found.bound_seconds + 10 * 5.0)
    assert found.spent.starting == 10 * 5.0
    assert found.spent.idle == found.spent.repeated == found.spent.gone == 0.0


def test_what_is_preempted_goes_on_and_each_horizon_is_committed_once(tmp_path: Path) -> None:
    found = run(tmp_path, ROUGH)
    spent, losses = found.spent, found.preemptions + found.node_losses * ROUGH.slices_per_node
    done = [one for one in found.results if one.status == "done"]
    failed = [one for one in found.results if one.status == "failed"]
    assert len(done) + len(failed) == 300
    assert failed
    assert found.preemptions > 50
    assert found.node_losses > 2
    for result in done:
        (one,) = result.job.trajectories
        records = RunDirectory(tmp_path).trajectory(one.id)
        assert {path.stem for path in records.root.glob("horizon-*")} == {horizon.name for horizon in one.horizons}
        assert records.committed().horizons == tuple(sorted(one.horizons, key=lambda horizon: str(horizon.tokens)))
    work = sum(exact_flops(one.job.trajectories[0]) for one in done) / SPEED
    assert work - 1e-6 <= spent.work <= work + sum(exact_flops(one.job.trajectories[0]) for one in failed) / SPEED
    assert spent.total == pytest.approx(ROUGH.slices * found.makespan_seconds)
    assert 0 < spent.repeated <= losses * ROUGH.checkpoint_seconds
    assert 300 * ROUGH.start_seconds <= spent.starting <= found.attempts * ROUGH.start_seconds
    assert found.preemptions * ROUGH.gone_seconds * 0.9 <= spent.gone <= losses * ROUGH.gone_seconds
    assert found.makespan_seconds > found.bound_seconds
    assert found.attempts <= 300 + losses


def test_a_job_that_fails_by_itself_is_reported_and_not_tried_again(tmp_path: Path) -> None:
    found = run(tmp_path, Conditions(slices=3, flops_per_second=SPEED, failure_probability=0.2), count=40)
    failed = [one for one in found.results if one.status == "failed"]
    assert 2 < len(failed) < 20
    assert {one.attempts for one in failed} == {1}
    assert all("simulated: it fails by itself" in one.message for one in failed)
    told = RunDirectory(tmp_path).failures()
    assert sorted(one.job for one in told) == sorted(one.job.name for one in failed)
    assert {one.cause for one in told} == {"yours"}
    assert found.spent.failed > 0


def test_a_job_that_never_gets_further_is_given_up(tmp_path: Path) -> None:
    hopeless = Conditions(slices=2, flops_per_second=SPEED, preemption_seconds=1.0, start_seconds=5.0)
    found = simulate(jobs(tmp_path, 3), hopeless, RunDirectory(tmp_path), Rules(retries=4))
    assert [(one.status, one.attempts) for one in found.results] == [("lost", 5)] * 3


def test_the_same_command_goes_on_from_the_records(tmp_path: Path) -> None:
    half = simulate(jobs(tmp_path, 20, horizons=1), CALM, RunDirectory(tmp_path))
    all_of_it = simulate(jobs(tmp_path, 20, horizons=2), CALM, RunDirectory(tmp_path))
    assert {one.status for one in all_of_it.results} == {"done"}
    whole = sum(exact_flops(one.job.trajectories[0]) / SPEED for one in all_of_it.results)
    assert half.spent.work + all_of_it.spent.work == pytest.approx(whole)
    again = simulate(jobs(tmp_path, 20, horizons=2), CALM, RunDirectory(tmp_path))
    assert again.makespan_seconds == 0.0


def test_records_say_that_they_are_simulated(tmp_path: Path) -> None:
    run(tmp_path, CALM, count=2, horizons=1)
    found = [*tmp_path.glob("trajectories/*/horizon-*.json"), *tmp_path.glob("trajectories/*/trajectory.json")]
    assert len(found) == 4
    assert {read_json(path)["provenance"]["simulated"] for path in found} == {"nothing was trained"}
    assert RunDirectory(tmp_path).simulated.exists()


def test_what_was_simulated_is_no_ground_for_a_law_or_a_study(tmp_path: Path) -> None:
    run(tmp_path, CALM, count=2, horizons=1)
    with pytest.raises(StudyError, match="records of a simulation: nothing was trained"):
        observations(RunDirectory(tmp_path))
    with pytest.raises(StudyError, match="those of a simulation; choose another folder"):
        check_directory(Study(name="s"), tmp_path)


def test_where_something_was_trained_nothing_is_simulated(tmp_path: Path) -> None:
    RunDirectory(tmp_path).trajectories.mkdir()
    with pytest.raises(StudyError, match="holds real runs; simulate in a folder of its own"):
        run(tmp_path, CALM, count=2)
    assert not RunDirectory(tmp_path).simulated.exists()


def test_a_course_takes_what_is_left_of_its_job(tmp_path: Path) -> None:
    (one,) = jobs(tmp_path, 1, horizons=3)
    course = course_of(one, SPEED)
    assert course.seconds == left_of(one, RunDirectory(tmp_path)) / SPEED
    assert [milestone.horizon.steps for milestone in course.milestones] == [20, 40, 60]
    assert course_of(one, SPEED, fails_at=0.5).seconds == course.seconds / 2
    assert SimulatedRecords(RunDirectory(tmp_path)).committed(course) == 0


def test_a_virtual_clock_stops_where_something_is_due() -> None:
    clock, happened = VirtualClock(), []
    clock.at(5.0, lambda: happened.append(clock.now()))
    clock.sleep(0.05, due=3.0)
    assert (clock.now(), happened) == (3.0, [])
    clock.sleep(0.05, due=math.inf)
    assert happened == [5.0]
    clock.sleep(0.05, due=math.inf)
    assert clock.now() == pytest.approx(5.05)


def effort(folder: Path, count: int) -> tuple[float, float]:
    """(calls, lines of the project's own code) that a sweep of `count` jobs on 8 slices takes for each of them."""
    lines = 0

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal lines
        lines += event == "line"
        return trace if frame.f_code.co_filename.startswith(OWN) else None

    todo, profile = jobs(folder, count), cProfile.Profile()
    sys.settrace(trace)
    profile.enable()
    try:
        simulate(todo, Conditions(**(vars(ROUGH) | {"slices": 8})), RunDirectory(folder), PATIENT)
    finally:
        profile.disable()
        sys.settrace(None)
    return sum(entry.callcount for entry in profile.getstats()) / count, lines / count


def test_what_a_sweep_does_for_a_job_does_not_grow_with_their_number(tmp_path: Path) -> None:
    few, many = effort(tmp_path / "few", 60), effort(tmp_path / "many", 360)
    assert many[0] < 1.15 * few[0]
    assert many[1] < 1.15 * few[1]
