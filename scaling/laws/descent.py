"""The descent behind the solver, compiled: damped Newton steps on a Huber objective for a batch of starts.

H = J' diag(c) J with c = w inside the threshold and mu w delta / |r| outside of it. At mu = 1 that is the reweighted
least-squares majoriser, which never overshoots and crawls near the optimum; at mu = 0 it is Newton's (Madsen and
Nielsen 1990), which ends there in a few steps. mu follows the Levenberg-Marquardt damping, and that the share of what
the quadratic model promised which a step has kept (Nielsen 1999, eq. 2.2). Runs under float64.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from scaling.laws.objective import huber

MAX_STEPS = 400
PATIENCE = 2
"""Consecutive steps that promise or bring next to nothing before a start is done."""
FIRST_DAMPING, MOST_DAMPING = 1e-3, 1e12
"""Relative to the Hessian's diagonal. No step helps beyond the latter."""
MAJORISED = 1e4
"""mu over the damping, up to mu = 1. Between 1e3 and 1e6 the number of steps hardly differs."""
BOUND_TURNS = 3
"""How often a step is solved for as bounds stop some of its coordinates."""
ROUNDING = 1e-15
"""Residuals below this, relative to the target, are as good as none."""

Measure = Callable[[jax.Array, jax.Array], tuple[jax.Array, jax.Array, jax.Array]]


class Place(NamedTuple):
    """Where each start of a batch stands: all that it takes to go on from there, beside whichever others.

    Attributes:
      z: (batch, parameters).
      mu: (batch,) of the Hessian there.
      damping, rise: (batch,) of the next step, and its factor should that step fail.
      calm: (batch,) how many steps in a row have done nothing.
      steps: (batch,) so far.
    """

    z: Any
    mu: Any
    damping: Any
    rise: Any
    calm: Any
    steps: Any

    @classmethod
    def at(cls, z: Any) -> "Place":
        """At the beginning."""
        count = len(z)
        one = np.ones(count)
        return cls(z, one, FIRST_DAMPING * one, 2 * one, np.zeros(count, np.int32), np.zeros(count, np.int32))


def descend(
    measure: Measure,
    place: Place,
    lower: jax.Array,
    upper: jax.Array,
    held: jax.Array,
    least: jax.Array,
    tolerance: jax.Array,
    idle: jax.Array,
) -> tuple[Place, jax.Array, jax.Array]:
    """(places, objective, going) once at most `idle` starts are still going.

    `measure` (z, mu) -> objective, gradient, Hessian. Bounds and `held` (batch, parameters); `least` (batch,) is an
    objective that counts as 0. No start's result depends on the others, nor on when the batch comes back.
    """

    def going(place: Place, value: jax.Array) -> jax.Array:
        return (place.calm < PATIENCE) & (place.steps < MAX_STEPS) & jnp.isfinite(value)

    def step(state: tuple[Any, ...]) -> tuple[Any, ...]:
        place, value, gradient, hessian, first = state
        z, damping = place.z, place.damping
        active = going(place, value) & ~first
        blocked = held | ((z <= lower) & (gradient > 0)) | ((z >= upper) & (gradient < 0)) | ~jnp.isfinite(gradient)
        away = step_within(hessian, gradient, damping, blocked, lower - z, upper - z)
        moved = jnp.where(first, z, jnp.clip(z + away, lower, upper))
        mu = jnp.where(first, place.mu, jnp.minimum(1.0, MAJORISED * damping))
        new_value, new_gradient, new_hessian = measure(moved, mu)
        slope = jnp.where(blocked, 0.0, gradient) + 0.5 * jnp.einsum("bpq,bq->bp", hessian, away)
        promised = -jnp.sum(away * slope, axis=1)
        gain = value - new_value
        better = active & (gain >= 0)
        small = tolerance * value + least
        calm = ((promised >= 0) & (promised <= small)) | (better & (gain <= small)) | (damping >= MOST_DAMPING)
        kept = 2 * jnp.clip(gain / jnp.maximum(promised, 1e-300), 0.0, 1.0) - 1
        change = jnp.where(better, jnp.maximum(1 / 3, 1 - kept**3), place.rise)
        place = Place(
            z=jnp.where(better[:, None], moved, z),
            mu=jnp.where(better, mu, place.mu),
            damping=jnp.where(active, damping * change, damping),
            rise=jnp.where(active, jnp.where(better, 2.0, 2 * place.rise), place.rise),
            calm=jnp.where(active, jnp.where(calm, place.calm + 1, 0), place.calm),
            steps=place.steps + active,
        )
        new = better | first
        return (
            place,
            jnp.where(new, new_value, value),
            jnp.where(new[:, None], new_gradient, gradient),
            jnp.where(new[:, None, None], new_hessian, hessian),
            jnp.array(False),
        )

    def busy(state: tuple[Any, ...]) -> jax.Array:
        place, value, _, _, first = state
        return first | (jnp.sum(going(place, value)) > idle)

    # The first turn only measures where the starts are: `measure` is compiled once, not once more before the loop.
    size, width = place.z.shape
    nothing = (jnp.zeros(size), jnp.zeros((size, width)), jnp.zeros((size, width, width)))
    place, value, _, _, _ = jax.lax.while_loop(busy, step, (place, *nothing, jnp.array(True)))
    return place, value, going(place, value)


