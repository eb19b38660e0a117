"""How much a run's loss scatters: ln L = law + u(trajectory) + e(row) + m(row).

u ~ N(0, s_u^2) and e ~ N(0, s_e^2 / weight) differ from run to run and are estimated; m ~ N(0, v) is measurement, v
given with the table, else 0. Horizons of one trajectory share u, as they share a seed and a trunk; trajectories that
differ by their seed alone show u + e undisturbed by the law. All enter one restricted likelihood (REML, Patterson and
Thompson 1971) of the residuals of the linearised law, over a grid of the share s_u^2 / (s_u^2 + s_e^2). The scale
s_u^2 + s_e^2 is integrated out; where measurement errors are given it is a second axis of the grid. No JAX.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import fdtri

from scaling.laws.forms import Floats
from scaling.laws.values import Diagnostic

SHARES = np.linspace(0.0, 0.95, 20)
"""Shares of the variance that rows of one trajectory have in common."""
PRIOR = np.diff(np.sqrt((edges := np.array([0.0, *(SHARES[1:] + SHARES[:-1]) / 2, 0.975])) / (1 - edges)))
"""Weight of each share: flat in s_u / s_e (Gelman 2006, section 3.2). Flat in the share itself, intervals of what
trajectories tell apart (alpha, N*) covered 92% instead of 95% in simulation."""
SCALES = 60
"""Values of s_u^2 + s_e^2 where errors are given, even in ln(s_u^2 + s_e^2 + their median): a prior flat in that is the
scale's usual 1 / s^2 above the errors, and proper below them."""
HIGHEST_SCALE = 300.0
"""Times the mean square of the residuals; the grid's lower end is 0, its knee at least LOWEST_KNEE of that mean."""
LOWEST_KNEE = 1e-3


@dataclass(frozen=True)
class Given:
    """Measurement errors that come with a table.

    Attributes:
      variance: (rows,) of each target, in the squared unit of the residuals.
      weight: (rows,) the table's own, before the errors enter it.
    """

    variance: Floats
    weight: Floats


@dataclass(frozen=True)
class Noise:
    """The noise of a table under a fitted law, and how sure that is.

    Attributes:
      shares, belief: grid of s_u^2 / (s_u^2 + s_e^2) and its normalised restricted likelihood times the prior.
      sum_squares: (grid,) residual sum of squares in units of s_e^2; s_e^2 itself where `freedom` is 0.
      freedom: degrees of freedom of the scale; 0 where the grid holds the scale itself.
      floor: run-to-run variance that replicates show where it is significantly above the residuals', else 0.
      between_seeds, seed_freedom: standard deviation over seeds at one N and D, as measured, and its degrees of
        freedom; None, 0 where the table has no replicates.
      residual: root mean square of the residuals, corrected for the fitted parameters.
      evaluation: standard deviation of a typical row's measurement; 0 where none is given.
    """

    shares: Floats
    belief: Floats
    sum_squares: Floats
    freedom: int
    floor: float
    between_seeds: float | None
    seed_freedom: int
    residual: float
    evaluation: float = 0.0

    def draw(self, count: int, generator: np.random.Generator) -> tuple[Floats, Floats]:
        """`count` plausible (s_u, s_e): shares by belief, scale by its inverse chi-square."""
        pick = generator.choice(len(self.shares), size=count, p=self.belief)
        scale = generator.chisquare(self.freedom, size=count) if self.freedom else np.ones(count)
        row = np.sqrt(self.sum_squares[pick] / scale)
        share = self.shares[pick]
        common = row * np.sqrt(share / (1 - share))
        total = np.hypot(row, common)
        stretch = np.sqrt(max(1.0, self.floor / max(np.median(total**2), 1e-300))) if self.floor else 1.0
        return common * stretch, row * stretch

    @property
    def typical(self) -> tuple[float, float]:
        """(s_u, s_e) by their expected variances."""
        row = self.sum_squares / max(self.freedom, 1)
        common = row * self.shares / (1 - self.shares)
        row_mean, common_mean = float(self.belief @ row), float(self.belief @ common)
        stretch = max(1.0, self.floor / max(row_mean + common_mean, 1e-300)) if self.floor else 1.0
        return float(np.sqrt(common_mean * stretch)), float(np.sqrt(row_mean * stretch))

    @property
    def run(self) -> float:
        """Standard deviation of a new run's loss, measured as the table's typical row is."""
        return float(np.hypot(np.hypot(*self.typical), self.evaluation))

    def weights(self, variance: Floats) -> Floats:
        """(s^2 + least variance) / (s^2 + variance) with s^2 = s_u^2 + s_e^2: at most 1, and 1 where all are equal."""
        run = max(float(np.sum(np.square(self.typical))), 1e-30)
        return (run + variance.min()) / (run + variance)


