"""Stacked trajectories: each is what it is alone, and one that diverges is frozen and touches nobody."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from scaling.models import multipliers
from scaling.training.optimizers import Settings
from scaling.training.population import population, stacked
from scaling.training.schedules import NEVER, Schedule
from scaling.training.step import Hyper, program
from tests.conftest import MODEL

STEPS = 12
RATES = (3e-3, 1e-2, 3e3)
"""The last one diverges."""
LIMIT = 8.0


def hyper(rate: float) -> Hyper:
    settings = Settings(0.9, 0.99, 1e-8, 0.95, 0.1, 0.0, 1e9)
    return Hyper(Schedule(rate, 1.0, NEVER, 1.0, 1.0), settings, multipliers(MODEL), NEVER)


def batches(seed: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).integers(0, 257, (STEPS, 4, 17)).astype(np.int32)


def test_members_are_what_they_are_alone_and_a_diverged_one_is_frozen() -> None:
    alone = program(MODEL)
    together = population(MODEL)
    state = together.initialise(jnp.arange(3), jnp.full(3, 0.9))
    tokens = np.stack([batches(seed) for seed in range(3)])
    alive, losses = jnp.ones(3, bool), []
    for first in (0, 6):
        part = tokens[:, first : first + 6]
        given = stacked([hyper(rate) for rate in RATES])
        state, found, alive = together.train(state, part, 6, np.full(3, 6), given, jnp.full(3, LIMIT), alive)
        losses.append(np.asarray(found))
    losses_PK = np.concatenate(losses, axis=1)
    assert np.asarray(alive).tolist() == [True, True, False]
    for place, rate in enumerate(RATES[:2]):
        own, expected = alone.train(alone.initialise(place), tokens[place], STEPS, hyper(rate))
        np.testing.assert_allclose(losses_PK[place], expected, atol=1e-5)
        for one, two in zip(jax.tree.leaves(own), jax.tree.leaves(together.take(state, place)), strict=True):
            np.testing.assert_allclose(one, two, atol=1e-4)
    frozen = together.take(state, 2)
    steps = int(frozen.step)
    assert 0 < steps < STEPS
    before, _ = alone.train(alone.initialise(2), tokens[2], steps, hyper(RATES[2]))
    for one, two in zip(jax.tree.leaves(before.params), jax.tree.leaves(frozen.params), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-4)
    assert losses_PK[2, steps] > LIMIT