def measured(
    named: Callable[[jax.Array], Any],
    predicted: Callable[[Any, jax.Array], jax.Array],
    x: jax.Array,
    y: jax.Array,
    w: jax.Array,
    delta: jax.Array,
    blocks: jax.Array,
    block: int,
) -> Measure:
    """What `descend` measures, a `block` of rows at a time: its arrays stay in the cache, its memory does not grow.

    `named` takes z (parameters,) to the equation's parameters, `predicted` takes these and x (inputs, block) to the
    prediction (block,). x (inputs, rows); y, w (batch, rows); the first `blocks` blocks hold all the rows that count.
    """
    batch = y.shape[0]

    def measure(z: jax.Array, mu: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        width = z.shape[1]

        def tangents(one: jax.Array) -> tuple[Any, Any]:
            values, push = jax.linearize(named, one)
            return values, jax.vmap(push)(jnp.eye(width))

        values, directions = jax.vmap(tangents)(z)

        def one_block(index: jax.Array, sums: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
            x_block, y_block, w_block = (
                jax.lax.dynamic_slice_in_dim(array, index * block, block, 1) for array in (x, y, w)
            )

            def rows(values: Any, directions: Any) -> tuple[jax.Array, jax.Array]:
                prediction, push = jax.linearize(lambda given: predicted(given, x_block), values)
                return prediction, jax.vmap(push)(directions)

            prediction, jacobian = jax.vmap(rows)(values, directions)
            r = prediction - y_block
            far = delta / jnp.maximum(jnp.abs(r), 1e-300)
            pull = w_block * jnp.minimum(1.0, far) * r
            curvature = w_block * jnp.where(far >= 1, 1.0, far * mu[:, None])
            value, gradient, hessian = sums
            return (
                value + jnp.sum(w_block * huber(r, delta), axis=1),
                gradient + jnp.einsum("br,bpr->bp", pull, jacobian),
                hessian + jnp.einsum("bpr,bqr->bpq", jacobian * curvature[:, None], jacobian),
            )

        nothing = (jnp.zeros(batch), jnp.zeros((batch, width)), jnp.zeros((batch, width, width)))
        value, gradient, hessian = jax.lax.fori_loop(0, blocks, one_block, nothing)
        return (
            jnp.where(jnp.isfinite(value), value, jnp.inf),
            gradient,
            jnp.where(jnp.isfinite(hessian), hessian, 0.0),
        )

    return measure


def step_within(
    hessian: jax.Array,
    gradient: jax.Array,
    damping: jax.Array,
    blocked: jax.Array,
    lowest: jax.Array,
    highest: jax.Array,
) -> jax.Array:
    """The damped step whose coordinates stay between `lowest` and `highest` (batch, p): those that would leave go to
    their bound, and the others are solved for again, given that."""

    def again(state: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        step, stopped, _, turn = state
        moved = jnp.einsum("bpq,bq->bp", hessian, jnp.where(stopped, step, 0.0))
        free = damped_step(hessian, gradient + moved, damping, blocked | stopped)
        within = jnp.where(stopped, step, jnp.clip(free, lowest, highest))
        leaves = ~stopped & (within != free)
        return within, stopped | leaves, jnp.any(leaves), turn + 1

    start: tuple[jax.Array, ...] = (
        jnp.zeros_like(gradient),
        jnp.zeros_like(blocked),
        jnp.array(True),
        jnp.array(0, jnp.int32),
    )
    return jax.lax.while_loop(lambda state: state[2] & (state[3] < BOUND_TURNS), again, start)[0]


def damped_step(hessian: jax.Array, gradient: jax.Array, damping: jax.Array, blocked: jax.Array) -> jax.Array:
    """-(H + damping diag H)^-1 g, blocked coordinates left where they are: (batch, p, p), (batch, p) -> (batch, p)."""
    size = gradient.shape[1]
    free = ~blocked
    scale = jnp.where(free, jnp.sqrt(jnp.maximum(jnp.diagonal(hessian, axis1=1, axis2=2), 1e-30)), 1.0)
    both = free[:, :, None] & free[:, None, :]
    matrix = jnp.where(both, hessian / (scale[:, :, None] * scale[:, None, :]), 0.0)
    diagonal = jnp.where(free, 1.0 + damping[:, None], 1.0)
    matrix = jnp.where(jnp.eye(size, dtype=bool), diagonal[:, :, None], matrix)
    right = jnp.where(free, -gradient / scale, 0.0)

    # Gauss-Jordan, one column a turn: vectorised over the batch where LAPACK would be called one by one, and compiled
    # in the same tenth of a second whatever the number of parameters, where unrolled it took 5 s for 14.
    def eliminate(k: jax.Array, table: jax.Array) -> jax.Array:
        row = jax.lax.dynamic_slice_in_dim(table, k, 1, 1)
        row = row / jnp.maximum(jax.lax.dynamic_slice_in_dim(row, k, 1, 2), 1e-15)
        column = jax.lax.dynamic_slice_in_dim(table, k, 1, 2)
        return jnp.where((jnp.arange(size) == k)[:, None], row, table - column * row)

    solved = jax.lax.fori_loop(0, size, eliminate, jnp.concatenate([matrix, right[:, :, None]], axis=2))
    return jnp.where(free, solved[:, :, size] / scale, 0.0)
