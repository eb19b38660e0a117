"""Least points and roots of one-dimensional functions, many at once. Plain NumPy and SciPy.

Minima: a coarse grid, then golden section between the neighbours of its best point, so that a function with several
valleys gives its deepest one. Roots: Chandrupatla's method where the ends of the stretch have two signs, else in the
first cell of a coarse grid whose ends do.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.optimize import elementwise

from scaling.laws.forms import Floats

MINIMUM_POINTS, ROOT_POINTS = 65, 33
GOLDEN_STEPS = 56
TOLERANCES = {"xatol": 1e-10, "xrtol": 1e-12}
NEAR = 1.0
"""Half the stretch in which a root is looked for first, where one is expected."""


def least(f: Callable[[Floats], Floats], low: Floats, high: Floats) -> tuple[Floats, Floats]:
    """(x, f(x)) at the least f between `low` and `high` (arrays of one shape), the lowest such x on a plateau.

    `f` takes that shape, also with a leading axis. Where f is not finite it counts as infinitely bad.
    """
    share = np.linspace(0.0, 1.0, MINIMUM_POINTS).reshape(-1, *([1] * low.ndim))
    grid = low + share * (high - low)
    tried = _finite(f(grid))
    place = _deepest_valley(tried)[None]

    def picked(values: Floats, where: np.ndarray[Any, Any]) -> Floats:
        found: Floats = np.take_along_axis(values, np.clip(where, 0, MINIMUM_POINTS - 1), axis=0)[0]
        return found

    left, middle, right = (picked(grid, place + step) for step in (-1, 0, 1))
    value = picked(tried, place)
    shrink = (3 - np.sqrt(5.0)) / 2
    for _ in range(GOLDEN_STEPS):
        to_the_right = right - middle > middle - left
        x = np.where(to_the_right, middle + shrink * (right - middle), middle - shrink * (middle - left))
        here = _finite(f(x))
        better = (here < value) | ((here == value) & ~to_the_right)
        left = np.where(to_the_right, np.where(better, middle, left), np.where(better, left, x))
        right = np.where(to_the_right, np.where(better, right, x), np.where(better, middle, right))
        middle, value = np.where(better, x, middle), np.where(better, here, value)
    return middle, value


def _deepest_valley(tried: Floats) -> np.ndarray[Any, Any]:
    """Place along the first axis of the lowest value that has no lower neighbour; of the lowest where none has.

    Far outside the fitted runs a law may fall again to absurd depths at an end of the range: that is no answer.
    """
    middle = tried[1:-1]
    inner = (middle <= tried[:-2]) & (middle <= tried[2:]) & np.isfinite(middle)
    edge = np.zeros_like(inner[:1])
    valley = np.concatenate([edge, inner, edge])
    return np.argmin(np.where(valley | ~valley.any(axis=0), tried, np.inf), axis=0)


def first_below(
    f: Callable[[Floats, np.ndarray[Any, Any]], Floats], low: Any, high: Any, size: int, near: float | None = None
) -> Floats:
    """The least x between `low` and `high` with f(x, index) <= 0, for each index below `size`; inf where none is.

    A stretch at whose ends f has the two signs is taken to hold one crossing: first the stretch within NEAR of `near`,
    then all of it. Elsewhere a coarse grid tells.
    """
    low, high = np.broadcast_to(low, size), np.broadcast_to(high, size)
    left, right = np.full(size, np.nan), np.full(size, np.inf)
    rest = np.arange(size)
    for a, b in [(low, high)] if near is None else [(np.maximum(low, near - NEAR), near + NEAR), (low, high)]:
        ends = np.broadcast_to(a, size)[rest], np.broadcast_to(b, size)[rest]
        crosses = (_finite(f(ends[0], rest)) > 0) & (_finite(f(ends[1], rest)) <= 0)
        left[rest[crosses]], right[rest[crosses]] = ends[0][crosses], ends[1][crosses]
        rest = rest[~crosses]
    if rest.size:
        grid = np.linspace(low[rest], high[rest], ROOT_POINTS)
        below = np.stack([_finite(f(x, rest)) <= 0 for x in grid])
        first, place = np.argmax(below, axis=0), np.arange(rest.size)
        right[rest] = np.where(below.any(axis=0), grid[first, place], np.inf)
        left[rest] = np.where(first > 0, grid[first - 1, place], np.nan)
    inside = np.flatnonzero(np.isfinite(left) & np.isfinite(right))
    if inside.size:
        root = elementwise.find_root(
            lambda x, index: _finite(f(x, index)), (left[inside], right[inside]), args=(inside,), tolerances=TOLERANCES
        )
        right[inside] = np.where(root.success, root.x, right[inside])
    return right


def _finite(values: Any) -> Floats:
    return np.where(np.isfinite(values), values, np.finfo(np.float64).max / 4)
