"""Bowls: ln L around its least over the swept hyper-parameters, one bowl for each cell of a sweep.

    ln L = c + g.x + x'Hx / 2 + k.(cubes of t),   x = ln h - centre,   t = ln h - ln h at the minimum

c, g and H are each cell's own; the skew k, by which the loss rises faster on one side, is common to all cells and 0
where the sweep does not show it. The lowest of several noisy losses is biased low; a bowl's minimum is not, as it is
read off all of them. No JAX.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import fdtri

from scaling.laws.forms import Floats
from scaling.laws.procedures import quadratics
from scaling.laws.procedures.cells import Cell, Rows, between_seeds

REACH = 0.03
"""Settings whose ln L lies farther above their cell's lowest leave the bowl: far off, the loss is no quadratic."""
REACH_IN_NOISE = 5.0
"""The same in standard deviations of the noise, where that is more: noise must not decide which settings stay."""
CLIFF = 3.0
"""Settings that far above the lowest, in reaches, have left the bowl whatever it says: too high a learning rate."""
OUTLIER = 2.5
"""Standardised residual from which a row counts for less (Huber)."""
SKEWED = 0.01
"""Significance at which a common skew is taken to be there."""
PASSES = 4
SAME = 1e-9


@dataclass(frozen=True)
class Bowl:
    """One cell's bowl.

    Attributes:
      rows: (kept,) row numbers of the cell that it is fitted to.
      centre: (k,) mean of their ln h.
      low, high: (k,) range of x in which its minimum is sought.
      open_below, open_above: (k,) nothing was measured beyond that end.
      design: (kept, terms), as quadratics.py orders them; zero where the settings cannot tell a term.
      cubes: (kept, cubes) of ln h less that at the minimum.
      weight: (kept,) outliers' less.
      solver: (terms, kept) what takes ln L, less its skew, to the coefficients (terms,).
      skew_solver: (cubes, kept) what this cell's ln L adds to the common skew (cubes,).
      skew_spread: (cubes, cubes) the skew's covariance, for noise of variance 1.
    """

    rows: Rows
    centre: Floats
    low: Floats
    high: Floats
    open_below: Rows
    open_above: Rows
    design: Floats
    cubes: Floats
    weight: Floats
    solver: Floats
    skew_solver: Floats
    skew_spread: Floats
    coefficients: Floats
    skew: Floats

    @property
    def terms(self) -> int:
        """How many coefficients the settings can tell."""
        return int(np.any(self.design != 0, axis=0).sum())

    @property
    def swept(self) -> Rows:
        """(k,) whether the rows differ in it."""
        return self.high - self.low > SAME

    @property
    def fitted(self) -> Floats:
        """(kept,) ln L of the bowl."""
        return self.design @ self.coefficients + self.cubes @ self.skew

    @property
    def leverage(self) -> Floats:
        """(kept,) how much of its own ln L each row's fitted value takes: 1 where the bowl goes through it."""
        return np.minimum(np.einsum("rt,tr->r", self.design, self.solver), 1.0)

    def value(self, logs: Floats) -> Floats:
        """ln L of the bowl at ln h (..., k), but for its skew."""
        return quadratics.terms(logs - self.centre) @ self.coefficients

    def lowest(self, coefficients: Floats) -> tuple[Floats, Floats]:
        """(ln h (..., k), ln L (...)) at the minimum within the range, for coefficients (..., terms)."""
        x, value = quadratics.lowest(coefficients, self.low, self.high)
        return x + self.centre, value


@dataclass(frozen=True)
class Minimum:
    """Where a bowl is lowest.

    Attributes:
      logs, logs_se: (k,) ln h there, and its standard error: at most half the range, as where it is at an end.
      log_loss, log_loss_se: ln L there, corrected for its second-order bias, and its standard error.
      at_edge: (k,) swept, and lowest at an end beyond which nothing was measured.
      curvature: (k, k) of ln L in ln h.
    """

    logs: Floats
    logs_se: Floats
    log_loss: float
    log_loss_se: float
    at_edge: Rows
    curvature: Floats


