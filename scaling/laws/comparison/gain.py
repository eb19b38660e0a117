"""The compute-equivalent gain: the factor of compute that arm a needs more to reach arm b's compute-optimal loss.

L*(C) = min over N of L(N, C / flops_per_token(N)), each arm by its own law and cost; the gain G(C) solves
L*_a(G C) = L*_b(C), and is infinite where a levels off above that loss. Under C = 6 N D and shared exponents
G = m_N m_D at every C. For all resamples at once; row k of both arms is one resample of the joint law. No JAX.
Source: Davidson et al. 2023 (arXiv 2312.07413) for the term.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.special import ndtr, ndtri

from scaling.laws import allocation, intervals
from scaling.laws.comparison.results import Crossing
from scaling.laws.forms import Floats
from scaling.laws.results import LawFit
from scaling.laws.surface import Surface
from scaling.laws.values import Estimate

Arms = tuple[LawFit, LawFit]
Values = tuple[Mapping[str, Any], Mapping[str, Any]]
"""Both arms' parameters: numbers, or arrays (resamples,)."""
SLOPE_STEP = 0.5
"""Half the step in ln C over which the gain's trend is taken."""
STILL = 1e-9
"""A slope below it is none: what root finding leaves."""
GRID = 65
"""Budgets at which a crossing is looked for."""
BEYOND = float(np.log(10.0))
"""Crossings are looked for up to this far outside the runs and the target."""


def fitted(arms: Arms) -> Values:
    """Both arms' parameters."""
    return arms[0].params, arms[1].params


def resampled(arms: Arms) -> Values:
    """The same, (resamples,) each."""
    return allocation.draws(arms[0]), allocation.draws(arms[1])


def log_gain(arms: Arms, values: Values, flops: float) -> Floats:
    """ln G; infinite where arm a never reaches arm b's loss."""
    first, second = (Surface.of(fit, {}) for fit in arms)
    log_c = np.log(flops)
    return first.budget_for(values[0], second.best(values[1], log_c).loss) - log_c


def at(arms: Arms, flops: float) -> tuple[Estimate, Floats]:
    """(G with its interval, resampled ln G)."""
    value, sampled = float(log_gain(arms, fitted(arms), flops)), log_gain(arms, resampled(arms), flops)
    return allocation.estimate(np.exp(sampled), float(np.exp(value)), arms[0].level), sampled


def trend(arms: Arms, flops: float) -> Estimate | None:
    """d ln G / d ln C about `flops`; None where G is infinite there."""
    step = np.exp(SLOPE_STEP)

    def slope(values: Values) -> Floats:
        with np.errstate(invalid="ignore"):
            moved = log_gain(arms, values, flops * step) - log_gain(arms, values, flops / step)
        found: Floats = moved / (2 * SLOPE_STEP)
        return np.where(np.abs(found) < STILL, 0.0, found)

    value = float(slope(fitted(arms)))
    if not np.isfinite(value):
        return None
    sampled = slope(resampled(arms))
    return intervals.estimated(sampled[np.isfinite(sampled)], value, arms[0].level)


def better(sampled: Floats, estimate: float, level: float) -> float:
    """How sure it is that ln G is above 0: the level at which its one-sided interval just reaches 0.

    By the same correction for median bias as every interval, so that a 95% interval leaves out 0 where it is surer
    than 97.5%. Never surer than the number of resamples allows.
    """
    lower, _ = intervals.levels(sampled[:, None], np.array([estimate]), level)
    shift = float(ndtri(lower[0]) - ndtri((1 - level) / 2))
    below = (np.sum(sampled < 0) + 0.5 * np.sum(sampled == 0) + 0.5) / (len(sampled) + 1)
    edge = 1 / (len(sampled) + 1)
    return min(max(float(ndtr(shift - ndtri(below))), edge), 1 - edge)


def crossings(arms: Arms, flops: float) -> tuple[Crossing, ...]:
    """Budgets of equal compute-optimal losses, from BEYOND below the runs and the target to BEYOND above."""
    ends = [np.log(flops), *(end for fit in arms for end in Surface.of(fit, {}).budgets())]
    log_c = np.linspace(min(ends) - BEYOND, max(ends) + BEYOND, GRID)
    difference = _differences(arms, fitted(arms), log_c)[:, 0]
    found = _roots(difference, log_c)
    if len(found) == 0:
        return ()
    each = [_roots(column, log_c) for column in _differences(arms, resampled(arms), log_c).T]
    tails = [(1 - arms[0].level) / 2, (1 + arms[0].level) / 2]
    answers = []
    for place in found:
        nearest = [roots[np.argmin(np.abs(roots - place))] for roots in each if len(roots)]
        low, high = np.quantile([*nearest, place], tails)
        value, least, most = (float(np.exp(x)) for x in (place, min(low, place), max(high, place)))
        above = difference[np.searchsorted(log_c, place)]
        answers.append(
            Crossing(
                Estimate(value, least, most, arms[0].level),
                len(nearest) / len(each),
                better_above="b" if above < 0 else "a",
            )
        )
    return tuple(answers)


def _differences(arms: Arms, values: Values, log_c: Floats) -> Floats:
    """ln L*_b - ln L*_a, (budgets, parameter values)."""
    surfaces = [Surface.of(fit, {}) for fit in arms]
    losses = [[np.ravel(s.best(v, c).loss) for c in log_c] for s, v in zip(surfaces, values, strict=True)]
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.log(losses[1]) - np.log(losses[0])


def _roots(difference: Floats, log_c: Floats) -> Floats:
    """ln C where the difference changes its sign, by straight lines between grid points."""
    left, right = difference[:-1], difference[1:]
    # Arms that are equal but for rounding do not cross.
    here = np.flatnonzero((left * right < 0) & (np.abs(left) + np.abs(right) > 1e-12))
    part = left[here] / (left[here] - right[here])
    found: Floats = log_c[here] + part * (log_c[here + 1] - log_c[here])
    return found
