"""min over z of sum_i w_i rho(residual_i(z)), for many starts and many resamples in one batched solve.

Coordinates z as the form's parameters declare them: exponents and asymptotes as they are, a coefficient as the
logarithm of its term at the centre of the data, which takes the condition number from 1e11 to about 1e3. Method:
Levenberg-Marquardt on the reweighted least-squares majoriser (weights min(1, delta / |r|)), exact Jacobians, bounds by
an active set. Float64, enabled for the solve only.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from scaling.laws.forms import Data, Floats, LawForm, coordinates, natural
from scaling.laws.objective import DESCENT, Objective, huber

CHUNK_CELLS = 2**15
"""Batch times rows of one compiled call: its arrays stay in the cache."""
MAX_ITERATIONS = 400
PATIENCE = 4
"""Consecutive steps that gain less than TOLERANCE before a start is done."""
TOLERANCE = 1e-13
"""Relative gain of the objective, in a step, that counts."""
RESAMPLE_TOLERANCE = 1e-9
"""The same for resamples, whose scatter is far above it."""
BEST_FEW = 16
"""Starts that are taken down to least absolute deviations."""


@dataclass(frozen=True)
class Solution:
    """Minima, one for each start or resample.

    Attributes:
      z: (batch, parameters) in solver coordinates.
      objective: (batch,) the objective's own value.
      iterations: of the slowest chunk.
    """

    z: Floats
    objective: Floats
    iterations: int


@dataclass(frozen=True)
class Problem:
    """A form on data: its coordinates, bounds and rows. `inputs` as the equation gets them; `target` in the unit of
    the residuals (a logarithm in log space)."""

    form: LawForm
    inputs: Mapping[str, Floats]
    target: Floats
    weights: Floats
    objective: Objective
    pins: Mapping[str, float] = field(default_factory=dict)
    ties: tuple[tuple[str, str], ...] = ()

    @functools.cached_property
    def data(self) -> Data:
        return Data(self.inputs, np.exp(self.target) if self.objective.space == "log" else self.target)

    @functools.cached_property
    def centres(self) -> dict[str, float]:
        """Mean of each input: where coefficients are measured."""
        return {name: float(values.mean()) for name, values in self.inputs.items()}

    @functools.cached_property
    def bounds(self) -> tuple[Floats, Floats]:
        """(lowest, highest) z; equal where z is a pinned value. Other pinned values stay outside of z."""
        limits = np.array([parameter.bounds(self.data) for parameter in self.form.parameters])
        for index, parameter in enumerate(self.form.parameters):
            if parameter.name in self.pins and parameter.is_coordinate:
                limits[index] = self.pins[parameter.name]
        return limits[:, 0], limits[:, 1]

    @property
    def free(self) -> tuple[str, ...]:
        """Names of the parameters that are solved for."""
        held = {*self.pins, *(name for name, _ in self.ties)}
        return tuple(name for name in self.form.names if name not in held)

    def natural(self, z: Floats) -> dict[str, Floats]:
        """z (..., parameters) as named parameters of the equation, pins exact."""

        def fixed(index: int, value: Any) -> Any:
            name = self.form.names[index]
            return np.full_like(np.asarray(value, dtype=np.float64), self.pins[name]) if name in self.pins else value

        return natural(self.form, z, self.centres, fixed, dict(self.ties), np)

    def coordinates(self, params: Mapping[str, Any]) -> Floats:
        """Named parameters as z (..., parameters)."""
        return coordinates(self.form, params, self.centres)

    def fitted(self, z: Floats) -> Floats:
        """(..., rows) the prediction at z (..., parameters), in the unit of the residuals."""
        value = self.form.evaluate(self.natural(z[..., None, :]), self.inputs)
        if self.objective.space == "linear":
            return value
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.log(value)


def solve(
    problem: Problem,
    starts: Floats,
    target: Floats | None = None,
    weights: Floats | None = None,
    tolerance: float = TOLERANCE,
) -> Solution:
    """Minimise from every row of `starts` (batch, parameters).

    `target` and `weights` (batch, rows) give each its own data, as resamples need; the problem's own when None.
    Batch and rows are padded to shared sizes, so that similar tables share one compiled program.
    """
    batch, rows = starts.shape[0], problem.target.shape[0]
    y = np.broadcast_to(problem.target if target is None else target, (batch, rows))
    w = np.broadcast_to(problem.weights if weights is None else weights, (batch, rows))
    objective = problem.objective
    if objective.name != "absolute":
        z, value, steps = _in_chunks(problem, starts, y, w, objective.threshold, tolerance)
        return Solution(z, value * (2 if objective.name == "least_squares" else 1), steps)
    typical = float(np.std(problem.target)) * 1e-2
    z, value, steps = _in_chunks(problem, starts, y, w, typical, tolerance)
    kept = np.argsort(value, kind="stable")[:BEST_FEW] if target is None and weights is None else np.arange(batch)
    for share in DESCENT:
        z[kept], _, more = _in_chunks(problem, z[kept], y[kept], w[kept], typical * share, tolerance)
        steps += more
    return Solution(z, objective.value(problem.fitted(z) - y, w), steps)


def _in_chunks(
    problem: Problem, starts: Floats, y: Floats, w: Floats, delta: float, tolerance: float
) -> tuple[Floats, Floats, int]:
    """(z, sum of Huber terms, iterations) of every start, a chunk at a time."""
    form, batch = problem.form, len(starts)
    padded_rows = _padded(y.shape[1])
    chunk = max(1, min(256, CHUNK_CELLS // padded_rows))
    lower, upper = problem.bounds
    x = _pad(np.stack([problem.inputs[name] for name in form.inputs]), padded_rows, 1, "edge")
    centres = np.array([problem.centres[name] for name in form.inputs])
    pin_mask = np.array([name in problem.pins for name in form.names])
    pin_values = np.array([problem.pins.get(name, 1.0) for name in form.names])
    found: list[tuple[Floats, Floats, int]] = []
    with jax.enable_x64(True):
        for first in range(0, batch, chunk):
            part = slice(first, first + chunk)
            own_y = _pad(_pad(y[part], padded_rows, 1, "edge"), chunk, 0, "edge")
            own_w = _pad(_pad(w[part], padded_rows, 1, "constant"), chunk, 0, "edge")
            z0 = _pad(starts[part], chunk, 0, "edge")
            z, value, steps = _minimise(
                form,
                problem.ties,
                problem.objective.space == "log",
                z0,
                own_y,
                own_w,
                x,
                centres,
                pin_mask,
                pin_values,
                lower,
                upper,
                delta,
                tolerance,
            )
            found.append((np.asarray(z), np.asarray(value), int(steps)))
    return (
        np.concatenate([z for z, _, _ in found])[:batch],
        np.concatenate([value for _, value, _ in found])[:batch],
        max(steps for _, _, steps in found),
    )


def default_starts(problem: Problem, count: int, seed: int) -> Floats:
    """(count, parameters): stratified over each parameter's range, shuffled per parameter (a Latin hypercube)."""
    generator = np.random.default_rng(seed)
    columns = []
    for parameter in problem.form.parameters:
        low, high = parameter.starts(problem.data)
        strata = (generator.permutation(count) + generator.random(count)) / count
        columns.append(low + (high - low) * strata)
    return np.clip(np.stack(columns, axis=1), *problem.bounds)


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _minimise(
    form: LawForm,
    ties: tuple[tuple[str, str], ...],
    log_space: bool,
    z: jax.Array,
    y: jax.Array,
    w: jax.Array,
    x: jax.Array,
    centres: jax.Array,
    pinned: jax.Array,
    pin_values: jax.Array,
    lower: jax.Array,
    upper: jax.Array,
    delta: jax.Array,
    tolerance: jax.Array,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    inputs = {name: x[index] for index, name in enumerate(form.inputs)}
    centre = {name: centres[index] for index, name in enumerate(form.inputs)}
    tied = np.array([name in dict(ties) for name in form.names])

    def predicted(one: jax.Array) -> jax.Array:
        def fixed(index: int, value: jax.Array) -> jax.Array:
            return jnp.where(pinned[index], pin_values[index], value)

        value = form.equation(natural(form, one, centre, fixed, dict(ties), jnp), inputs, jnp)
        value = jnp.broadcast_to(value, y.shape[1:])
        return jnp.log(jnp.where(value > 0, value, jnp.nan)) if log_space else value

    def residuals(points: jax.Array) -> jax.Array:
        return jax.vmap(predicted)(points) - y

    def objective(r: jax.Array) -> jax.Array:
        value = jnp.sum(w * huber(r, delta), axis=1)
        return jnp.where(jnp.isfinite(value), value, jnp.inf)

    def step(state: tuple[Any, ...]) -> tuple[Any, ...]:
        z, r, value, damping, calm, count = state
        jacobian = jax.vmap(jax.jacfwd(predicted))(z)
        curvature = w * jnp.minimum(1.0, delta / jnp.maximum(jnp.abs(r), 1e-300))
        gradient = jnp.einsum("br,brp->bp", curvature * r, jacobian)
        hessian = jnp.einsum("brp,br,brq->bpq", jacobian, curvature, jacobian)
        blocked = pinned | tied | ((z <= lower) & (gradient > 0)) | ((z >= upper) & (gradient < 0))
        move = _damped_step(hessian, gradient, damping, blocked)
        moved = jnp.clip(z + move, lower, upper)
        moved_r = residuals(moved)
        moved_value = objective(moved_r)
        better = moved_value <= value
        gain = (value - moved_value) / value
        calm = jnp.where(better & (gain > tolerance), 0, calm + 1)
        keep = better[:, None]
        return (
            jnp.where(keep, moved, z),
            jnp.where(keep, moved_r, r),
            jnp.where(better, moved_value, value),
            jnp.clip(jnp.where(better, damping * 0.2, damping * 4.0), 1e-14, 1e10),
            calm,
            count + 1,
        )

    def going(state: tuple[Any, ...]) -> jax.Array:
        return (state[5] < MAX_ITERATIONS) & jnp.any(state[4] < PATIENCE)

    r = residuals(z)
    start = (z, r, objective(r), jnp.full(z.shape[0], 1e-2), jnp.zeros(z.shape[0], jnp.int32), jnp.int32(0))
    z, _, value, _, _, count = jax.lax.while_loop(going, step, start)
    return z, value, count


def _damped_step(hessian: jax.Array, gradient: jax.Array, damping: jax.Array, blocked: jax.Array) -> jax.Array:
    """-(H + damping diag H)^-1 g, blocked coordinates left where they are: (batch, p, p), (batch, p) -> (batch, p)."""
    size = gradient.shape[1]
    scale = jnp.sqrt(jnp.maximum(jnp.diagonal(hessian, axis1=1, axis2=2), 1e-30))
    free = ~blocked
    both = free[:, :, None] & free[:, None, :]
    scaled = jnp.where(both, hessian / (scale[:, :, None] * scale[:, None, :]), 0.0)
    rhs = jnp.where(free, -gradient / scale, 0.0)
    # Unrolled LDL^T over a handful of parameters: vectorised over the batch where LAPACK would be called one by one.
    pivots: list[jax.Array] = []
    factor: dict[tuple[int, int], jax.Array] = {}
    forward: list[jax.Array] = []
    for i in range(size):
        for j in range(i):
            total = scaled[:, i, j] - sum((factor[i, k] * factor[j, k] * pivots[k] for k in range(j)), jnp.array(0.0))
            factor[i, j] = total / pivots[j]
        diagonal = jnp.where(free[:, i], 1.0 + damping, 1.0)
        pivot = diagonal - sum((factor[i, k] ** 2 * pivots[k] for k in range(i)), jnp.array(0.0))
        pivots.append(jnp.maximum(pivot, 1e-15))
        forward.append(rhs[:, i] - sum((factor[i, k] * forward[k] for k in range(i)), jnp.array(0.0)))
    backward: dict[int, jax.Array] = {}
    for i in reversed(range(size)):
        backward[i] = forward[i] / pivots[i] - sum(
            (factor[k, i] * backward[k] for k in range(i + 1, size)), jnp.array(0.0)
        )
    return jnp.stack([backward[i] for i in range(size)], axis=1) / scale * free


def _padded(rows: int) -> int:
    """Rows rounded up to a power of two (32 at least), or a multiple of 32 up to 256."""
    if rows <= 256:
        return -(-rows // 32) * 32
    return 1 << (rows - 1).bit_length()


def _pad(values: Floats, size: int, axis: int, mode: Any) -> Floats:
    short = size - values.shape[axis]
    if short == 0:
        return np.ascontiguousarray(values)
    widths = [(0, short if axis == index else 0) for index in range(values.ndim)]
    return np.pad(values, widths, mode=mode)
