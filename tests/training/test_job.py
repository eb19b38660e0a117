"""Jobs in this process: horizons, extension, resumption, divergence, refusal."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scaling.data import EvaluationBatches, Tokens
from scaling.planning import Interrupted
from scaling.records import BatchStage, Job, Observation, RunDirectory, Trajectory, TrajectoryDirectory, read_json
from scaling.training import job as jobs
from scaling.training.checkpoints import Checkpoints
from scaling.training.loop import about
from scaling.training.step import program
from tests.conftest import MODEL, horizon, trajectory_of

MakeJob = Callable[..., Job]


def directory_of(job: Job, trajectory: Trajectory) -> TrajectoryDirectory:
    return RunDirectory(job.settings.run_dir).trajectory(trajectory.id)


def files(directory: TrajectoryDirectory) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.root.glob("horizon-*.json")}


def losses(directory: TrajectoryDirectory) -> list[float]:
    return [row.loss for row in directory.observations()]


def test_a_job_commits_an_observation_for_each_horizon(job_of: MakeJob, tokens: Tokens) -> None:
    trajectory = trajectory_of(tokens, 30, 60)
    job = job_of(trajectory)
    jobs.run(job)
    first, second = directory_of(job, trajectory).observations()
    assert (first.tokens, second.tokens) == (30 * 64, 60 * 64)
    assert second.loss < first.loss < np.log(257)
    assert second.flops == second.tokens * trajectory.flops_per_token
    assert second.epochs == pytest.approx(second.tokens / tokens.record.train_tokens)
    assert abs(second.train_loss - second.loss) < 0.5
    held_out_bytes = tokens.summary.validation_bytes
    assert second.bits_per_byte == pytest.approx(
        second.loss * tokens.record.validation_tokens / np.log(2) / held_out_bytes
    )
    record = read_json(directory_of(job, trajectory).root / "trajectory.json")
    assert record["id"] == trajectory.id
    assert "jax" in record["provenance"]


def test_the_loss_is_the_models_own_on_the_held_out_tokens(job_of: MakeJob, tokens: Tokens) -> None:
    """Evaluated a second time, from the last fork's checkpoint when the decay has length one and rate nearly zero."""
    trajectory = trajectory_of(tokens, 20, learning_rate=1e-9)
    job = job_of(trajectory)
    jobs.run(job)
    compiled = program(MODEL)
    held_out = EvaluationBatches(tokens.validation, tokens.validation_documents, 1, MODEL.sequence_length)
    state = compiled.initialise(0)
    nats = np.stack([np.asarray(compiled.losses(state.params, batch)) for batch in held_out.tokens])
    expected = float(nats[held_out.mask > 0].mean())
    assert losses(directory_of(job, trajectory)) == [pytest.approx(expected, abs=1e-4)]


def test_a_finished_job_trains_nothing(job_of: MakeJob, tokens: Tokens) -> None:
    trajectory = trajectory_of(tokens, 30)
    job = job_of(trajectory)
    jobs.run(job)
    directory = directory_of(job, trajectory)
    before = files(directory), directory.metrics.read_bytes()
    jobs.run(job)
    assert (files(directory), directory.metrics.read_bytes()) == before


def test_added_budgets_extend_the_trunk_and_keep_what_is_committed(
    job_of: MakeJob, tokens: Tokens, tmp_path: Path
) -> None:
    short, long = trajectory_of(tokens, 30), trajectory_of(tokens, 30, 60)
    job = job_of(short)
    jobs.run(job)
    before = files(directory_of(job, short))
    jobs.run(job_of(long))
    directory = directory_of(job, long)
    assert {name: content for name, content in files(directory).items() if name in before} == before
    lines = [json.loads(line) for line in directory.metrics.read_text().splitlines()]
    trunk = [line["step"] for line in lines if line["branch"] == "trunk"]
    assert trunk == sorted(trunk), "the trunk went on from the fork, not from the start"
    at_once = job_of(long, run_dir=str(tmp_path / "at_once"))
    jobs.run(at_once)
    assert losses(directory_of(at_once, long)) == pytest.approx(losses(directory), abs=1e-5)


def test_a_budget_added_in_between_is_trained_from_an_earlier_state(job_of: MakeJob, tokens: Tokens) -> None:
    outer, all_three = trajectory_of(tokens, 30, 60), trajectory_of(tokens, 30, 45, 60)
    job = job_of(outer)
    jobs.run(job)
    before = files(directory_of(job, outer))
    jobs.run(job_of(all_three))
    after = files(directory_of(job, all_three))
    assert len(after) == 3
    assert {name: after[name] for name in before} == before
    checkpoints = Checkpoints(directory_of(job, outer).checkpoints, program(MODEL).initialise(0), about(outer))
    assert checkpoints.steps("trunk") == [50], "the last fork stays, for budgets that come later"


