"""min over z of sum_i w_i rho(residual_i(z)), for many starts and many resamples in one batched solve.

Coordinates z as the form's parameters declare them: exponents and asymptotes as they are, a coefficient as the
logarithm of its term at the centre of the data, which takes the condition number from 1e11 to about 1e3. Method:
damped Newton steps on the Huber objective (descent.py), exact Jacobians, bounds by an active set. Float64, enabled for
the solve only. Nothing grows faster than the rows: memory by chunks of starts, time by starting on a sample of them.
"""

import functools
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from scaling.laws.descent import PATIENCE, ROUNDING, Place, descend, measured
from scaling.laws.errors import LawError
from scaling.laws.forms import Floats, LawForm, natural
from scaling.laws.objective import DESCENT
from scaling.laws.problem import Problem, Rows

__all__ = ["RESAMPLE_TOLERANCE", "TOLERANCE", "Problem", "Solution", "default_starts", "solve"]

CHUNK, BLOCK = 32, 256
"""Starts of one compiled call, and rows that it works on at once: its arrays stay in the cache, and few starts are
carried along for the slowest one."""
TOLERANCE = 1e-13
"""Relative gain of the objective, in a step, that counts."""
RESAMPLE_TOLERANCE = 1e-9
"""The same for resamples, whose scatter is far above it."""
BEST_FEW = 16
"""Starts that are taken down to least absolute deviations."""
MANY_ROWS, SAMPLE_ROWS, SAMPLE_TOLERANCE = 8192, 2048, 1e-9
"""Tables longer than the first are solved on a sample of the second first, then in full from where that led."""
SAME_PLACE = 3
"""Decimals of z up to which starts have led to one place, and go on as one."""
REDRAWS = 8
"""How often starts at which the law has no finite value are drawn again."""


@dataclass(frozen=True)
class Solution:
    """Minima, one for each start or resample.

    Attributes:
      z: (batch, parameters) in solver coordinates.
      objective: (batch,) the objective's own value.
      iterations: of the slowest.
    """

    z: Floats
    objective: Floats
    iterations: int


@dataclass(frozen=True)
class _Batch:
    """What differs between starts. Arrays (batch, ...)."""

    target: Floats
    weights: Floats
    lower: Floats
    upper: Floats

    def only(self, keep: Rows) -> "_Batch":
        return _Batch(self.target[keep], self.weights[keep], self.lower[keep], self.upper[keep])


def solve(
    problem: Problem,
    starts: Floats,
    target: Floats | None = None,
    weights: Floats | None = None,
    tolerance: float = TOLERANCE,
    bounds: tuple[Floats, Floats] | None = None,
) -> Solution:
    """Minimise from every row of `starts` (batch, parameters).

    `target` and `weights` (batch, rows) give each its own data, as resamples need; the problem's own when None.
    `bounds` (lower, upper), each (parameters,) or (batch, parameters) in solver coordinates, give each its own box in
    place of the problem's; where the two are equal the coordinate is held there. That holds the parameter itself
    where `is_coordinate` (exponents, asymptotes, `real`); a coefficient, whose coordinate is its term at the centre of
    the data, is held by the problem's pins. Pins and ties hold whatever the bounds. Starts outside are moved inside.
    A start at which the law has no finite value stays there, with an objective of inf, and holds up no other. Batch and
    rows are padded to shared sizes, so that similar tables share one compiled program. No result depends on the other
    starts, but that least absolute deviations are reached by the best few alone, and that in a table of more than
    MANY_ROWS rows those that a sample of the rows has led to one place go on from there as one.
    """
    batch, rows, objective = len(starts), len(problem.target), problem.objective
    lower, upper = (np.broadcast_to(limit, starts.shape) for limit in bounds or problem.bounds)
    if np.any(lower > upper):
        name = problem.form.names[int(np.argmax(np.any(lower > upper, axis=0)))]
        raise LawError(
            f"bounds: the lower one of {name} is above the upper one; give (lower, upper) with lower <= upper"
        )
    given = _Batch(
        np.broadcast_to(problem.target if target is None else target, (batch, rows)),
        np.broadcast_to(problem.weights if weights is None else weights, (batch, rows)),
        lower,
        upper,
    )
    z, steps = np.clip(starts, lower, upper), 0
    typical = float(np.std(problem.target)) * 1e-2
    first = typical if objective.name == "absolute" else objective.threshold
    if rows > MANY_ROWS and target is None and weights is None and bounds is None:
        z, _, steps = _descended(problem, z, given, first, max(tolerance, SAMPLE_TOLERANCE), _sample(rows))
        free = [index for index, name in enumerate(problem.form.names) if name in problem.free]
        _, one, same = np.unique(np.round(z[:, free], SAME_PLACE), axis=0, return_index=True, return_inverse=True)
        z, value, more = _descended(problem, z[one], given.only(one), first, tolerance)
        z, value = z[same.ravel()], value[same.ravel()]
    else:
        z, value, more = _descended(problem, z, given, first, tolerance)
    steps += more
    if objective.name != "absolute":
        return Solution(z, value * (2 if objective.name == "least_squares" else 1), steps)
    kept = np.argsort(value, kind="stable")[:BEST_FEW] if target is None and weights is None else np.arange(batch)
    for share in DESCENT:
        z[kept], _, more = _descended(problem, z[kept], given.only(kept), typical * share, tolerance)
        steps += more
    return Solution(z, objective.value(problem.fitted(z) - given.target, given.weights), steps)


