"""Farseer: a loss surface whose floor, data term and data exponent each bend with model size."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

from scaling.laws.forms.base import Data, LawForm, Parameter, Range, Values
from scaling.laws.forms.parameters import WIDEST_TERM, Pair, real
from scaling.laws.forms.registry import register

BEND = (-1.0, 1.0)
"""Bounds of the exponents of N."""
SLOPE = (-2.0, 2.0)
"""Bounds of the slopes in ln N at the centre of the data."""


@register
def farseer() -> LawForm:
    """L = exp(a3 N^gamma + b3) + exp(a2 N^beta + b2) D^-exp(a1 N^alpha + b1) (Li et al. 2025).

    Three curves in n = ln N: the log of the floor, of the data term and of the data's exponent k. Each is
    a e^(g n) + b, solved for as its height and slope at the centre of the data and its bend g, which these leave nearly
    independent of each other; the data term is taken at the centre of ln D too, where k no longer moves it. a and b
    grow without limit as g passes 0 (a straight line), so that alone they say little.
    """

    def curve(p: Values, a: str, b: str, g: str, n: Any, xp: ModuleType) -> Any:
        return p[a] * xp.exp(p[g] * n) + p[b]

    def exponent_at(p: Values, c: Values, xp: ModuleType) -> tuple[Any, Any]:
        """(k, dk / d ln N) at the centre."""
        k = xp.exp(curve(p, "a1", "b1", "alpha", c["params"], xp))
        return k, k * p["a1"] * p["alpha"] * xp.exp(p["alpha"] * c["params"])

    def nothing(p: Values, c: Values, xp: ModuleType) -> tuple[Any, Any]:
        return 0.0, 0.0

    def from_exponent(p: Values, c: Values, xp: ModuleType) -> tuple[Any, Any]:
        """What k takes from the data term's height and slope at the centre of ln D."""
        k, dk = exponent_at(p, c, xp)
        return k * c["tokens"], dk * c["tokens"]

    def equation(p: Values, x: Values, xp: ModuleType) -> Any:
        size, data = x["params"], x["tokens"]
        k = xp.exp(curve(p, "a1", "b1", "alpha", size, xp))
        floor = xp.exp(curve(p, "a3", "b3", "gamma", size, xp))
        return floor + xp.exp(curve(p, "a2", "b2", "beta", size, xp) - k * data)

    def near(low: float, high: float) -> Range:
        def between(data: Data) -> Pair:
            return data.level + low, data.level + high

        return between

    wide = near(-WIDEST_TERM, WIDEST_TERM)
    return LawForm(
        name="farseer",
        equation=equation,
        text="L = exp(a3 N^gamma + b3) + exp(a2 N^beta + b2) D^-exp(a1 N^alpha + b1)",
        parameters=(
            *_curve("a3", "b3", "gamma", wide, near(-1.5, 0.0), (-0.2, 0.0), nothing),
            *_curve("a2", "b2", "beta", wide, near(-4.0, -0.5), (-0.2, 0.2), from_exponent),
            *_curve("a1", "b1", "alpha", (-7.0, 3.0), (-2.5, 0.0), (-0.2, 0.2), nothing),
        ),
        inputs=("params", "tokens"),
        falling=("params", "tokens"),
        source="Li et al. 2025, Predictable Scale, part II: Farseer",
    )


def _curve(
    a: str,
    b: str,
    g: str,
    heights: Pair | Range,
    height_starts: Pair | Range,
    slope_starts: Pair,
    taken: Callable[[Values, Values, ModuleType], tuple[Any, Any]],
) -> tuple[Parameter, Parameter, Parameter]:
    """a, b and g of a N^g + b, by slope and height at the centre less what is `taken` (height, slope) there."""

    def a_natural(z: Any, p: Values, c: Values, xp: ModuleType) -> Any:
        return (z + taken(p, c, xp)[1]) * xp.exp(-p[g] * c["params"]) / p[g]

    def a_coordinate(value: Any, p: Values, c: Values) -> Any:
        return np.asarray(value) * np.exp(np.asarray(p[g]) * c["params"]) * p[g] - taken(p, c, np)[1]

    def b_natural(z: Any, p: Values, c: Values, xp: ModuleType) -> Any:
        return z + taken(p, c, xp)[0] - p[a] * xp.exp(p[g] * c["params"])

    def b_coordinate(value: Any, p: Values, c: Values) -> Any:
        return np.asarray(value) + np.asarray(p[a]) * np.exp(np.asarray(p[g]) * c["params"]) - taken(p, c, np)[0]

    slope, height = real(a, slope_starts, SLOPE), real(b, height_starts, heights)
    return (
        Parameter(a, "coefficient", slope.bounds, slope.starts, a_natural, a_coordinate),
        Parameter(b, "coefficient", height.bounds, height.starts, b_natural, b_coordinate),
        real(g, (-0.1, 0.1), BEND, role="exponent"),
    )
