"""Resamples of a fit: what the same study would have given with other seeds.

`noise`: new losses are drawn from the fitted law with the measured noise (noise.py), a common part for each
trajectory and one for each row, its scale drawn anew each time, and fitted again from the optimum. Right for the few
dozen runs of one study, where resampling trajectories covers 87 to 100% instead of 95% and is up to half as wide again.
`pairs`: trajectories are drawn with replacement, fewer than there are by the parameters fitted to them. Needs many;
assumes nothing about the noise.
`rows`: the same with rows, as if none shared a trajectory.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.special import fdtrc

from scaling.laws import noise as noises
from scaling.laws import solver
from scaling.laws.forms import Floats
from scaling.laws.values import Diagnostic

METHODS = ("auto", "noise", "pairs", "rows")
PAIRS_FROM = 50
"""Trajectories from which `pairs` is the default."""
PAIRS_HELD = (87, 100)
"""Percent of 95% intervals that held the truth with 6 to 20 trajectories resampled (docs/uncertainty.md)."""
FEW_INSIDE = 0.25
"""Share of residuals within the Huber threshold below which a fit is one by least absolute deviations."""
AT_BOUND = 0.1
"""Share of resamples with a parameter at its bound from which its interval is that of a cut-off distribution."""
SMALL_RESIDUAL = 0.05
"""Times the median: residuals below it count as it in the test of even noise."""
CHANCE = 0.002
"""Chance, if the noise were the same everywhere, of residuals as unequal as those that are reported."""
ROUNDS = 3
"""Fits until the weights that the estimated run-to-run variance makes of given errors have settled."""


@dataclass(frozen=True)
class Resamples:
    """Refitted laws.

    Attributes:
      z: (resamples, parameters) in solver coordinates.
      run_noise: (resamples,) standard deviation of ln L of one new run, measured as the table's typical row is.
      noise: what the residuals and replicates say.
      method: noise, pairs or rows.
    """

    z: Floats
    run_noise: Floats
    noise: noises.Noise
    method: str


def resample(
    problem: solver.Problem,
    z: Floats,
    cluster: np.ndarray[Any, Any],
    count: int,
    seed: int,
    method: str = "auto",
    given: noises.Given | None = None,
    beyond: tuple[float, float] = (0.0, 0.0),
) -> Resamples:
    """`count` refits of the law at `z` (parameters,). `method` is one of METHODS.

    With `given` errors the problem is the one that `reweighted` returned; its weights stay as they are in resamples.
    `beyond`: standard deviations, once a trajectory and once a row, of what comes on top of all that residuals show.
    """
    fitted, found = measured(problem, z, cluster, given)
    generator = np.random.default_rng(seed)
    if method == "rows":
        cluster = np.arange(len(cluster))
    names, place = np.unique(cluster, return_inverse=True)
    if method == "auto":
        method = "pairs" if len(names) >= PAIRS_FROM else "noise"
    common, row = found.draw(count, generator)
    tolerance = solver.RESAMPLE_TOLERANCE
    starts = np.broadcast_to(z, (count, len(z)))
    apart = _apart(cluster, count, beyond, generator)
    if method == "noise":
        target = fitted + drawn(problem, cluster, common, row, generator, given) + apart
        solution = solver.solve(problem, starts, target=target, tolerance=tolerance)
    else:
        times = _drawn_trajectories(problem, fitted, len(names), count, generator)
        moved = problem.target + apart if any(beyond) else None
        weights = problem.weights * times[:, place]
        solution = solver.solve(problem, starts, target=moved, weights=weights, tolerance=tolerance)
    run_noise = np.hypot(np.hypot(common, row), np.hypot(found.evaluation, np.hypot(*beyond)))
    return Resamples(z=solution.z, run_noise=run_noise, noise=found, method=method)


def _apart(
    cluster: np.ndarray[Any, Any], count: int, beyond: tuple[float, float], generator: np.random.Generator
) -> Floats:
    """(count, rows) errors that no residual shows; zeros, and nothing drawn, where there are none."""
    if not any(beyond):
        return np.zeros((count, len(cluster)))
    common, row = (np.full(count, size) for size in beyond)
    return noises.simulate(cluster, np.ones(len(cluster)), common, row, generator)


def _drawn_trajectories(
    problem: solver.Problem, fitted: Floats, trajectories: int, count: int, generator: np.random.Generator
) -> Floats:
    """How often each trajectory is drawn (count, trajectories): fewer in all than there are, by the parameters fitted.

    A fit's residuals are smaller than the noise by that much, and so resamples of all of them would scatter less than
    studies do; a mean's are drawn n - 1 at a time for the same reason (McCarthy and Snowden 1985). Below PAIRS_FROM the
    designs that resamples leave without a size or a budget widen them more than enough. Residuals beyond the Huber
    threshold do not shrink. Where nearly all are there, and each run is one row, the law goes through single runs and
    jumps from one to the next under whole numbers, which widens intervals: the weights are then those of the Bayesian
    bootstrap (Rubin 1981).
    """
    even = np.full(trajectories, 1 / trajectories)
    inside = float(np.mean(np.abs(problem.target - fitted) <= problem.objective.threshold))
    if trajectories < PAIRS_FROM:
        return generator.multinomial(trajectories, even, size=count).astype(np.float64)
    absolute = problem.objective.name == "absolute" or inside < FEW_INSIDE
    if absolute and trajectories == len(problem.target):
        return trajectories * generator.dirichlet(np.ones(trajectories), size=count)
    spent = 0 if problem.objective.name == "absolute" else round(len(problem.free) * inside)
    fewer = max(trajectories - spent, trajectories // 2)
    return generator.multinomial(fewer, even, size=count).astype(np.float64)


def measured(
    problem: solver.Problem, z: Floats, cluster: np.ndarray[Any, Any], given: noises.Given | None = None
) -> tuple[Floats, noises.Noise]:
    """(the law at `z` in the unit of the residuals (rows,), the noise around it)."""
    fitted, jacobian = linearised(problem, z)
    cells = np.stack([problem.inputs[name] for name in problem.form.inputs], axis=1)
    free = [index for index, name in enumerate(problem.form.names) if name in problem.free]
    weight, variance = (problem.weights, None) if given is None else (given.weight, given.variance)
    residual = problem.target - fitted
    return fitted, noises.estimate(residual, jacobian[:, free], cluster, weight, cells, variance)


def drawn(
    problem: solver.Problem,
    cluster: np.ndarray[Any, Any],
    common: Floats,
    row: Floats,
    generator: np.random.Generator,
    given: noises.Given | None = None,
) -> Floats:
    """Noise of other seeds (draws, rows), measurement included, for (s_u, s_e) of each draw."""
    if given is None:
        return noises.simulate(cluster, problem.weights, common, row, generator)
    return noises.simulate(cluster, given.weight, common, row, generator, given.variance)


def errors(problem: solver.Problem, standard_error: Floats | None) -> noises.Given | None:
    """Standard errors (rows,) in the target's unit, as the noise model takes them; None where none are given."""
    if standard_error is None:
        return None
    scale = np.exp(problem.target) if problem.objective.space == "log" else 1.0
    return noises.Given((standard_error / scale) ** 2, problem.weights)


