"""Both arms fitted as one law by the engine's solver, and fitted again to resamples.

min over parameters of sum_i w_i rho((on_a ln L_a + on_b ln L_b - target) / scale)_i, with scale^2 = 1, 1 + rho or
1 - rho for a single run, a sum and a difference (pairs.py).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from scaling.laws import solver, uncertainty
from scaling.laws.comparison import arms
from scaling.laws.comparison import noise as noises
from scaling.laws.comparison.pairs import DIFFERENCE, SUM, Beyond, Rows
from scaling.laws.errors import LawError
from scaling.laws.fitting import SAME_OPTIMUM
from scaling.laws.forms import Floats, LawForm
from scaling.laws.objective import Objective

TINY = 1e-300
SPREAD_DRAWS = 2000
"""Plausible noises behind a standard error's degrees of freedom."""


@dataclass(frozen=True)
class Joint:
    """A law of both arms at its optimum.

    Attributes:
      rows: the runs.
      problem: rows divided by their scale, ready to solve.
      correlation: rho by which they are scaled.
      z: (parameters,) in solver coordinates.
      value: of the objective.
      share: of the starts that reached it.
      fitted, jacobian: of each row's target before scaling, (rows,) and (rows, parameters).
      noise: of one run, and what pairs share.
    """

    rows: Rows
    problem: solver.Problem
    correlation: float
    z: Floats
    value: float
    share: float
    fitted: Floats
    jacobian: Floats
    noise: noises.PairNoise

    @property
    def params(self) -> dict[str, float]:
        """Joint parameters (arms.py)."""
        return {name: float(value) for name, value in self.problem.natural(self.z).items()}

    @property
    def inside(self) -> np.ndarray:
        """Places of the parameters that are solved for and do not lie at a bound."""
        lower, upper = self.problem.bounds
        room = 1e-6 * (upper - lower)
        off = (self.z > lower + room) & (self.z < upper - room)
        free = np.array([name in self.problem.free for name in self.problem.form.names])
        return np.flatnonzero(free & off)

    def spread(self, gradient: Floats, seed: int, beyond: Beyond) -> tuple[float, float]:
        """(standard error, its degrees of freedom) of a quantity by its `gradient` in the coordinates `inside`.

        The estimate is linear in the targets near the optimum, y -> g' (J'WJ)^-1 J'W y. Its variance over plausible
        noises is a scaled inverse chi-square of about that freedom, as after Satterthwaite.
        """
        rows = self.rows
        line = gradient @ self._estimator()[1]
        rho, common, row = self.noise.scales(SPREAD_DRAWS, np.random.default_rng(seed))
        variance = np.zeros(SPREAD_DRAWS)
        for kind in np.unique(rows.kind):
            here = rows.kind == kind
            alone = np.sum(line[here] ** 2 / rows.weight[here])
            together = np.sum(np.bincount(rows.cluster[here], weights=line[here]) ** 2)
            ratio = (1 + kind * rho) / (1 + kind * self.correlation)
            variance += ratio * (row**2 * alone + common**2 * together)
        variance += _apart(rows, line / rows.scale(self.correlation), beyond)
        doubt = max(float(np.var(np.log(variance))), TINY)
        # The variance of ln chi-square is 2 / freedom + 2 / freedom^2 to second order.
        freedom = (1 + np.sqrt(1 + 2 * doubt)) / doubt
        return float(np.sqrt(1 / np.mean(1 / variance))), float(min(freedom, 1e6))

    def unseen(self, errors: Floats) -> Floats:
        """The part of `errors` of the targets, (..., rows), that moves the law and leaves no residual."""
        J, line = self._estimator()
        scale = self.rows.scale(self.correlation)
        moved: Floats = (errors / scale) @ (J @ line).T * scale
        return moved

    def _estimator(self) -> tuple[Floats, Floats]:
        """(J, (J'WJ)^-1 J'W) of the scaled targets, in the coordinates `inside`."""
        J = self.jacobian[:, self.inside] / self.rows.scale(self.correlation)[:, None]
        weight = self.rows.weight
        return J, np.linalg.pinv(J.T @ (weight[:, None] * J)) @ (J.T * weight)