def test_the_training_loss_of_a_horizon_is_that_of_its_own_steps(job_of: MakeJob, tokens: Tokens) -> None:
    """Of 200 and 202 steps, each measured on the trunk, the second one's last 4 steps reach behind the first."""
    near = (horizon(200, decay_steps=0), horizon(202, decay_steps=0))
    both = trajectory_of(tokens, 200).model_copy(update={"horizons": near})
    assert [both.tail_start(one) for one in near] == [196, 200]
    job = job_of(both, steps_per_dispatch=1)
    jobs.run(job)
    lines = [json.loads(line) for line in directory_of(job, both).metrics.read_text().splitlines()]
    by_step = {line["step"]: line["loss"] for line in lines}
    first, second = (row.train_loss for row in directory_of(job, both).observations())
    assert first == pytest.approx(np.mean([by_step[step] for step in range(197, 201)]), abs=1e-5)
    assert second == pytest.approx(np.mean([by_step[201], by_step[202]]), abs=1e-5)


@pytest.mark.parametrize("settings", [{"steps_per_dispatch": 5}, {"checkpoint_seconds": 1e-6}, {"keep_forks": "all"}])
def test_how_a_job_runs_does_not_change_what_it_finds(
    job_of: MakeJob, tokens: Tokens, tmp_path: Path, settings: dict[str, Any]
) -> None:
    trajectory = trajectory_of(tokens, 30, 40)
    plain, other = job_of(trajectory), job_of(trajectory, run_dir=str(tmp_path / "other"), **settings)
    jobs.run(plain)
    jobs.run(other)
    assert losses(directory_of(plain, trajectory)) == losses(directory_of(other, trajectory))


def test_checkpoints_follow_the_policy(job_of: MakeJob, tokens: Tokens, tmp_path: Path) -> None:
    trajectory = trajectory_of(tokens, 30, 40, 60)
    for keep, expected in (("last", [50]), ("all", [20, 30, 50])):
        job = job_of(trajectory, run_dir=str(tmp_path / keep), keep_forks=keep, checkpoint_seconds=1e-6)
        jobs.run(job)
        folder = directory_of(job, trajectory).checkpoints
        state = program(MODEL).initialise(0)
        kept = Checkpoints(folder, state, about(trajectory)).steps("trunk")
        assert [step for step in kept if step in (20, 30, 50)] == expected
        assert [path.name for path in folder.iterdir()] == ["trunk"]


def test_a_loss_that_explodes_is_recorded_and_the_next_trajectory_trains(job_of: MakeJob, tokens: Tokens) -> None:
    wild = trajectory_of(tokens, 60, learning_rate=1e4, gradient_clip=1e9, divergence_factor=1.2)
    tame = trajectory_of(tokens, 30)
    job = job_of(wild, tame)
    jobs.run(job)
    record = read_json(directory_of(job, wild).diverged)
    assert record["branch"] == "trunk"
    assert 0 < record["step"] < 50
    assert losses(directory_of(job, wild)) == []
    assert len(losses(directory_of(job, tame))) == 1


@pytest.mark.full
def test_a_batch_grows_with_the_tokens_seen(job_of: MakeJob, tokens: Tokens, tmp_path: Path) -> None:
    """Up to its first stage a trajectory is the plain one, bit for bit; after it, a larger batch gives a lower loss for
    as many steps; and a run that is cut off inside a stage goes on to the same."""
    plain = trajectory_of(tokens, 20, 40)
    ramp = (BatchStage(step=20, sequences=8), BatchStage(step=28, sequences=12))
    horizons = (horizon(20), horizon(40, tokens=(20 * 4 + 8 * 8 + 12 * 12) * 16))
    growing = trajectory_of(tokens, 20, batch_ramp=ramp).model_copy(update={"horizons": horizons})
    assert growing.tokens_at(40) == horizons[1].tokens
    jobs.run(job_of(plain))
    jobs.run(job_of(growing, steps_per_dispatch=6))
    first, second = losses(directory_of(job_of(plain), plain))
    grown_first, grown_second = losses(directory_of(job_of(growing), growing))
    assert grown_first == first
    assert grown_second < second
    rows = directory_of(job_of(growing), growing).observations()
    assert [row.batch_tokens for row in rows] == [64, 192]
    cut = job_of(growing, run_dir=str(tmp_path / "cut"))
    asked = iter([False] * 4)
    with pytest.raises(Interrupted):
        jobs.run(cut, lambda: next(asked, True))
    jobs.run(cut)
    assert losses(directory_of(cut, growing)) == [grown_first, grown_second]


def test_other_tokens_than_the_trajectorys_are_refused(job_of: MakeJob, tokens: Tokens) -> None:
    trajectory = trajectory_of(tokens, 30)
    other = trajectory.model_copy(update={"data": tokens.record.model_copy(update={"fingerprint": "0" * 64})})
    with pytest.raises(jobs.JobError, match="trains on tokens 000000000000"):
        jobs.run(job_of(other))


def test_observations_hold_every_field_of_the_record(job_of: MakeJob, tokens: Tokens) -> None:
    trajectory = trajectory_of(tokens, 30, seed=3)
    job = job_of(trajectory)
    jobs.run(job)
    (row,) = directory_of(job, trajectory).observations()
    assert isinstance(row, Observation)
    assert (row.seed, row.width, row.params_convention, row.flops_convention) == (3, 16, "with_embeddings", "exact")
