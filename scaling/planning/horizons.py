"""From tokens to a horizon: whole optimiser steps, the last of them a decay."""

import math
from fractions import Fraction

from scaling.config import Own, Schedule, TrainingConfig
from scaling.records import Horizon, Recipe

FALLING = ("cosine", "linear")
"""Schedules whose rate falls from the warm-up on, so that each horizon is a run of its own."""


def falls(schedule: Schedule) -> bool:
    """Whether the rate knows how long a run is, so that each horizon is a run of its own; one's own may."""
    return isinstance(schedule, Own) or schedule in FALLING


def horizon_at(
    tokens: Fraction,
    budget: float,
    recipe: Recipe,
    sequence_length: int,
    training: TrainingConfig,
    round_up: bool = False,
) -> Horizon:
    """The horizon of the whole steps that are nearest to `tokens`; or of the first that reach them."""
    exact_steps = recipe.batches.steps(Fraction(tokens.numerator, tokens.denominator * sequence_length))
    steps = max(1, math.ceil(exact_steps) if round_up else round(exact_steps))
    decay_steps = max(training.minimum_decay_steps, _decay_steps(training, recipe, steps))
    return Horizon(
        tokens=recipe.batches.before(steps) * sequence_length,
        steps=steps,
        decay_steps=decay_steps if training.schedule == "wsd" else 0,
        decay_shape=training.decay_shape,
        budget=budget,
    )


def _decay_steps(training: TrainingConfig, recipe: Recipe, steps: int) -> int:
    """The last steps that hold training.decay_fraction of a horizon's tokens."""
    if not recipe.batch_ramp:
        return round(training.decay_fraction * steps)
    return steps - round(recipe.batches.steps((1 - Fraction(training.decay_fraction)) * recipe.batches.before(steps)))
