"""The schedule against a hand-made table."""

import jax.numpy as jnp
import pytest

from scaling.training.schedules import learning_rate, wsd
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
    schedule = wsd(RECIPE, 64, horizon(100, decay_steps=20, decay_shape=shape))
    assert float(learning_rate(schedule, jnp.int32(step))) == pytest.approx(1e-2 * factor, rel=1e-5)


def test_a_trunk_never_decays() -> None:
    assert float(learning_rate(wsd(RECIPE, 64, None), jnp.int32(10**8))) == pytest.approx(1e-2)


def test_no_warm_up_starts_at_the_peak() -> None:
    schedule = wsd(RECIPE.model_copy(update={"warmup_tokens": 0}), 64, None)
    assert float(learning_rate(schedule, jnp.int32(0))) == pytest.approx(1e-2)