def reweighted(
    problem: solver.Problem, solution: solver.Solution, cluster: np.ndarray[Any, Any], given: noises.Given
) -> tuple[solver.Problem, solver.Solution]:
    """The problem with each row weighted by its run-to-run and given variance, and its solution from the same starts.

    The run-to-run variance is a random effect, estimated by restricted likelihood at the last fit: a row with a large
    error counts less, and none counts for nothing merely because its own error is small.
    """
    for _ in range(ROUNDS):
        _, found = measured(problem, solution.z[int(np.argmin(solution.objective))], cluster, given)
        problem = replace(problem, weights=given.weight * found.weights(given.variance))
        solution = solver.solve(problem, solution.z)
    return problem, solution


def linearised(problem: solver.Problem, z: Floats) -> tuple[Floats, Floats]:
    """(prediction in the unit of the residuals, its Jacobian) at `z`: (rows,), (rows, parameters).

    By central differences, within the bounds; a coordinate that is held or tied has no derivative of its own.
    """
    size = len(z)
    width = 1e-5 * np.maximum(1.0, np.abs(z))
    moved = problem.fitted(np.concatenate([z[None], z + np.diag(width), z - np.diag(width)]))
    slopes = ((moved[1 : size + 1] - moved[size + 1 :]) / (2 * width[:, None])).T
    return moved[0], np.where(np.isfinite(slopes), slopes, 0.0)


