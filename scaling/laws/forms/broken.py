"""Broken neural scaling laws: power laws whose exponent changes, smoothly, at one or more breaks."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

from scaling.laws.errors import LawError
from scaling.laws.forms.base import Data, LawForm, Parameter, Values
from scaling.laws.forms.inputs import symbol
from scaling.laws.forms.parameters import WIDEST_TERM, Pair, asymptote, positive
from scaling.laws.forms.registry import register

BINS = 8
"""Cells along ln x between which slopes are read, for starts."""
APART = 0.1
"""Distance in ln x within which a break is felt by the next: they push each other rather than change places."""


@register
def bnsl(x: str = "params", breaks: int = 1) -> LawForm:
    """y = a + b x^-c0 prod_i (1 + (x / d_i)^(1 / f_i))^(-c_i f_i), i = 1 .. breaks, in one input.

    Before break i the exponent is c0 + ... + c_(i-1), after it c0 + ... + c_i; f_i is how wide the change is in ln x.
    Breaks lie inside the data and in order. Exponents may have any sign: y may rise and fall again.

    Source: Caballero et al. 2023, eq. 1.
    """
    if isinstance(breaks, bool) or not isinstance(breaks, int) or breaks < 1:
        raise LawError(
            f"form bnsl: breaks is {breaks!r}; it must be a whole number from 1; without breaks use form power"
        )
    places = range(1, breaks + 1)

    def bends(p: Values, at: Any, xp: ModuleType) -> Any:
        """sum_i c_i f_i ln(1 + (x / d_i)^(1 / f_i)) at ln x."""
        return sum(p[f"c{i}"] * p[f"f{i}"] * xp.logaddexp(0.0, (at - xp.log(p[f"d{i}"])) / p[f"f{i}"]) for i in places)

    def equation(p: Values, inputs: Values, xp: ModuleType) -> Any:
        return p["a"] + xp.exp(xp.log(p["b"]) - p["c0"] * inputs[x] - bends(p, inputs[x], xp))

    def level(z: Any, p: Values, c: Values, xp: ModuleType) -> Any:
        return xp.exp(z + p["c0"] * c[x] + bends(p, c[x], xp))

    def level_back(value: Any, p: Values, c: Values) -> Any:
        return np.log(value) - np.asarray(p["c0"]) * c[x] - bends(p, c[x], np)

    def break_(i: int) -> tuple[Parameter, ...]:
        cells = (i - 1) / breaks, i / breaks
        return _exponent(i, x), _place(i, x, cells), _width(i, x)

    return LawForm(
        name="bnsl",
        equation=equation,
        text=f"y = a + b {symbol(x)}^-c0 prod_i (1 + ({symbol(x)} / d_i)^(1 / f_i))^(-c_i f_i), i = 1..{breaks}",
        parameters=(
            asymptote("a"),
            Parameter(
                "b",
                "coefficient",
                lambda data: (data.level - WIDEST_TERM, data.level + WIDEST_TERM),
                lambda data: (data.level - 1.0, data.level),
                level,
                level_back,
                positive=True,
            ),
            _exponent(0, x),
            *(parameter for i in places for parameter in break_(i)),
        ),
        inputs=(x,),
        source="Caballero et al. 2023, eq. 1",
    )


def _exponent(i: int, x: str) -> Parameter:
    """c_i; its coordinate is the exponent c0 + ... + c_i of the stretch after break i, which the data show directly."""

    def before(p: Values) -> Any:
        return sum(p[f"c{j}"] for j in range(i))

    def starts(data: Data) -> Pair:
        steepest = _steepest(data, x)
        return -0.5 * steepest, 1.5 * steepest

    def bounds(data: Data) -> Pair:
        steepest = 10.0 + 10.0 * _steepest(data, x)
        return -steepest, steepest

    if i == 0:
        return Parameter("c0", "shape", bounds, starts)
    return Parameter(
        f"c{i}",
        "shape",
        bounds,
        starts,
        lambda z, p, c, xp: z - before(p),
        lambda value, p, c: np.asarray(value) + before(p),
    )


def _place(i: int, x: str, cell: Pair) -> Parameter:
    """d_i: the first anywhere in the data; the next ones are ln d_i = z kept above ln d_(i-1) by a soft maximum."""

    def within(low: float, high: float) -> Callable[[Data], Pair]:
        def between(data: Data) -> Pair:
            least, span = float(np.min(data.inputs[x])), float(np.ptp(data.inputs[x]))
            return least + low * span, least + high * span

        return between

    def value(z: Any, p: Values, c: Values, xp: ModuleType) -> Any:
        if i == 1:
            return xp.exp(z)
        last = xp.log(p[f"d{i - 1}"])
        return xp.exp(last + APART * xp.logaddexp(0.0, (z - last) / APART))

    def coordinate(value: Any, p: Values, c: Values) -> Any:
        if i == 1:
            return np.log(value)
        last = np.log(p[f"d{i - 1}"])
        apart = np.maximum((np.log(value) - last) / APART, 1e-9)
        return last + APART * (apart + np.log(-np.expm1(-apart)))

    return Parameter(f"d{i}", "scale", within(0.0, 1.0), within(*cell), value, coordinate, positive=True)


def _width(i: int, x: str) -> Parameter:
    """f_i: from far below the spacing of the data to all of their span."""

    def share(low: float, high: float) -> Callable[[Data], Pair]:
        def between(data: Data) -> Pair:
            span = float(np.ptp(data.inputs[x]))
            return low * span, high * span

        return between

    return positive(f"f{i}", starts=share(0.01, 0.15), bounds=share(1e-3, 1.0))


def _steepest(data: Data, x: str) -> float:
    """The largest |d ln y / d ln x| between neighbouring cells of the data."""
    at, y = np.asarray(data.inputs[x]), np.log(np.maximum(data.output, 1e-300))
    cell = np.minimum((BINS * (at - at.min()) / max(float(np.ptp(at)), 1e-300)).astype(int), BINS - 1)
    filled = np.unique(cell)
    mean_x, mean_y = (np.array([values[cell == one].mean() for one in filled]) for values in (at, y))
    slopes = np.diff(mean_y) / np.diff(mean_x)
    return float(max(np.max(np.abs(slopes), initial=0.0), 1e-3))
