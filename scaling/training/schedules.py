"""Warm-up, stable, decay: the rate as a jnp formula of traced numbers, so that all runs share one program."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from scaling.records import Horizon, Recipe

DECAY_POWER = {"linear": 1.0, "1-sqrt": 0.5}
"""decay(x) = 1 - x^power, x from 0 to 1 through the decay (Hägele 2024, section 3)."""

NEVER = 2.0**30
"""Fork step of a trunk: no decay."""


class Wsd(NamedTuple):
    """Traced scalars of a warm-up-stable-decay schedule. Steps count from 0."""

    peak: jax.Array | float
    warmup_steps: jax.Array | float
    fork_step: jax.Array | float
    decay_steps: jax.Array | float
    decay_power: jax.Array | float


def wsd(recipe: Recipe, batch_tokens: int, horizon: Horizon | None) -> Wsd:
    """The schedule of a trunk (`horizon` is None), or of the decay that ends at a horizon."""
    return Wsd(
        peak=recipe.learning_rate,
        warmup_steps=max(recipe.warmup_tokens / batch_tokens, 1.0),
        fork_step=NEVER if horizon is None else float(horizon.fork_step),
        decay_steps=1.0 if horizon is None else float(horizon.decay_steps),
        decay_power=DECAY_POWER["linear" if horizon is None else horizon.decay_shape],
    )


def learning_rate(schedule: Wsd, step: jax.Array) -> jax.Array:
    """peak x min(1, (step + 1) / warmup_steps) x (1 - x^power), x = (step - fork_step) / decay_steps in [0, 1]."""
    step = step.astype(jnp.float32)
    warmup = jnp.minimum(1.0, (step + 1) / schedule.warmup_steps)
    through = jnp.clip((step - schedule.fork_step) / schedule.decay_steps, 0.0, 1.0)
    return schedule.peak * warmup * (1.0 - through**schedule.decay_power)