def problem(
    rows: Rows, form: LawForm, objective: Objective, correlation: float, pins: Mapping[str, float] | None = None
) -> solver.Problem:
    """The rows divided by their scale at `correlation`."""
    scale = rows.scale(correlation)
    inputs = rows.inputs | {"on_a": rows.on_a / scale, "on_b": rows.on_b / scale, arms.OBSERVED: rows.observed}
    return solver.Problem(
        form, {n: inputs[n] for n in form.inputs}, rows.target / scale, rows.weight, objective, pins or {}
    )


def fit(
    rows: Rows,
    form: LawForm,
    objective: Objective,
    starts: int,
    seed: int,
    *,
    correlation: float | None = None,
    pins: Mapping[str, float] | None = None,
) -> Joint:
    """The best of all starts. Where `correlation` is None, a first fit without it measures it."""
    if correlation is None and rows.pairs:
        correlation = fit(rows, form, objective, starts, seed, correlation=0.0, pins=pins).noise.correlation
    rho = correlation or 0.0
    given = problem(rows, form, objective, rho, pins)
    solution = solver.solve(given, solver.default_starts(given, starts, seed))
    best = int(np.argmin(solution.objective))
    z, value = solution.z[best], float(solution.objective[best])
    if not np.isfinite(value):
        raise LawError(
            f"{form.name} has no finite value on these rows from any of {starts} starts; "
            "look for a column in the wrong unit"
        )
    scale = rows.scale(rho)
    scaled, slopes = uncertainty.linearised(given, z)
    fitted, jacobian = scaled * scale, slopes * scale[:, None]
    free = [index for index, name in enumerate(form.names) if name in given.free]
    return Joint(
        rows=rows,
        problem=given,
        correlation=rho,
        z=z,
        value=value,
        share=float(np.mean(solution.objective <= value * (1 + SAME_OPTIMUM) + 1e-18)),
        fitted=fitted,
        jacobian=jacobian,
        noise=noises.estimate(rows, rows.target - fitted, jacobian[:, free]),
    )


def _apart(rows: Rows, line: Floats, beyond: Beyond) -> float:
    """Variance that errors beyond the residuals give to an estimate that is `line` (rows,) times the targets."""
    each = line @ rows.of_runs(np.eye(len(line))).T
    found = 0.0
    for arm, (common, row) in enumerate(beyond):
        here = rows.arm == arm
        together = np.bincount(rows.trajectory[here], weights=each[here])
        found += float(row**2 * np.sum(each[here] ** 2) + common**2 * np.sum(together**2))
    return found


def resampled(
    found: Joint, count: int, seed: int, method: str, beyond: Beyond
) -> tuple[dict[str, Floats], Floats, str]:
    """(joint parameter -> (count,), run noise (count,), method): refits of the law, as uncertainty.py has them.

    `pairs` draws trajectories with replacement, from each arm's own and from paired ones apart; paired trajectories
    stay together.
    """
    rows, generator = found.rows, np.random.default_rng(seed)
    if method == "auto":
        method = "pairs" if len(np.unique(rows.group)) >= uncertainty.PAIRS_FROM else "noise"
    drawn, run = found.noise.draw(rows, count, generator)
    apart = rows.apart(beyond, count, generator)
    starts = np.broadcast_to(found.z, (count, len(found.z)))
    tolerance = solver.RESAMPLE_TOLERANCE
    if method == "noise":
        target = (found.fitted + drawn + apart) / rows.scale(found.correlation)
        solution = solver.solve(found.problem, starts, target=target, tolerance=tolerance)
    else:
        weights = rows.weight * _times(rows, count, generator)
        target = found.problem.target + apart / rows.scale(found.correlation)
        solution = solver.solve(found.problem, starts, target=target, weights=weights, tolerance=tolerance)
    return found.problem.natural(solution.z), run, method


