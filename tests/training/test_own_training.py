"""Training with parts of one's own: the laboratory's under other names end at the same bits; others do as they say."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scaling.config import ComputeConfig, Own, StudyError
from scaling.config.own import own as looked_up
from scaling.data import Tokens
from scaling.models import multipliers, next_token_losses
from scaling.records import Job, Observation, Recipe, RunDirectory, Trajectory
from scaling.training import evaluating
from scaling.training import job as jobs
from scaling.training.computation import AS_IT_COMES, computation
from scaling.training.optimizers import Settings
from scaling.training.schedules import OwnSchedule, learning_rate, schedule
from scaling.training.state import architecture, initial_state
from scaling.training.step import Hyper, program, train_step
from tests import own
from tests.conftest import MODEL, RECIPE, trajectory_of

MakeJob = Callable[..., Job]


@pytest.fixture(scope="module")
def part(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Own]]:
    """A part of tests.own by its attribute."""
    with own.module(tmp_path_factory.mktemp("own"), "training_own") as name:
        yield lambda attribute: looked_up(f"{name}:{attribute}")


def test_a_block_of_ones_own_that_knows_no_types_is_scanned_in_bfloat16(part: Callable[[str], Own]) -> None:
    """It adds float32 positions to the stream, which has to come out of the loop as it went in."""
    model = MODEL.model_copy(update={"block": part("Bottleneck"), "layers": 2, "layer_loop": "scan"})
    compiled = program(model, compute=ComputeConfig(precision="bfloat16"))
    tokens = jax.ShapeDtypeStruct((2, MODEL.sequence_length + 1), jnp.int32)
    params = jax.eval_shape(compiled.initialise, 0).params
    assert "bf16" in compiled.losses.lower(params, tokens).as_text()  # type: ignore[attr-defined]


def ten_steps(formula: Own) -> Recipe:
    return RECIPE.model_copy(update={"schedule": formula, "total_steps": 10})


def trained(job: Job, trajectory: Trajectory) -> Observation:
    jobs.run(job)
    (row,) = RunDirectory(job.settings.run_dir).trajectory(trajectory.id).observations()
    return row


def test_the_laboratorys_parts_under_other_names_end_at_the_same_bits(
    job_of: MakeJob, tokens: Tokens, tmp_path: Path, part: Callable[[str], Own]
) -> None:
    plain = trajectory_of(tokens, 20, schedule="linear", total_steps=20)
    mine = trajectory_of(
        tokens,
        20,
        model=MODEL.model_copy(update={"block": part("same_block")}),
        optimizer=part("same_optimizer"),
        schedule=part("same_schedule"),
        total_steps=20,
        metrics=(part("mean"), part("per_document")),
    )
    job = job_of(mine, run_dir=str(tmp_path / "own"))
    found, expected = trained(Job.model_validate_json(job.model_dump_json()), mine), trained(job_of(plain), plain)
    assert found.loss == expected.loss
    assert found.train_loss == expected.train_loss
    assert (found.params, found.flops) == (expected.params, expected.flops)
    last_document, least_token = divmod(round(found.metrics["per_document"] * 1000), 1000)
    assert found.metrics["mean"] == pytest.approx(found.loss, rel=1e-12)
    assert (last_document, least_token) == (tokens.summary.validation_documents - 1, int(tokens.validation[1:].min()))
    assert expected.metrics == {}


def test_a_whole_model_and_an_optimizer_of_ones_own_take_the_step_that_they_say(part: Callable[[str], Own]) -> None:
    model = architecture(MODEL.model_copy(update={"model": part("same_model")}))
    batch = np.random.default_rng(0).integers(0, 257, (2, 17)).astype(np.int32)
    numbers = schedule(ten_steps(part("triangle")), 16, None)
    hyper = Hyper(numbers, Settings(0.9, 0.99, 1e-8, 0.95, 0.1, 0.0, 1.0), multipliers(MODEL), 1e9)
    before = jax.jit(lambda: initial_state(model, part("sgd"), 3, 0.9))()._replace(step=jnp.int32(5))
    after, loss = jax.jit(
        lambda state: train_step(model, part("sgd"), computation(AS_IT_COMES, None), state, jnp.asarray(batch), hyper)
    )(before)
    plain = architecture(MODEL)
    expected, slope = jax.jit(jax.value_and_grad(lambda given: next_token_losses(plain.build(given), batch).mean()))(
        before.params
    )
    assert float(loss) == pytest.approx(float(expected), rel=1e-6)
    for name, value in before.params.items():
        # The triangle of ten steps is at its top at step 5: the rate is the peak.
        np.testing.assert_allclose(after.params[name], value - 1e-2 * slope[name], atol=1e-6)


def test_a_formula_of_ones_own_gets_the_runs_numbers_and_is_part_of_the_program(part: Callable[[str], Own]) -> None:
    numbers = schedule(ten_steps(part("triangle")), 16, None)
    assert isinstance(numbers, OwnSchedule)
    assert (numbers.numbers.peak, numbers.numbers.warmup_steps) == (1e-2, 4.0)
    assert numbers.numbers.fall_start + numbers.numbers.fall_steps == 10
    rates = jax.vmap(lambda step: learning_rate(numbers, step))(jnp.arange(11))
    np.testing.assert_allclose(rates, 1e-2 * (1 - np.abs(np.arange(11) / 5 - 1)), atol=1e-9)
    other = OwnSchedule(numbers.numbers, part("same_schedule"))  # type: ignore[arg-type]
    assert jax.tree.structure(numbers) != jax.tree.structure(other)


@pytest.mark.parametrize("field", ["block", "optimizer", "schedule", "metrics"])
def test_a_source_that_changed_since_it_was_planned_is_refused(
    job_of: MakeJob, tokens: Tokens, part: Callable[[str], Own], field: str
) -> None:
    old = Own(name=part("same_block").name, source="0" * 64)
    changes: dict[str, Any] = {field: (old,) if field == "metrics" else old}
    if field == "block":
        known = trajectory_of(tokens, 20)
        planned = known.model_copy(update={"model": MODEL.model_copy(update=changes)})
    else:
        planned = trajectory_of(tokens, 20, **changes)
    with pytest.raises(StudyError, match=r"planned with 'training_own:same_block' as it was: source \w+ here and 0000"):
        jobs.run(job_of(planned))
    assert not RunDirectory(job_of(planned).settings.run_dir).trajectories.exists()
    with pytest.raises(StudyError, match=r"planned with 'training_own:same_block' as it was"):
        evaluating.run(job_of(planned).model_copy(update={"task": "evaluate"}))


def test_a_metric_that_is_no_number_is_refused_by_name(
    job_of: MakeJob, tokens: Tokens, part: Callable[[str], Own]
) -> None:
    trajectory = trajectory_of(tokens, 20, metrics=(part("a_pair"),))
    with pytest.raises(StudyError, match=r"evaluation.metrics has 'training_own:a_pair', which returned"):
        jobs.run(job_of(trajectory))
