"""The compiled step: Optax's own AdamW, bits that do not depend on the dispatch, and a source of known entropy."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from scaling.config import ModelConfig
from scaling.models import multipliers, next_token_losses
from scaling.training.optimizers import Settings
from scaling.training.schedules import NEVER, Schedule
from scaling.training.state import TrainState
from scaling.training.step import Hyper, Program, program
from tests.conftest import MODEL

STEPS = 12
HYPER = Hyper(
    Schedule(1e-2, 4.0, 8.0, 4.0, 0.5), Settings(0.9, 0.99, 1e-8, 0.95, 0.1, 0.0, 0.5), multipliers(MODEL), 10.0
)


@pytest.fixture(scope="module")
def small() -> Program:
    return program(MODEL)


@pytest.fixture(scope="module")
def batches() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 257, (STEPS, 4, 17)).astype(np.int32)


def run(small: Program, batches: np.ndarray, counts: list[int]) -> tuple[TrainState, list[float]]:
    state, losses, step = small.initialise(0), [], 0
    for count in counts:
        padded = np.zeros_like(batches)
        padded[:count] = batches[step : step + count]
        state, out = small.train(state, padded, count, HYPER)
        losses += np.asarray(out)[:count].tolist()
        step += count
    return state, losses


def test_dispatch_length_does_not_change_a_bit(small: Program, batches: np.ndarray) -> None:
    whole, parts = run(small, batches, [12]), run(small, batches, [5, 1, 6])
    assert whole[1] == parts[1]
    for one, two in zip(jax.tree.leaves(whole[0]), jax.tree.leaves(parts[0]), strict=True):
        np.testing.assert_array_equal(one, two)


def test_steps_are_optaxs_adamw_under_the_same_schedule(small: Program, batches: np.ndarray) -> None:
    state, losses = run(small, batches, [12])
    through = [max(0.0, (step - 8) / 4) for step in range(STEPS)]
    rates = jnp.array([1e-2 * min(1, (step + 1) / 4) * (1 - x**0.5) for step, x in enumerate(through)])
    optimizer = optax.chain(
        optax.clip_by_global_norm(0.5),
        optax.adamw(
            lambda count: rates[count],
            b2=0.99,
            weight_decay=0.1,
            mask={name: one.decays for name, one in small.model.declared.items()},
        ),
    )
    params = small.initialise(0).params
    moments = optimizer.init(params)
    expected = []
    gradient = jax.jit(
        jax.value_and_grad(lambda given, batch: next_token_losses(small.model.build(given), batch).mean())
    )
    for batch in batches:
        loss, slope = gradient(params, batch)
        updates, moments = optimizer.update(slope, moments, params)
        params = optax.apply_updates(params, updates)
        expected.append(float(loss))
    np.testing.assert_allclose(losses, expected, rtol=1e-5)
    for name, value in params.items():
        np.testing.assert_allclose(state.params[name], value, atol=1e-4)
    assert float(state.tail_loss) == pytest.approx(sum(losses[10:]), rel=1e-5)


def test_training_reaches_the_entropy_of_a_markov_source_and_not_less() -> None:
    rng = np.random.default_rng(0)
    transitions = rng.dirichlet(np.full(8, 0.5), 8)
    values, vectors = np.linalg.eig(transitions.T)
    stationary = np.real(vectors[:, np.argmax(np.real(values))])
    stationary /= stationary.sum()
    entropy = float(-(stationary[:, None] * transitions * np.log(transitions)).sum())
    text = np.zeros(400 * 8 * 16 + 1, np.int32)
    for index, draw in enumerate(rng.random(len(text) - 1)):
        text[index + 1] = min(7, np.searchsorted(np.cumsum(transitions[text[index]]), draw))
    model = ModelConfig(layers=1, width=16, heads=2, kv_heads=2, ffn_width=32, vocabulary=8, sequence_length=16)
    trained = program(model)
    windows = np.lib.stride_tricks.sliding_window_view(text, 17)[::16].reshape(400, 8, 17)
    settings = Settings(0.9, 0.99, 1e-8, 0.95, 0.0, 0.0, 1.0)
    hyper = Hyper(Schedule(1e-2, 20.0, 250.0, 150.0, 1.0), settings, multipliers(model), NEVER)
    _, losses = trained.train(trained.initialise(0), windows, 400, hyper)
    final = float(np.mean(np.asarray(losses)[-100:]))
    assert np.mean(np.asarray(losses)[:5]) > entropy + 0.5
    assert entropy - 0.03 < final < entropy + 0.05
