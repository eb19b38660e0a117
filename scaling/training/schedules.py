"""The learning rate as a jnp formula of traced numbers, so that the runs of all schedules share one program."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import jax
import jax.numpy as jnp

from scaling.config import Own, loaded
from scaling.records import Horizon, Recipe

DECAY_POWER = {"linear": 1.0, "1-sqrt": 0.5}
"""fall(x) = 1 - x^power, x from 0 to 1 through the decay (Hägele 2024, section 3)."""

NEVER = 2.0**30
"""Step at which the rate of a trunk begins to fall."""


class Schedule(NamedTuple):
    """Traced scalars of warm-up, stable phase and fall. Steps count from 0."""

    peak: jax.Array | float
    warmup_steps: jax.Array | float
    fall_start: jax.Array | float
    fall_steps: jax.Array | float
    power: jax.Array | float
    """Of 1 - x^power; 0 for (1 + cos(pi x)) / 2 (Loshchilov 2017)."""
    final: jax.Array | float = 0.0
    """Where the rate ends, as a share of the peak."""


Formula = Callable[[Schedule, jax.Array], jax.Array]
"""(numbers, float32 step) -> the rate."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class OwnSchedule:
    """The numbers of a run under a formula of the user's own, which is part of the program."""

    numbers: Schedule
    formula: Formula = field(metadata={"static": True})


def schedule(recipe: Recipe, sequence_length: int, horizon: Horizon | None) -> Schedule | OwnSchedule:
    """The rate of a trunk (`horizon` is None), or of the decay that ends at a horizon."""
    warmup = max(float(recipe.warmup_steps(sequence_length)), 1.0)
    start, steps, power = NEVER, 1.0, 1.0
    if recipe.total_steps is not None:
        # The warm-up's last step is at the peak already.
        start, steps = warmup - 1, max(recipe.total_steps - warmup + 1, 1.0)
        power = 0.0 if recipe.schedule == "cosine" else 1.0
    elif horizon is not None and horizon.decay_steps:
        start, steps = float(horizon.fork_step), float(horizon.decay_steps)
        power = DECAY_POWER[horizon.decay_shape]
    numbers = Schedule(recipe.learning_rate, warmup, start, steps, power, recipe.final_rate)
    return OwnSchedule(numbers, loaded(recipe.schedule)) if isinstance(recipe.schedule, Own) else numbers


def learning_rate(given: Schedule | OwnSchedule, step: jax.Array) -> jax.Array:
    """peak x min(1, (step + 1) / warmup_steps) x (final + (1 - final) x fall(x)), or the user's own formula.

    x = (step - fall_start) / fall_steps, within 0 and 1.
    """
    step = step.astype(jnp.float32)
    if isinstance(given, OwnSchedule):
        return given.formula(given.numbers, step)
    warmup = jnp.minimum(1.0, (step + 1) / given.warmup_steps)
    x = jnp.clip((step - given.fall_start) / given.fall_steps, 0.0, 1.0)
    fall = jnp.where(
        given.power > 0, 1.0 - x ** jnp.where(given.power > 0, given.power, 1.0), (1 + jnp.cos(jnp.pi * x)) / 2
    )
    return given.peak * warmup * (given.final + (1.0 - given.final) * fall)
