"""Laws of what a model is made of: experts, parallel streams, vocabulary."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

from scaling.laws.errors import LawError, nearest
from scaling.laws.forms.base import Data, LawForm, Parameter, Range, Values
from scaling.laws.forms.parameters import asymptote, coefficient, exponent, positive, real, scale
from scaling.laws.forms.registry import register

LN10 = float(np.log(10.0))
VOCABULARY_DATA = ("tokens", "characters")
FARTHEST_BELOW = 20.0
"""-E of the vocabulary law lies at most this many times the spread of the losses below the lowest."""


@register
def moe(saturation: bool = True) -> LawForm:
    """log10 L = a log10 N + b log10 E' + c log10 N log10 E' + d, for N dense parameters and E experts a layer.

    1 / E' = 1 / (E - 1 + 1 / (1 / E_start - 1 / E_max)) + 1 / E_max: E' runs from E_start at one expert to E_max
    (Clark et al. 2022, eq. 1; logarithms to base 10 as there). `saturation=False` takes E' = E.
    """

    def experts(p: Values, x: Values, xp: ModuleType) -> Any:
        """log10 E'."""
        if not saturation:
            return x["experts"] / LN10
        first = p["E_start"] * p["E_max"] / (p["E_max"] - p["E_start"])
        return -xp.log(1 / (xp.expm1(x["experts"]) + first) + 1 / p["E_max"]) / LN10

    def equation(p: Values, x: Values, xp: ModuleType) -> Any:
        n, e = x["params"] / LN10, experts(p, x, xp)
        return xp.exp(LN10 * (p["a"] * n + p["b"] * e + p["c"] * n * e + p["d"]))

    def log10(c: Values) -> tuple[Any, Any]:
        return c["params"] / LN10, c["experts"] / LN10

    def level(p: Values, c: Values) -> Any:
        n, e = log10(c)
        return p["a"] * n + p["b"] * e + p["c"] * n * e

    limits = (
        positive("E_start", starts=(0.7, 5.0), bounds=(1e-2, 1e3), role="scale"),
        _above("E_max", "E_start", "experts"),
    )
    return LawForm(
        name="moe",
        equation=equation,
        text="log L = a log N + b log E' + c log N log E' + d"
        + (", 1/E' = 1/(E - 1 + 1/(1/E_start - 1/E_max)) + 1/E_max" if saturation else ", E' = E"),
        parameters=(
            # Each is solved for as the slope, or the level, at the centre of the data.
            _shifted("a", lambda p, c: p["c"] * log10(c)[1], (-0.3, 0.0), (-3.0, 3.0)),
            _shifted("b", lambda p, c: p["c"] * log10(c)[0], (-0.3, 0.0), (-3.0, 3.0)),
            real("c", (-0.05, 0.05), (-1.0, 1.0)),
            _shifted(
                "d",
                level,
                lambda data: (data.level / LN10 - 0.3, data.level / LN10 + 0.3),
                lambda data: (data.level / LN10 - 10, data.level / LN10 + 10),
            ),
            *(limits if saturation else ()),
        ),
        inputs=("params", "experts"),
        falling=("params",),
        source="Clark et al. 2022, eq. 1 and table 3",
    )


@register
def parallel(tokens: bool = False) -> LawForm:
    """L = E + (A / (N (k ln P + 1)))^alpha for N parameters that P parallel streams share (Chen et al. 2025, eq. 5).

    `tokens=True` adds B / D^beta, for runs whose D differs: with one stream it is the chinchilla law, its A to the
    power alpha.
    """

    def equation(p: Values, x: Values, xp: ModuleType) -> Any:
        size = x["params"] + xp.log1p(p["k"] * x["streams"])
        loss = p["E"] + xp.exp(p["alpha"] * (xp.log(p["A"]) - size))
        return loss + p["B"] * xp.exp(-p["beta"] * x["tokens"]) if tokens else loss

    data = (coefficient("B", over=lambda p, c: -p["beta"] * c["tokens"]), exponent("beta"))
    return LawForm(
        name="parallel",
        equation=equation,
        text="L = E + (A / (N (k ln P + 1)))^alpha" + (" + B / D^beta" if tokens else ""),
        parameters=(
            asymptote("E"),
            scale("A", "alpha", "params"),
            exponent("alpha"),
            positive("k", starts=(0.03, 3.0), bounds=(1e-6, 1e3)),
            *(data if tokens else ()),
        ),
        inputs=("params", "streams", *(("tokens",) if tokens else ())),
        falling=("params", "streams", *(("tokens",) if tokens else ())),
        source="Chen et al. 2025 (ParScale), eq. 5" + ("; with Hoffmann et al. 2022, eq. 2" if tokens else ""),
    )


