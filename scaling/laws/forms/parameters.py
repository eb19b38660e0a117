"""The kinds of parameter that laws are made of, each with bounds, starts and a well-conditioned coordinate. No JAX."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

from scaling.laws.forms.base import Data, Parameter, Range, Role, Values

Pair = tuple[float, float]

EXPONENT_BOUNDS = (1e-3, 5.0)
EXPONENT_STARTS = (0.05, 1.5)
WIDEST_TERM = 35.0
"""A coefficient's term lies within e^-35 to e^35 of the output."""
SMALLEST_START = 0.02
"""A coefficient's term starts between this share and all of the output."""


def asymptote(name: str = "E") -> Parameter:
    """Where the output levels off: from 0 to the least output seen."""

    def between(data: Data) -> Pair:
        return 0.0, float(np.min(data.output))

    return Parameter(name, "asymptote", between, between)


def exponent(name: str, starts: Pair = EXPONENT_STARTS, bounds: Pair = EXPONENT_BOUNDS) -> Parameter:
    """The power with which a term falls."""
    return Parameter(name, "exponent", lambda data: bounds, lambda data: starts)


def coefficient(name: str, over: Callable[[Values, Values], Any] | None = None) -> Parameter:
    """A positive number that multiplies a term of the output's size.

    `over` (parameters, centres) is ln of what it multiplies at the centre of the data: for A in A / N^alpha it is
    `lambda p, c: -p["alpha"] * c["params"]`. The coordinate is ln of the whole term there.
    """
    return _logarithmic(
        name,
        "coefficient",
        bounds=lambda data: (data.level - WIDEST_TERM, data.level + WIDEST_TERM),
        starts=lambda data: (data.level + np.log(SMALLEST_START), data.level),
        over=over,
    )


def scale(name: str, power: str, x: str) -> Parameter:
    """The X of a term (X / x)^power, positive: its coordinate is power (ln X - centre of ln x), ln of that term."""

    def value(z: Any, p: Values, c: Values, xp: ModuleType) -> Any:
        return xp.exp(z / p[power] + c[x])

    def coordinate(value: Any, p: Values, c: Values) -> Any:
        return np.asarray(p[power]) * (np.log(value) - c[x])

    return Parameter(
        name,
        "scale",
        lambda data: (data.level - WIDEST_TERM, data.level + WIDEST_TERM),
        lambda data: (data.level + np.log(SMALLEST_START), data.level),
        value,
        coordinate,
        positive=True,
    )


def positive(name: str, starts: Pair | Range, bounds: Pair | Range, role: Role = "shape") -> Parameter:
    """A positive number, solved for as its logarithm. `starts` and `bounds` are of the number itself."""

    def logarithms(given: Pair | Range) -> Range:
        def between(data: Data) -> Pair:
            low, high = given(data) if callable(given) else given
            return float(np.log(low)), float(np.log(high))

        return between

    return _logarithmic(name, role, logarithms(bounds), logarithms(starts), None)


def real(name: str, starts: Pair | Range, bounds: Pair | Range, role: Role = "shape") -> Parameter:
    """Any number between bounds, as it is."""

    def between(given: Pair | Range) -> Range:
        return given if callable(given) else lambda data: given

    return Parameter(name, role, between(bounds), between(starts))


def _logarithmic(
    name: str, role: Role, bounds: Range, starts: Range, over: Callable[[Values, Values], Any] | None
) -> Parameter:
    def value(z: Any, p: Values, c: Values, xp: ModuleType) -> Any:
        return xp.exp(z if over is None else z - over(p, c))

    def coordinate(value: Any, p: Values, c: Values) -> Any:
        return np.log(value) if over is None else np.log(value) + over(p, c)

    return Parameter(name, role, bounds, starts, value, coordinate, positive=True)