def estimate(
    residual: Floats,
    jacobian: Floats,
    cluster: np.ndarray[Any, Any],
    weight: Floats,
    cells: Floats,
    variance: Floats | None = None,
) -> Noise:
    """The noise behind `residual` (rows,) of a law with `jacobian` (rows, free parameters).

    `cells` (rows, inputs) are ln N and ln D: rows that agree in them and differ in their trajectory are replicates.
    `variance` (rows,) is that of measurement.
    """
    _, place, sizes = np.unique(cluster, return_inverse=True, return_counts=True)
    scale = np.sqrt(weight)
    J = _independent(jacobian * scale[:, None])
    freedom = max(1, len(residual) - J.shape[1])
    # With every row a trajectory of its own nothing tells u from e, and nothing needs to.
    shares = SHARES if sizes.max() > 1 else SHARES[:1]
    prior = PRIOR[: len(shares)]
    mean_square = float(np.sum((residual * scale) ** 2) / freedom)
    if variance is None or not np.any(variance > 0):
        variance = None
        likelihood, squares = np.empty(len(shares)), np.empty(len(shares))
        for index, share in enumerate(shares):
            log_size, squares[index] = _restricted(residual * scale, J, scale, place, len(sizes), share / (1 - share))
            likelihood[index] = -0.5 * (log_size + freedom * np.log(max(squares[index], 1e-300)))
    else:
        # The same basis of the law's columns, so that likelihoods compare; weights now differ along the grid.
        basis = J / scale[:, None]
        knee = max(float(np.median(variance)), LOWEST_KNEE * mean_square, 1e-30)
        totals = knee * np.expm1(np.linspace(0.0, np.log1p(HIGHEST_SCALE * mean_square / knee), SCALES))
        shares, totals = (grid.ravel() for grid in np.meshgrid(shares, totals, indexing="ij"))
        prior = np.repeat(prior, SCALES)
        likelihood, squares = np.empty(len(shares)), totals * (1 - shares)
        for index, (share, total) in enumerate(zip(shares, totals, strict=True)):
            z = 1 / np.sqrt(np.maximum(total * (1 - share) / weight + variance, 1e-30))
            log_size, quadratic = _restricted(residual * z, basis * z[:, None], z, place, len(sizes), share * total)
            likelihood[index] = -0.5 * (log_size - 2 * float(np.sum(np.log(z))) + quadratic)
    belief = np.exp(likelihood - likelihood.max()) * prior
    belief /= belief.sum()
    row_freedom = freedom if variance is None else 1
    run_variance = float(belief @ (squares / row_freedom / (1 - shares)))
    between, seed_freedom, measured = _replicates(residual, cluster, cells, variance)
    limit = (run_variance + measured) * _upper_f(seed_freedom, freedom) if seed_freedom else np.inf
    significant = between is not None and between**2 > limit
    return Noise(
        shares=shares,
        belief=belief,
        sum_squares=np.maximum(squares, 1e-30),
        freedom=freedom if variance is None else 0,
        floor=max(between**2 - measured, 0.0) if significant and between is not None else 0.0,
        between_seeds=between,
        seed_freedom=seed_freedom,
        residual=float(np.sqrt(mean_square)),
        evaluation=0.0 if variance is None else float(np.sqrt(np.median(variance))),
    )