@register
def vocabulary(data: str = "tokens") -> LawForm:
    """L_u = -E + A1 / N_nv^alpha1 + A2 / N_v^alpha2 + B / D^beta, L_u the loss over that of unigrams.

    N_nv parameters outside of the vocabulary, N_v in it, D training tokens (or `data="characters"`). The loss is
    normalised by the unigram model's, so that vocabularies of different sizes can be compared; it is below zero for
    any useful model, and -E is where it levels off (Tao et al. 2024, eq. 8).
    """
    if data not in VOCABULARY_DATA:
        raise LawError(f"data is {data!r}; it is {' or '.join(VOCABULARY_DATA)}{nearest(data, VOCABULARY_DATA)}")

    def equation(p: Values, x: Values, xp: ModuleType) -> Any:
        body = p["A1"] * xp.exp(-p["alpha1"] * x["params_non_vocabulary"])
        table = p["A2"] * xp.exp(-p["alpha2"] * x["params_vocabulary"])
        return body + table + p["B"] * xp.exp(-p["beta"] * x[data]) - p["E"]

    def spread(found: Data) -> float:
        return float(np.ptp(found.output))

    def above(found: Data) -> float:
        return -float(np.min(found.output))

    return LawForm(
        name="vocabulary",
        equation=equation,
        text=f"L_u = -E + A1 / N_nv^alpha1 + A2 / N_v^alpha2 + B / {'D' if data == 'tokens' else 'H'}^beta",
        parameters=(
            real(
                "E",
                lambda found: (above(found), above(found) + spread(found)),
                lambda found: (above(found) - spread(found), above(found) + FARTHEST_BELOW * spread(found)),
            ),
            coefficient("A1", over=lambda p, c: -p["alpha1"] * c["params_non_vocabulary"]),
            exponent("alpha1"),
            coefficient("A2", over=lambda p, c: -p["alpha2"] * c["params_vocabulary"]),
            exponent("alpha2"),
            coefficient("B", over=lambda p, c: -p["beta"] * c[data]),
            exponent("beta"),
        ),
        inputs=("params_non_vocabulary", "params_vocabulary", data),
        space="linear",
        source="Tao et al. 2024, eq. 8",
    )


def _shifted(
    name: str,
    by: Callable[[Values, Values], Any],
    starts: tuple[float, float] | Range,
    bounds: tuple[float, float] | Range,
) -> Parameter:
    """Any number, solved for as itself plus `by` (parameters, centres)."""
    plain = real(name, starts, bounds)
    return Parameter(
        name,
        plain.role,
        plain.bounds,
        plain.starts,
        natural=lambda z, p, c, xp: z - by(p, c),
        coordinate=lambda value, p, c: value + by(p, c),
    )


def _above(name: str, lower: str, x: str) -> Parameter:
    """A number above the parameter `lower`, solved for as the logarithm of the difference."""

    def most(found: Data) -> float:
        return float(np.max(found.inputs[x]))

    return Parameter(
        name,
        "scale",
        lambda found: (-7.0, most(found) + 20.0),
        lambda found: (most(found) - 1.0, most(found) + 3.0),
        natural=lambda z, p, c, xp: p[lower] + xp.exp(z),
        coordinate=lambda value, p, c: np.log(value - np.asarray(p[lower])),
        positive=True,
    )
