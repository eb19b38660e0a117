"""Named sets at each horizon and on kept models: the same numbers, whoever measures and however it was trained."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scaling.config import ComputeConfig, StudyError
from scaling.data import Tokens, load_set
from scaling.data.choices import ChoiceBatches, Choices
from scaling.records import Evaluated, Job, JobSettings, Observation, RunDirectory, TrajectoryDirectory, read_json
from scaling.training import evaluating
from scaling.training import job as jobs
from scaling.training.evaluation import losses
from scaling.training.kept import KeptModels
from scaling.training.loop import about
from scaling.training.state import Params
from scaling.training.step import program
from tests.conftest import MODEL, horizon, trajectory_of
from tests.training.named_sets import measured_on, named_sets, scores_of

MakeJob = Callable[..., Job]


def directory_of(job: Job, place: int = 0) -> TrajectoryDirectory:
    return RunDirectory(job.settings.run_dir).trajectory(job.trajectories[place].id)


def to_evaluate(job: Job, *keys: str) -> Job:
    return measured_on(job, *keys).model_copy(update={"task": "evaluate"})


@pytest.fixture(scope="module")
def trained(tokens: Tokens, tokens_dir: Path, compilation_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Job:
    """A job of two horizons that was measured on two sets as it trained."""
    folder = tmp_path_factory.mktemp("measured")
    keys = named_sets(folder, folder / "run", tokens=tokens)
    settings = JobSettings(
        run_dir=str(folder / "run"), tokens_dir=str(tokens_dir), steps_per_dispatch=8, checkpoint_seconds=3600.0,
        keep_forks="last", compilation_cache=str(compilation_cache), sets=keys,
    )  # fmt: skip
    job = Job(name="job", settings=settings, trajectories=(trajectory_of(tokens, 40, 120),))
    jobs.run(job)
    return job


def kept(job: Job, place: int = 1) -> Params:
    trajectory = job.trajectories[0]
    models = KeptModels(directory_of(job).models, program(MODEL).initialise(0).params, about(trajectory))
    found = models.read(trajectory.horizons[place])
    models.close()
    assert found is not None
    return found


def test_the_held_out_text_under_a_name_has_the_loss_of_the_horizon(trained: Job) -> None:
    rows = directory_of(trained).observations(dict.fromkeys(["again"], trained.settings.sets[0]))
    assert len(rows) == 2
    for row in rows:
        score = row.sets["again"]
        assert score.kind == "text"
        assert (score.loss, score.loss_se) == (row.loss, row.loss_se)
        assert (score.bits_per_byte, score.bits_per_byte_se) == pytest.approx((row.bits_per_byte, row.bits_per_byte_se))
        assert score.by_position == row.by_position
        assert [(one.first, one.last) for one in row.by_position] == [(1, 1), (2, 2), (3, 4), (5, 8), (9, 16)]
        assert row.by_position[0].loss > row.by_position[-1].loss, "more context, less loss"


def test_likelihoods_are_those_of_the_model_alone(trained: Job) -> None:
    """Each sequence by itself, in NumPy from its logits: no batches, no padding, no mask; one token from its past."""
    params = kept(trained)
    model = jax.jit(program(MODEL).model.build(params))
    found = load_set(RunDirectory(trained.settings.run_dir).sets / trained.settings.sets[1])
    content, batches = found.content, found.batches(4, MODEL.sequence_length)
    assert isinstance(content, Choices)
    assert isinstance(batches, ChoiceBatches)
    together = batches.choice_nats(losses(program(MODEL), params, batches.tokens))

    def nats(sequence: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        logits = np.asarray(model(jnp.asarray(sequence[None, :-1])))[0].astype(np.float64)
        return np.log(np.exp(logits).sum(-1)) - logits[np.arange(len(logits)), sequence[1:]]

    for choice in (0, 1):
        whole = content.tokens[content.offsets[choice] : content.offsets[choice + 1]].astype(np.int32)
        answer = len(whole) - int(content.answers[choice])
        sequence = whole[-MODEL.sequence_length - 1 :]
        assert together[choice] == pytest.approx(nats(sequence)[-answer:].sum(), rel=1e-4)
    assert nats(sequence)[-2] == pytest.approx(nats(sequence[:-1])[-1], rel=1e-4)


def test_questions_about_words_that_were_learnt_are_answered(trained: Job) -> None:
    score = Evaluated.model_validate(
        read_json(directory_of(trained).evaluation(trained.trajectories[0].horizons[1].name, trained.settings.sets[1]))
    ).score
    assert score.kind == "choices"
    assert (score.accuracy, score.chance) == (1.0, pytest.approx(1 / 3))
    assert score.likelihood > 0.9
    assert score.bits_per_byte < 4


def test_a_kept_model_is_measured_to_the_same_bits_and_once(trained: Job, tokens: Tokens, tmp_path: Path) -> None:
    before = scores_of(trained, *trained.settings.sets)
    paths = list(directory_of(trained).root.glob("evaluations/*/*"))
    assert len(paths) == 4
    whole = {path: path.read_bytes() for path in paths}
    for path in paths:
        path.unlink()
    evaluating.run(to_evaluate(trained, *trained.settings.sets))
    assert scores_of(trained, *trained.settings.sets) == before
    assert {path: path.read_bytes() for path in paths} == whole
    times = {path: path.stat().st_mtime_ns for path in paths}
    evaluating.run(to_evaluate(trained, *trained.settings.sets))
    assert {path: path.stat().st_mtime_ns for path in paths} == times


def test_a_horizon_whose_model_was_already_kept_when_the_job_was_killed_is_committed_again(
    job_of: MakeJob, tokens: Tokens, tmp_path: Path
) -> None:
    """Its own file comes last; what was on disk by then stays as it is."""
    job = job_of(trajectory_of(tokens, 30))
    job = measured_on(job, *named_sets(tmp_path, Path(job.settings.run_dir), tokens=tokens))
    jobs.run(job)
    directory = directory_of(job)
    path = directory.horizon(job.trajectories[0].horizons[0])
    before = read_json(path)["observation"]
    others = {one: one.stat().st_mtime_ns for one in directory.root.glob("[me][ov]*/**/*") if one.is_file()}
    assert len(others) > 3
    path.unlink()
    jobs.run(job)
    assert read_json(path)["observation"] == before
    assert {one: one.stat().st_mtime_ns for one in directory.root.glob("[me][ov]*/**/*") if one.is_file()} == others


@pytest.mark.full
def test_models_are_kept_as_they_are_measured(job_of: MakeJob, tokens: Tokens, tmp_path: Path) -> None:
    """At averaged parameters, in the precision of the study, of trajectories that were stepped together."""
    plain = [trajectory_of(tokens, 20, seed=seed, optimizer="schedule_free", schedule="constant") for seed in (0, 1)]
    horizons = (horizon(20, decay_steps=0), horizon(30, decay_steps=0))
    job = job_of(
        *(one.model_copy(update={"horizons": horizons}) for one in plain),
        stack=2,
        compute=ComputeConfig(precision="bfloat16"),
    )
    keys = named_sets(tmp_path, Path(job.settings.run_dir), tokens=tokens)
    jobs.run(job)
    evaluating.run(to_evaluate(job, *keys))
    rows = [row for place in (0, 1) for row in directory_of(job, place).observations({"again": keys[0]})]
    assert len({row.loss for row in rows}) == 4
    for row in rows:
        score = row.sets["again"]
        assert score.kind == "text"
        assert score.loss == pytest.approx(row.loss, abs=1e-6)


def test_a_damaged_model_is_named_and_the_others_are_measured(
    job_of: MakeJob, tokens: Tokens, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    job = job_of(trajectory_of(tokens, 30, 40))
    keys = named_sets(tmp_path, Path(job.settings.run_dir), tokens=tokens)
    jobs.run(job)
    first, second = job.trajectories[0].horizons
    largest = max((directory_of(job).models / first.name).rglob("*"), key=lambda path: path.stat().st_size)
    content = bytearray(largest.read_bytes())
    content[len(content) // 2] ^= 1
    largest.write_bytes(content)
    with (
        caplog.at_level(logging.WARNING),
        pytest.raises(StudyError, match=rf"1 kept model\(s\) cannot be read and were not measured: .*{first.name}"),
    ):
        evaluating.run(to_evaluate(job, *keys))
    assert directory_of(job).evaluation(second.name, keys[0]).exists()
    assert not directory_of(job).evaluation(first.name, keys[0]).exists()


@pytest.mark.parametrize(("keep", "expected"), [("last", [1]), ("none", [])])
def test_models_are_kept_as_the_study_says(job_of: MakeJob, tokens: Tokens, keep: str, expected: list[int]) -> None:
    job = job_of(trajectory_of(tokens, 20, 30), keep_models=keep)
    jobs.run(job)
    names = [job.trajectories[0].horizons[place].name for place in expected]
    assert [path.name for path in directory_of(job).models.glob("*")] == names


def test_a_trajectory_comes_back_from_its_records(trained: Job) -> None:
    assert directory_of(trained).committed() == trained.trajectories[0]


def test_records_of_before_are_read(trained: Job) -> None:
    path = directory_of(trained).horizon(trained.trajectories[0].horizons[0])
    plain = read_json(path)["observation"]
    assert "sets" not in plain
    del plain["by_position"], plain["bits_per_byte_se"]
    row = Observation.model_validate(plain)
    assert (row.by_position, row.bits_per_byte_se, row.sets) == ((), None, {})
