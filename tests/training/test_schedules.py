"""The schedule against a hand-made table."""

import math

import jax.numpy as jnp
import pytest

from scaling.training.schedules import learning_rate, schedule
from tests.conftest import RECIPE, horizon


@pytest.mark.parametrize(
    ("shape", "step", "factor"),
    [
        ("linear", 0, 1 / 4),  # warm-up: 256 tokens of 64 a step
        ("linear", 3, 1.0),
        ("linear", 79, 1.0),
        ("linear", 80, 1.0),  # the fork
        ("linear", 90, 0.5),
        ("linear", 99, 0.05),  # the last step; after it the rate would be zero
        ("1-sqrt", 85, 0.5),
        ("1-sqrt", 80, 1.0),
    ],
)
def test_warm_up_stable_decay(shape: str, step: int, factor: float) -> None:
    given = schedule(RECIPE, 16, horizon(100, decay_steps=20, decay_shape=shape))
    assert float(learning_rate(given, jnp.int32(step))) == pytest.approx(1e-2 * factor, rel=1e-5)


def test_a_trunk_never_decays() -> None:
    assert float(learning_rate(schedule(RECIPE, 16, None), jnp.int32(10**8))) == pytest.approx(1e-2)


def test_no_warm_up_starts_at_the_peak() -> None:
    given = schedule(RECIPE.model_copy(update={"warmup_tokens": 0}), 16, None)
    assert float(learning_rate(given, jnp.int32(0))) == pytest.approx(1e-2)


@pytest.mark.parametrize(
    ("name", "step", "factor"),
    [
        ("cosine", 3, 1.0),  # the end of the warm-up
        ("cosine", 51, 0.5 * (1 + math.cos(math.pi * 48 / 97))),
        ("cosine", 99, 0.5 * (1 + math.cos(math.pi * 96 / 97))),
        ("linear", 3, 1.0),
        ("linear", 51, 1 - 48 / 97),
        ("linear", 99, 1 / 97),  # after the last step the rate would be zero
        ("constant", 10**6, 1.0),
    ],
)
def test_schedules_over_a_whole_run(name: str, step: int, factor: float) -> None:
    total = None if name == "constant" else 100
    recipe = RECIPE.model_copy(update={"schedule": name, "total_steps": total})
    given = schedule(recipe, 16, horizon(100, decay_steps=0))
    assert float(learning_rate(given, jnp.int32(step))) == pytest.approx(1e-2 * factor, rel=1e-4)


def test_a_rate_may_end_above_zero() -> None:
    recipe = RECIPE.model_copy(update={"schedule": "cosine", "total_steps": 100, "final_rate": 0.1})
    assert float(learning_rate(schedule(recipe, 16, None), jnp.int32(10**4))) == pytest.approx(1e-3)
