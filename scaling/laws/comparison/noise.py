"""The noise of two arms' runs and what a pair shares of it: rho by restricted likelihood.

Every part of a run's noise, its trajectory's u and its own e (scaling.laws.noise), has correlation rho with that of its
pair. Flat in atanh rho and in the logarithm of the scale, the prior under which pairs alone give Student's t. No JAX.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from scaling.laws import noise as noises
from scaling.laws.comparison.pairs import Rows
from scaling.laws.forms import Floats

CORRELATIONS = np.tanh(np.linspace(np.arctanh(-0.7), np.arctanh(0.999), 33))
"""Grid of rho."""
LIKELY = 1e-4
"""Belief below which a correlation is left out."""


@dataclass(frozen=True)
class PairNoise:
    """The noise behind both arms' rows.

    Attributes:
      correlations, belief: grid of rho and its normalised restricted likelihood; (0,) where nothing pairs up.
      each: for each rho, the noise of one run.
      correlation: the mean rho, by which rows are scaled.
      noise: of one run at the mean rho.
    """

    correlations: Floats
    belief: Floats
    each: tuple[noises.Noise, ...]
    correlation: float
    noise: noises.Noise

    def scales(self, count: int, generator: np.random.Generator) -> tuple[Floats, Floats, Floats]:
        """`count` plausible (rho, s_u, s_e)."""
        pick = generator.choice(len(self.correlations), size=count, p=self.belief)
        common, row = np.empty(count), np.empty(count)
        for index in np.unique(pick):
            here = pick == index
            common[here], row[here] = self.each[index].draw(int(here.sum()), generator)
        return self.correlations[pick], common, row

    def draw(self, rows: Rows, count: int, generator: np.random.Generator) -> tuple[Floats, Floats]:
        """(noise of each row's target (count, rows), standard deviation of one run's ln L (count,))."""
        rho, common, row = self.scales(count, generator)
        drawn = noises.simulate(rows.cluster, rows.weight, common, row, generator)
        return drawn * rows.scale(rho), np.hypot(common, row)

    def interval(self, level: float) -> tuple[float, float]:
        """(low, high) of rho."""
        edges = np.cumsum(self.belief) - self.belief / 2
        low, high = np.interp([(1 - level) / 2, (1 + level) / 2], edges, self.correlations)
        return float(low), float(high)


def estimate(rows: Rows, residual: Floats, jacobian: Floats) -> PairNoise:
    """The noise behind `residual` (rows,), target minus law, of a law with `jacobian` (rows, free parameters)."""
    if rows.pairs == 0:
        found = _at(rows, residual, jacobian, 0.0)
        return PairNoise(np.zeros(1), np.ones(1), (found,), 0.0, found)
    basis = _basis(jacobian)
    shares = _at(rows, residual, jacobian, 0.0).shares
    likelihood = np.empty((len(CORRELATIONS), len(shares)))
    squares = np.empty_like(likelihood)
    freedom = max(1, len(residual) - basis.shape[1])
    for index, rho in enumerate(CORRELATIONS):
        likelihood[index], squares[index] = _restricted(rows, residual, basis, float(rho), shares, freedom)
    joint = np.exp(likelihood - likelihood.max()) * noises.PRIOR[: len(shares)]
    belief = joint.sum(axis=1) / joint.sum()
    kept = np.flatnonzero(belief > LIKELY * belief.max())
    mean = float(belief @ CORRELATIONS)
    typical = _at(rows, residual, jacobian, mean)
    return PairNoise(
        correlations=CORRELATIONS[kept],
        belief=belief[kept] / belief[kept].sum(),
        each=tuple(
            replace(typical, belief=joint[k] / joint[k].sum(), sum_squares=np.maximum(squares[k], 1e-30)) for k in kept
        ),
        correlation=mean,
        noise=typical,
    )


def _at(rows: Rows, residual: Floats, jacobian: Floats, rho: float) -> noises.Noise:
    """The noise of one run where rho is known."""
    scale = rows.scale(rho)
    cells = np.column_stack([*rows.inputs.values(), rows.on_a, rows.on_b])
    return noises.estimate(residual / scale, jacobian / scale[:, None], rows.cluster, rows.weight, cells)


def _restricted(
    rows: Rows, residual: Floats, basis: Floats, rho: float, shares: Floats, freedom: int
) -> tuple[Floats, Floats]:
    """(restricted log likelihood, residual sum of squares in units of s_e^2) at each share of the trajectories."""
    root = np.sqrt(rows.weight)
    scaled = np.column_stack([basis, residual]) * (root / rows.scale(rho))[:, None]
    count = int(rows.cluster.max()) + 1
    sums = np.zeros((count, scaled.shape[1]))
    np.add.at(sums, rows.cluster, scaled * root[:, None])
    size = np.bincount(rows.cluster, weights=rows.weight, minlength=count)
    whole = scaled.T @ scaled
    likelihood, squares = np.empty(len(shares)), np.empty(len(shares))
    for index, share in enumerate(shares):
        ratio = share / (1 - share)
        inner = whole - (sums * (ratio / (1 + ratio * size))[:, None]).T @ sums
        gram, cross = inner[:-1, :-1], inner[:-1, -1]
        squares[index] = inner[-1, -1] - cross @ np.linalg.solve(gram, cross)
        log_v = rows.pairs * np.log1p(-(rho**2)) + np.sum(np.log1p(ratio * size))
        log_gram = np.linalg.slogdet(gram)[1]
        likelihood[index] = -0.5 * (log_v + log_gram + freedom * np.log(max(squares[index], 1e-300)))
    return likelihood, squares


def _basis(jacobian: Floats) -> Floats:
    """Orthonormal columns that span the Jacobian's, those next to dependent left out."""
    length = np.linalg.norm(jacobian, axis=0)
    u, s, _ = np.linalg.svd(jacobian / np.where(length > 0, length, 1.0), full_matrices=False)
    kept: Floats = u[:, s > 1e-8 * s.max()]
    return kept


def summary(found: PairNoise, rows: Rows, correlation: float, level: float, method: str) -> dict[str, Any]:
    """As a LawFit keeps it: standard deviations of ln L, and what pairs share; `correlation` scaled the rows."""
    low, high = found.interval(level)
    return noises.summary(found.noise, len(np.unique(rows.group))) | {
        "resampling": method,
        "pairs": rows.pairs,
        "pair_correlation": {"value": correlation, "low": low, "high": high, "level": level} if rows.pairs else None,
    }