def fit(cells: Sequence[Cell], reach: float = REACH) -> list[Bowl]:
    """A bowl for each cell, robust to runs gone wrong. Terms that a cell's settings cannot tell are 0."""
    reach = max(reach, REACH_IN_NOISE * between_seeds(cells))
    bowls = [_near(cell, reach) for cell in cells]
    for _ in range(PASSES):
        bowls = _skewed(cells, bowls)
        sizes = np.concatenate([_standardised(c, b)[b.leverage < 0.99] for c, b in zip(cells, bowls, strict=True)])
        scale = 1.4826 * float(np.median(np.abs(sizes))) if len(sizes) else 0.0
        if scale > 0:
            bowls = [_reweighted(cell, bowl, scale) for cell, bowl in zip(cells, bowls, strict=True)]
    return bowls


def minimum(bowl: Bowl, noise: float) -> Minimum:
    """Where `bowl` is lowest, and how sure that is if ln L of one run has standard deviation `noise`."""
    logs, value = bowl.lowest(bowl.coefficients)
    x = logs - bowl.centre
    at_low, at_high = x <= bowl.low + SAME, x >= bowl.high - SAME
    free = bowl.swept & ~at_low & ~at_high
    pulled = bowl.solver @ bowl.cubes
    covariance = noise**2 * ((bowl.solver / bowl.weight) @ bowl.solver.T + pulled @ bowl.skew_spread @ pulled.T)
    curvature = quadratics.curvature(bowl.coefficients, len(x))
    half = (bowl.high - bowl.low) / 2
    se, shift = half.copy(), 0.0
    if free.any():
        # At the minimum g + Hx = 0, so that x moves by -H^-1 times what moves g + Hx; the mean of the lowest value is
        # below the lowest mean by tr(H cov x) / 2.
        inner = curvature[np.ix_(free, free)]
        inverse, slopes = np.linalg.inv(inner), quadratics.slopes(x)[free]
        spread = inverse @ slopes @ covariance @ slopes.T @ inverse
        se[free] = np.minimum(np.sqrt(np.diag(spread)), half[free])
        shift = 0.5 * float(np.trace(inner @ spread))
    at = quadratics.terms(x)
    value_se = float(np.sqrt(at @ covariance @ at))
    return Minimum(
        logs=logs,
        logs_se=se,
        log_loss=float(value) + min(shift, value_se),
        log_loss_se=value_se,
        at_edge=bowl.swept & ((at_low & bowl.open_below) | (at_high & bowl.open_above)),
        curvature=curvature,
    )


def _near(cell: Cell, reach: float) -> Bowl:
    """The bowl of the settings within `reach` of the minimum, by the bowl itself: a setting's own noise does not
    decide whether it stays, which would flatten the bowl."""
    settings, place, means = cell.settings()
    bowl = _fitted(cell, np.flatnonzero(np.isin(place, _least(settings, means, reach))))
    bearable = np.flatnonzero(means <= means.min() + CLIFF * reach)
    for _ in range(PASSES):
        expected = bowl.value(settings[bearable]) - float(bowl.lowest(bowl.coefficients)[1])
        kept = np.flatnonzero(np.isin(place, bearable[_least(settings[bearable], expected, reach)]))
        nearer = _fitted(cell, kept)
        if nearer.terms < bowl.terms or np.array_equal(nearer.rows, bowl.rows):
            break
        bowl = nearer
    return bowl


def _least(settings: Floats, log_loss: Floats, reach: float) -> Rows:
    """Settings within `reach` of the lowest ln L; more where those could not hold a bowl."""
    order = np.argsort(log_loss, kind="stable")
    count = int(np.sum(log_loss <= log_loss.min() + reach))
    distinct = [len(np.unique(column)) for column in settings.T]
    needed = quadratics.term_count(sum(number > 1 for number in distinct)) + 1
    while count < np.isfinite(log_loss).sum() and (
        count < needed
        or any(len(np.unique(c[order[:count]])) < min(3, d) for c, d in zip(settings.T, distinct, strict=True))
    ):
        count += 1
    return order[:count]