def findings(problem: solver.Problem, z: Floats, again: Resamples, cluster: np.ndarray[Any, Any]) -> list[Diagnostic]:
    """What speaks against intervals from these resamples: their method's own limits, seen in this table."""
    found = []
    clusters, rows = len(np.unique(cluster)), len(cluster)
    if again.method in ("pairs", "rows") and clusters < PAIRS_FROM:
        low, high = PAIRS_HELD
        message = (
            f"{clusters} trajectories are too few to resample: in simulated studies of 6 to 20 such 95% intervals "
            f"held the truth in {low} to {high}% of cases, one parameter too rarely and another too often. "
            "Use method noise"
        )
        found.append(Diagnostic("too_few_to_resample", clusters, message))
    if again.method == "rows" and clusters < rows:
        common, row = again.noise.typical
        share = common**2 / max(common**2 + row**2, 1e-300)
        message = (
            f"rows were resampled as if independent, {rows / clusters:.3g} of each trajectory, whose noise is "
            f"{share:.0%} common to it: the intervals are too narrow. Use method noise or pairs"
        )
        found.append(Diagnostic("rows_share_trajectories", share, message))
    if again.method == "noise":
        found += _uneven(problem, z, cluster)
    lower, upper = problem.bounds
    room = 1e-6 * (upper - lower)
    for index, name in enumerate(problem.form.names):
        column = again.z[:, index]
        share = float(np.mean((column <= lower[index] + room[index]) | (column >= upper[index] - room[index])))
        if name in problem.free and share > AT_BOUND and len(column) > 1:
            message = (
                f"{name} is at its bound in {share:.0%} of the resamples: intervals of what depends on it, long "
                f"extrapolations above all, hold the truth in 92 to 99% of cases instead of 95%. Pin {name} if known"
            )
            found.append(Diagnostic("resamples_at_bound", share, message, "note"))
    return found


def _uneven(problem: solver.Problem, z: Floats, cluster: np.ndarray[Any, Any]) -> list[Diagnostic]:
    """Whether residuals scatter more in some runs than in others, along the inputs.

    An F test of ln(root mean square residual of a trajectory) on the inputs, as Harvey's (1976) of ln r^2.
    """
    fitted, _ = linearised(problem, z)
    _, place, counts = np.unique(cluster, return_inverse=True, return_counts=True)
    squares = (problem.target - fitted) ** 2 * problem.weights
    size = np.sqrt(np.bincount(place, weights=squares) / counts)
    # A few residuals next to 0, as least absolute deviations leave them, must not speak for all.
    size = np.log(np.maximum(size, SMALL_RESIDUAL * np.median(size)) + 1e-300)
    inputs = {name: np.bincount(place, weights=values) / counts for name, values in problem.inputs.items()}
    x = np.stack([(own - own.mean()) / max(float(own.std()), 1e-12) for own in inputs.values()], axis=1)
    freedom = len(size) - x.shape[1] - 1
    if freedom < 5:
        return []
    size -= size.mean()
    slopes = np.linalg.lstsq(x, size, rcond=None)[0]
    trend = x @ slopes
    left = float(np.sum((size - trend) ** 2))
    f = (float(np.sum(size**2)) - left) / x.shape[1] / max(left / freedom, 1e-300)
    if fdtrc(x.shape[1], freedom, f) > CHANCE:
        return []
    most = int(np.argmax(np.abs(slopes)))
    ratio = float(np.exp(np.ptp(trend)))
    side = f"{'high' if slopes[most] > 0 else 'low'} {list(inputs)[most]}"
    message = (
        f"residuals scatter {ratio:.2g} times more in some runs than in others, more at {side}; method noise "
        f"takes them for alike. Give weights (1 / variance), or with {PAIRS_FROM} trajectories or more use method pairs"
    )
    return [Diagnostic("noise_uneven", ratio, message)]
