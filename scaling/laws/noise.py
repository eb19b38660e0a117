"""How much a run's loss scatters: ln L = law + u(trajectory) + e(row), u ~ N(0, s_u^2), e ~ N(0, s_e^2 / weight).

Horizons of one trajectory share u, as they share a seed and a trunk; trajectories that differ by their seed alone show
u + e undisturbed by the law. Both enter one restricted likelihood (REML, Patterson and Thompson 1971) of the residuals
of the linearised law, over a grid of the share s_u^2 / (s_u^2 + s_e^2). No JAX.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import fdtri

from scaling.laws.forms import Floats

SHARES = np.linspace(0.0, 0.95, 20)
"""Shares of the variance that rows of one trajectory have in common."""
PRIOR = np.diff(np.sqrt((edges := np.array([0.0, *(SHARES[1:] + SHARES[:-1]) / 2, 0.975])) / (1 - edges)))
"""Weight of each share: flat in s_u / s_e (Gelman 2006, section 3.2). Flat in the share itself, intervals of what
trajectories tell apart (alpha, N*) covered 92% instead of 95% in simulation."""


@dataclass(frozen=True)
class Noise:
    """The noise of a table under a fitted law, and how sure that is.

    Attributes:
      shares, belief: grid of s_u^2 / (s_u^2 + s_e^2) and its normalised restricted likelihood times PRIOR.
      sum_squares: (grid,) residual sum of squares in units of s_e^2.
      freedom: degrees of freedom of the scale.
      floor: run-to-run variance that replicates show where it is significantly above the residuals', else 0.
      between_seeds, seed_freedom: standard deviation over seeds at one N and D and its degrees of freedom; None, 0
        where the table has no replicates.
      residual: root mean square of the residuals, corrected for the fitted parameters.
    """

    shares: Floats
    belief: Floats
    sum_squares: Floats
    freedom: int
    floor: float
    between_seeds: float | None
    seed_freedom: int
    residual: float

    def draw(self, count: int, generator: np.random.Generator) -> tuple[Floats, Floats]:
        """`count` plausible (s_u, s_e): shares by belief, scale by its inverse chi-square."""
        pick = generator.choice(len(self.shares), size=count, p=self.belief)
        row = np.sqrt(self.sum_squares[pick] / generator.chisquare(self.freedom, size=count))
        share = self.shares[pick]
        common = row * np.sqrt(share / (1 - share))
        total = np.hypot(row, common)
        stretch = np.sqrt(max(1.0, self.floor / np.median(total**2))) if self.floor else 1.0
        return common * stretch, row * stretch

    @property
    def typical(self) -> tuple[float, float]:
        """(s_u, s_e) by their expected variances."""
        scale = np.maximum(self.floor, 0.0)
        row = self.sum_squares / self.freedom
        common = row * self.shares / (1 - self.shares)
        row_mean, common_mean = float(self.belief @ row), float(self.belief @ common)
        stretch = max(1.0, scale / (row_mean + common_mean)) if scale else 1.0
        return float(np.sqrt(common_mean * stretch)), float(np.sqrt(row_mean * stretch))


def estimate(residual: Floats, jacobian: Floats, cluster: np.ndarray[Any, Any], weight: Floats, cells: Floats) -> Noise:
    """The noise behind `residual` (rows,) of a law with `jacobian` (rows, free parameters).

    `cells` (rows, inputs) are ln N and ln D: rows that agree in them and differ in their trajectory are replicates.
    """
    scale = np.sqrt(weight)
    r, J = residual * scale, _independent(jacobian * scale[:, None])
    freedom = max(1, len(r) - J.shape[1])
    _, place, sizes = np.unique(cluster, return_inverse=True, return_counts=True)
    # With every row a trajectory of its own nothing tells u from e, and nothing needs to.
    shares = SHARES if sizes.max() > 1 else SHARES[:1]
    likelihood, squares = np.empty(len(shares)), np.empty(len(shares))
    for index, share in enumerate(shares):
        likelihood[index], squares[index] = _restricted(r, J, scale, place, len(sizes), share / (1 - share), freedom)
    belief = np.exp(likelihood - likelihood.max()) * PRIOR[: len(shares)]
    belief /= belief.sum()
    variance = float(belief @ (squares / freedom / (1 - shares)))
    between, seed_freedom = _replicates(residual, cluster, cells)
    significant = between is not None and between**2 > variance * _upper_f(seed_freedom, freedom)
    return Noise(
        shares=shares,
        belief=belief,
        sum_squares=np.maximum(squares, 1e-30),
        freedom=freedom,
        floor=between**2 if significant and between is not None else 0.0,
        between_seeds=between,
        seed_freedom=seed_freedom,
        residual=float(np.sqrt(np.sum(r**2) / freedom)),
    )


def _restricted(
    r: Floats, J: Floats, z: Floats, place: np.ndarray[Any, Any], clusters: int, ratio: float, freedom: int
) -> tuple[float, float]:
    """(restricted log likelihood, r' P r) at s_u^2 = ratio s_e^2, by the clusters' rank-one updates: linear in rows."""
    size = np.bincount(place, weights=z * z, minlength=clusters)
    shrink = ratio / (1 + ratio * size)

    def inner(a: Floats, b: Floats) -> Floats:
        sums_a = np.stack([np.bincount(place, weights=z * column, minlength=clusters) for column in a.T])
        sums_b = np.stack([np.bincount(place, weights=z * column, minlength=clusters) for column in b.T])
        return a.T @ b - (sums_a * shrink) @ sums_b.T

    y = r[:, None]
    gram, cross, total = inner(J, J), inner(J, y), inner(y, y)
    quadratic = float((total - cross.T @ np.linalg.solve(gram, cross))[0, 0])
    log_v = float(np.sum(np.log1p(ratio * size)))
    log_gram = float(np.linalg.slogdet(gram)[1])
    return -0.5 * (log_v + log_gram + freedom * np.log(max(quadratic, 1e-300))), quadratic


def _independent(J: Floats) -> Floats:
    """An orthonormal basis of the columns of J, those that are next to dependent left out."""
    length = np.linalg.norm(J, axis=0)
    u, s, _ = np.linalg.svd(J / np.where(length > 0, length, 1.0), full_matrices=False)
    return u[:, s > 1e-8 * s.max()]


def _replicates(residual: Floats, cluster: np.ndarray[Any, Any], cells: Floats) -> tuple[float | None, int]:
    """Pooled standard deviation over trajectories at one N and D, and its degrees of freedom."""
    squares, freedom = 0.0, 0
    _, place = np.unique(np.round(cells, 3), axis=0, return_inverse=True)
    place = place.ravel()
    for cell in np.unique(place):
        rows = np.flatnonzero(place == cell)
        if len(np.unique(cluster[rows])) > 1:
            squares += float(np.sum((residual[rows] - residual[rows].mean()) ** 2))
            freedom += len(rows) - 1
    return (float(np.sqrt(squares / freedom)), freedom) if freedom else (None, 0)


def _upper_f(numerator: int, denominator: int) -> float:
    return float(fdtri(numerator, denominator, 0.95))


def simulate(
    cluster: np.ndarray[Any, Any], weight: Floats, common: Floats, row: Floats, generator: np.random.Generator
) -> Floats:
    """Noise of ln L (draws, rows): `common` (draws,) once a trajectory, `row` (draws,) once a row."""
    names, place = np.unique(cluster, return_inverse=True)
    shared = generator.standard_normal((len(common), len(names)))[:, place] * common[:, None]
    return shared + generator.standard_normal((len(common), len(weight))) * row[:, None] / np.sqrt(weight)


def summary(noise: Noise, trajectories: int) -> dict[str, Any]:
    """Standard deviations of ln L as a LawFit keeps them, and how they were had."""
    common, row = noise.typical
    seeds = (
        f"seeds at one N and D differ by {noise.between_seeds:.3g} ({noise.seed_freedom} degrees of freedom)"
        if noise.between_seeds is not None
        else "no replicates: run-to-run noise is read from the residuals alone"
    )
    return {
        "between_seeds": noise.between_seeds,
        "seed_degrees_of_freedom": noise.seed_freedom,
        "between_trajectories": common,
        "within_trajectory": row if len(noise.shares) > 1 else None,
        "residual": noise.residual,
        "run": float(np.hypot(common, row)),
        "trajectories": trajectories,
        "measured": f"standard deviations of ln L by restricted likelihood of residuals and replicates; {seeds}",
    }
