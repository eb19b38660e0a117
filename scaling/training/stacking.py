"""How many trajectories of one shape to step at once: as asked, or whatever number was measured to be fastest.

On an accelerator a small model's step takes as long as its launches, and P stacked ones hardly longer; on a CPU every
operation already has all of a core, and vmap only makes them slower.
"""

import logging
import time
from collections.abc import Callable, Iterator
from typing import Literal

import jax
import numpy as np

from scaling.config import StudyError
from scaling.records import Trajectory
from scaling.training.loop import hyper_parameters
from scaling.training.population import Population, stacked

LOG = logging.getLogger(__name__)
WORTH_TWICE = 1.1
"""Twice as many must take this many times the steps a second, or else what is there is enough."""


def places(
    asked: Literal["auto"] | int,
    waiting: int,
    least: int,
    speed: Callable[[int], float | None],
) -> int:
    """How many of `waiting` trajectories to step at once: a multiple of `least`, the mesh's axis `population`.

    `speed` (places) -> steps a second of all of them, None where they do not fit; it is asked on accelerators alone.

    Raises:
      StudyError: several at once in a job of several processes.
    """
    if jax.process_count() > 1:
        if least > 1 or asked not in ("auto", 1):
            name = "engine.mesh.population" if least > 1 else "engine.stack"
            raise StudyError(
                f"{name} steps several trajectories at once, which a job of several processes cannot; use 1"
            )
        return 1
    if asked != "auto":
        return least_places(asked, waiting, least)
    most = _rounded_up(waiting, least)
    if jax.default_backend() == "cpu" or waiting <= 1:
        return least
    return fastest(least, most, speed)


def least_places(asked: Literal["auto"] | int, waiting: int, least: int) -> int:
    """As many as are asked for, in multiples of `least` and no more than are waiting; `least` where it is measured."""
    return least if asked == "auto" else min(_rounded_up(asked, least), _rounded_up(waiting, least))


def fastest(least: int, most: int, speed: Callable[[int], float | None]) -> int:
    """`least`, or the last doubling of it, up to `most`, that was worth it."""
    chosen, known = least, speed(least) or 0.0
    for candidate in _doublings(least, most):
        found = speed(candidate)
        if found is None or found < WORTH_TWICE * known:
            break
        chosen, known = candidate, found
    LOG.info("%d trajectories at once: %.0f steps a second together", chosen, known)
    return chosen


def steps_per_second(together: Population, like: Trajectory, steps: int, count: int) -> float | None:
    """Measured: one dispatch of `steps` steps of `count` trajectories like this one; None where memory is short."""
    hyper = stacked([hyper_parameters(like, like.horizons[0], trunk=True)] * count)
    tokens = np.zeros((count, steps, like.recipe.sequences, like.model.sequence_length + 1), np.int32)
    try:
        state = together.initialise(np.arange(count, dtype=np.int32), np.full(count, like.recipe.beta1, np.float32))
        took = 0.0
        for _ in range(2):  # the first one compiles
            started = time.monotonic()
            state, losses, _ = together.train(
                state,
                tokens,
                np.int32(steps),
                np.full(count, steps, np.int32),
                hyper,
                np.full(count, np.inf, np.float32),
                np.ones(count, bool),
            )
            jax.block_until_ready(losses)
            took = time.monotonic() - started
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        return None
    return count * steps / took


def _doublings(least: int, most: int) -> Iterator[int]:
    count = least
    while count < most:
        count = min(2 * count, most)
        yield count


def _rounded_up(count: int, unit: int) -> int:
    return -(-max(count, 1) // unit) * unit