def default_starts(problem: Problem, count: int, seed: int) -> Floats:
    """(count, parameters): stratified over each parameter's range, shuffled per parameter (a Latin hypercube).

    Those at which the law has no finite value are drawn again, at random.
    """
    generator = np.random.default_rng(seed)
    low, high = np.array([parameter.starts(problem.data) for parameter in problem.form.parameters]).T
    strata = [(generator.permutation(count) + generator.random(count)) / count for _ in low]
    starts = np.clip(low + (high - low) * np.stack(strata, axis=1), *problem.bounds)
    rows = _sample(len(problem.target))
    lost = np.arange(count)
    for _ in range(REDRAWS):
        lost = lost[~np.all(np.isfinite(problem.fitted(starts[lost], rows)), axis=1)]
        if len(lost) == 0:
            break
        starts[lost] = np.clip(low + (high - low) * generator.random((len(lost), len(low))), *problem.bounds)
    return starts


def _sample(rows: int) -> Rows:
    """Some of many rows, always the same ones."""
    if rows <= MANY_ROWS:
        return slice(None)
    return np.sort(np.random.default_rng(0).choice(rows, SAMPLE_ROWS, replace=False))


def _descended(
    problem: Problem, starts: Floats, given: _Batch, delta: float, tolerance: float, rows: Rows = slice(None)
) -> tuple[Floats, Floats, int]:
    """(z, sum of Huber terms, steps of the slowest) of every start, on `rows` alone.

    A chunk comes back when most of it is done, and the others go on beside the next: none waits for a slow one.
    """
    form = problem.form
    inputs = np.stack([problem.inputs[name][rows] for name in form.inputs])
    count = inputs.shape[1]
    padded = _padded(count)
    block = min(padded, BLOCK)
    held = np.array([name not in problem.free for name in form.names])
    shared = (
        _pad(inputs, padded),
        np.array([problem.centres[name] for name in form.inputs]),
        np.array([name in problem.pins for name in form.names]),
        np.array([problem.pins.get(name, 1.0) for name in form.names]),
        delta,
        tolerance,
        -(-count // block),
    )
    places = Place.at(np.array(starts, dtype=np.float64))
    values = np.full(len(starts), np.inf)
    waiting = np.arange(len(starts))
    with jax.enable_x64(True), jax.default_device(_host()):
        while len(waiting):
            now, waiting = waiting[:CHUNK], waiting[CHUNK:]
            fill = np.concatenate([now, np.full(CHUNK - len(now), now[0])])
            own = given.only(fill)
            y, w = own.target[:, rows], own.weights[:, rows]
            place = Place(*(field[fill] for field in places))
            place.calm[len(now) :] = PATIENCE
            place, value, going = _minimise(
                form,
                problem.ties,
                problem.objective.space == "log",
                block,
                place,
                _pad(y, padded),
                _pad(w, padded, 0.0),
                own.lower,
                own.upper,
                held | (own.lower == own.upper),
                ROUNDING**2 * np.einsum("br,br->b", w, 1 + y * y),
                len(now) // 4 if len(waiting) else 0,
                *shared,
            )
            for kept, new in zip((*places, values), (*place, value), strict=True):
                kept[now] = np.asarray(new)[: len(now)]
            waiting = np.concatenate([now[np.asarray(going)[: len(now)]], waiting])
    return places.z, values, int(places.steps.max(initial=0))


# The lower optimisation level takes a quarter off the compilation and costs nothing at run time.
@functools.partial(jax.jit, static_argnums=(0, 1, 2, 3), compiler_options={"xla_backend_optimization_level": 1})
def _minimise(
    form: LawForm,
    ties: tuple[tuple[str, str], ...],
    log_space: bool,
    block: int,
    place: Place,
    y: jax.Array,
    w: jax.Array,
    lower: jax.Array,
    upper: jax.Array,
    held: jax.Array,
    least: jax.Array,
    idle: jax.Array,
    x: jax.Array,
    centres: jax.Array,
    pinned: jax.Array,
    pin_values: jax.Array,
    delta: jax.Array,
    tolerance: jax.Array,
    blocks: jax.Array,
) -> tuple[Place, jax.Array, jax.Array]:
    centre = dict(zip(form.inputs, centres, strict=True))

    def named(one: jax.Array) -> dict[str, jax.Array]:
        def fixed(index: int, value: jax.Array) -> jax.Array:
            return jnp.where(pinned[index], pin_values[index], value)

        return natural(form, one, centre, fixed, dict(ties), jnp)

    def predicted(values: dict[str, jax.Array], x: jax.Array) -> jax.Array:
        value = form.equation(values, dict(zip(form.inputs, x, strict=True)), jnp)
        value = jnp.broadcast_to(value, x.shape[1:])
        return jnp.log(jnp.where(value > 0, value, jnp.nan)) if log_space else value

    measure = measured(named, predicted, x, y, w, delta, blocks, block)
    return descend(measure, place, lower, upper, held, least, tolerance, idle)


def _host() -> jax.Device | None:
    """The processor, which has float64 and is not busy training; JAX's default device where JAX was told to hide it."""
    try:
        return jax.local_devices(backend="cpu")[0]
    except RuntimeError:
        return None


def _padded(rows: int) -> int:
    """Rows rounded up to a power of two (32 at least), beyond 256 to one of four: padded blocks cost no time."""
    if rows <= 256:
        return max(32, 1 << (rows - 1).bit_length())
    return 1 << 2 * ((rows - 1).bit_length() + 1 >> 1)


def _pad(values: Floats, size: int, value: float | None = None) -> Floats:
    """The last axis made `size` long, with `value` or the last one."""
    width = [(0, 0)] * (values.ndim - 1) + [(0, size - values.shape[-1])]
    return np.pad(values, width, mode="edge") if value is None else np.pad(values, width, constant_values=value)