def null_ratios(null: Joint, wide: Joint, count: int, seed: int, beyond: Beyond) -> tuple[float, Floats]:
    """(objective of `null` / objective of `wide` - 1, the same for `count` tables drawn from `null`).

    `null` is a special case of `wide`, on the same rows. For single runs without trajectories the ratio is the F
    statistic times constants. Drawn tables have the noise that `wide` shows, and go through what the measured one goes
    through: rho anew from the residuals of `wide`, then both laws with rows scaled by it.
    """
    rows, scale = null.rows, null.rows.scale(null.correlation)
    generator = np.random.default_rng(seed)
    drawn, _ = wide.noise.draw(rows, count, generator)
    if any(map(any, beyond)):
        drawn = drawn + wide.unseen(rows.apart(beyond, count, generator))
    target = np.concatenate([rows.target[None], null.fitted + drawn]) / scale
    # The wide law starts where it equals the null, and where it fits the runs as measured.
    inside = replace(wide.problem, target=null.fitted / scale)
    equal = solver.solve(inside, np.concatenate([wide.z[None], solver.default_starts(inside, 32, seed)]))
    starts = (equal.z[np.argmin(equal.objective)], wide.z)
    weights = np.broadcast_to(rows.weight, target.shape)
    above, z = _refitted(wide, starts, target, weights)
    if rows.pairs:
        residual = (target - wide.problem.fitted(z)) * scale
        rho = _moments(wide, residual)
        weights = rows.weight * (scale / rows.scale(rho)) ** 2
        above, _ = _refitted(wide, starts, target, weights)
    below, _ = _refitted(null, (null.z,), target, weights)
    ratios = below / np.maximum(np.minimum(above, below), TINY) - 1
    return float(ratios[0]), ratios[1:]


def _refitted(found: Joint, starts: tuple[Floats, ...], target: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """(objective, z) of each target, the best of the starts."""
    values, points = [], []
    for start in starts:
        solution = solver.solve(
            found.problem,
            np.broadcast_to(start, (len(target), len(start))),
            target=target,
            weights=weights,
            tolerance=solver.RESAMPLE_TOLERANCE,
        )
        values.append(solution.objective)
        points.append(solution.z)
    best = np.argmin(values, axis=0)
    each = np.arange(len(target))
    return np.stack(values)[best, each], np.stack(points)[best, each]


def _moments(found: Joint, residual: Floats) -> Floats:
    """rho of each row of residuals, from the mean squares of sums and of differences: 1 + rho and 1 - rho."""
    rows = found.rows
    root = np.sqrt(rows.weight) / rows.scale(found.correlation)
    u, s, _ = np.linalg.svd(found.jacobian * root[:, None], full_matrices=False)
    left = 1 - np.sum(u[:, s > 1e-8 * s.max()] ** 2, axis=1)
    sums, differences = (
        np.sum(rows.weight[here] * residual[:, here] ** 2, axis=1) / np.sum(left[here])
        for here in (rows.kind == SUM, rows.kind == DIFFERENCE)
    )
    rho: Floats = np.clip((sums - differences) / np.maximum(sums + differences, TINY), -0.99, 0.9999)
    return rho


def _times(rows: Rows, count: int, generator: np.random.Generator) -> Floats:
    """How often each row is drawn, (count, rows)."""
    times = np.zeros((count, len(rows.group)))
    for stratum in np.unique(rows.stratum):
        here = np.flatnonzero(rows.stratum == stratum)
        known, place = np.unique(rows.group[here], return_inverse=True)
        drawn = generator.multinomial(len(known), np.full(len(known), 1 / len(known)), size=count)
        times[:, here] = drawn[:, place]
    return times