def _restricted(
    r: Floats, J: Floats, z: Floats, place: np.ndarray[Any, Any], clusters: int, ratio: float
) -> tuple[float, float]:
    """(ln|V| + ln|J' V^-1 J|, r' P r) for V = I + ratio z z' within clusters, by rank-one updates: linear in rows."""
    size = np.bincount(place, weights=z * z, minlength=clusters)
    shrink = ratio / (1 + ratio * size)

    def inner(a: Floats, b: Floats) -> Floats:
        # A law that depends on nothing has no columns.
        sums_a, sums_b = (
            np.array([np.bincount(place, weights=z * column, minlength=clusters) for column in side.T]).reshape(
                side.shape[1], clusters
            )
            for side in (a, b)
        )
        return a.T @ b - (sums_a * shrink) @ sums_b.T

    y = r[:, None]
    gram, cross, total = inner(J, J), inner(J, y), inner(y, y)
    quadratic = float((total - cross.T @ np.linalg.solve(gram, cross))[0, 0])
    log_v = float(np.sum(np.log1p(ratio * size)))
    return log_v + float(np.linalg.slogdet(gram)[1]), max(quadratic, 0.0)


def _independent(J: Floats) -> Floats:
    """An orthonormal basis of the columns of J, those that are next to dependent left out."""
    length = np.linalg.norm(J, axis=0)
    u, s, _ = np.linalg.svd(J / np.where(length > 0, length, 1.0), full_matrices=False)
    return u[:, s > 1e-8 * s.max()]


def _replicates(
    residual: Floats, cluster: np.ndarray[Any, Any], cells: Floats, variance: Floats | None
) -> tuple[float | None, int, float]:
    """(pooled standard deviation over trajectories at one N and D, its degrees of freedom, measurement's share of its
    variance)."""
    squares, freedom, measured = 0.0, 0, 0.0
    _, place = np.unique(np.round(cells, 3), axis=0, return_inverse=True)
    place = place.ravel()
    for cell in np.unique(place):
        rows = np.flatnonzero(place == cell)
        if len(np.unique(cluster[rows])) > 1:
            squares += float(np.sum((residual[rows] - residual[rows].mean()) ** 2))
            freedom += len(rows) - 1
            measured += (len(rows) - 1) * float(variance[rows].mean()) if variance is not None else 0.0
    return (float(np.sqrt(squares / freedom)), freedom, measured / freedom) if freedom else (None, 0, 0.0)


def _upper_f(numerator: int, denominator: int) -> float:
    return float(fdtri(numerator, denominator, 0.95))


def simulate(
    cluster: np.ndarray[Any, Any],
    weight: Floats,
    common: Floats,
    row: Floats,
    generator: np.random.Generator,
    variance: Floats | None = None,
) -> Floats:
    """Noise of ln L (draws, rows): `common` (draws,) once a trajectory, `row` (draws,) and measurement once a row."""
    names, place = np.unique(cluster, return_inverse=True)
    shared = generator.standard_normal((len(common), len(names)))[:, place] * common[:, None]
    size = row[:, None] / np.sqrt(weight)
    if variance is not None:
        size = np.hypot(size, np.sqrt(variance))
    return shared + generator.standard_normal((len(common), len(weight))) * size


def errors_not_used(standard_error: Floats | None, instead: str) -> list[Diagnostic]:
    """That a procedure reads all noise from the rows, where the table gives standard errors (rows,)."""
    if standard_error is None:
        return []
    message = f"given standard errors are not used: {instead}; give weights where noise differs between rows"
    return [Diagnostic("standard_errors_not_used", float(np.median(standard_error)), message, "note")]


def summary(noise: Noise, trajectories: int) -> dict[str, Any]:
    """Standard deviations of ln L as a LawFit keeps them, and how they were had."""
    common, row = noise.typical
    seeds = (
        f"seeds at one N and D differ by {noise.between_seeds:.3g} ({noise.seed_freedom} degrees of freedom)"
        if noise.between_seeds is not None
        else "no replicates: run-to-run noise is read from the residuals alone"
    )
    given = f"; measurement as the table gives it, {noise.evaluation:.3g} in a typical row" if noise.evaluation else ""
    return {
        "between_seeds": noise.between_seeds,
        "seed_degrees_of_freedom": noise.seed_freedom,
        "between_trajectories": common,
        "within_trajectory": row if noise.shares.max() > 0 else None,
        "evaluation": noise.evaluation or None,
        "residual": noise.residual,
        "run": noise.run,
        "trajectories": trajectories,
        "measured": f"standard deviations of ln L by restricted likelihood of residuals and replicates; {seeds}{given}",
    }