def _fitted(cell: Cell, kept: Rows) -> Bowl:
    """The quadratic of these rows, without a skew."""
    logs = cell.logs[kept]
    centre = logs.mean(axis=0)
    x, beyond = logs - centre, cell.logs - centre
    low, high = x.min(axis=0), x.max(axis=0)
    cubes = quadratics.cubes(x)
    bowl = Bowl(
        rows=kept,
        centre=centre,
        low=low,
        high=high,
        open_below=beyond.min(axis=0) >= low - SAME,
        open_above=beyond.max(axis=0) <= high + SAME,
        design=quadratics.told(quadratics.terms(x)),
        cubes=cubes,
        weight=cell.weight[kept],
        solver=np.zeros(0),
        skew_solver=np.zeros(cubes.T.shape),
        skew_spread=np.zeros((cubes.shape[1], cubes.shape[1])),
        coefficients=np.zeros(0),
        skew=np.zeros(cubes.shape[1]),
    )
    return _solved(cell, bowl)


def _solved(cell: Cell, bowl: Bowl) -> Bowl:
    scale = np.sqrt(bowl.weight)
    solver: Floats = np.asarray(np.linalg.pinv(bowl.design * scale[:, None], rcond=1e-10) * scale, dtype=np.float64)
    return replace(bowl, solver=solver, coefficients=solver @ (cell.log_loss[bowl.rows] - bowl.cubes @ bowl.skew))


def _skewed(cells: Sequence[Cell], bowls: Sequence[Bowl]) -> list[Bowl]:
    """The bowls with the skew that all of them show together, about each one's minimum; with none if not significant.

    What a cell's own quadratic can take of a cube says nothing about the skew, so it is projected out of both.
    """
    size = bowls[0].cubes.shape[1]
    gram, pull, squares, left = np.zeros((size, size)), np.zeros(size), 0.0, []
    for cell, bowl in zip(cells, bowls, strict=True):
        cubes = quadratics.cubes(cell.logs[bowl.rows] - bowl.lowest(bowl.coefficients)[0])
        rest = cubes - bowl.design @ (bowl.solver @ cubes)
        own = cell.log_loss[bowl.rows]
        residual = own - bowl.design @ (bowl.solver @ own)
        left.append((cubes, rest))
        gram += rest.T @ (rest * bowl.weight[:, None])
        pull += rest.T @ (bowl.weight * residual)
        squares += float(np.sum(bowl.weight * residual**2))
    inverse: Floats = np.asarray(np.linalg.pinv(gram, rcond=1e-8, hermitian=True), dtype=np.float64)
    rank = int(np.linalg.matrix_rank(gram, hermitian=True, tol=1e-8 * max(np.trace(gram), 1e-300)))
    spare = sum(len(bowl.rows) - bowl.terms for bowl in bowls) - rank
    gain = float(pull @ inverse @ pull)
    shown = rank > 0 and spare > 0 and gain / rank > (squares - gain) / spare * float(fdtri(rank, spare, 1 - SKEWED))
    inverse = inverse if shown else np.zeros((size, size))
    return [
        _solved(
            cell,
            replace(
                bowl,
                cubes=cubes,
                skew=inverse @ pull,
                skew_solver=inverse @ (rest * bowl.weight[:, None]).T,
                skew_spread=inverse,
            ),
        )
        for cell, bowl, (cubes, rest) in zip(cells, bowls, left, strict=True)
    ]


def _standardised(cell: Cell, bowl: Bowl) -> Floats:
    residual = (cell.log_loss[bowl.rows] - bowl.fitted) * np.sqrt(cell.weight[bowl.rows])
    return residual / np.sqrt(np.maximum(1 - bowl.leverage, 0.01))


def _reweighted(cell: Cell, bowl: Bowl, scale: float) -> Bowl:
    size = np.abs(_standardised(cell, bowl)) / scale
    weight = cell.weight[bowl.rows] * np.minimum(1.0, OUTLIER / np.maximum(size, 1e-12))
    return _solved(cell, replace(bowl, weight=weight))
