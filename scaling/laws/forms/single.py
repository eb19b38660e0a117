"""Laws in one input: N, D, C or any other column."""

import sys
from types import ModuleType
from typing import Any

import numpy as np

from scaling.laws.forms.base import Data, LawForm, Parameter, Values
from scaling.laws.forms.inputs import symbol
from scaling.laws.forms.parameters import Pair, asymptote, coefficient, exponent, positive
from scaling.laws.forms.registry import register

NEWTON_STEPS = 10
"""Steps to the root of m4's equation: with 9 nothing but rounding is left for alpha from 1e-3 to 1e3."""


@register
def power(x: str = "params") -> LawForm:
    """L = E + A x^-alpha in one input: params (N), tokens (D), flops (C), or any other column.

    With E pinned at 0 it is a straight line in logarithms: Kaplan et al. 2020, eq. 1.1 to 1.3.
    """

    def equation(p: Values, inputs: Values, xp: ModuleType) -> Any:
        return p["E"] + p["A"] * xp.exp(-p["alpha"] * inputs[x])

    return LawForm(
        name="power",
        equation=equation,
        text=f"L = E + A / {symbol(x)}^alpha",
        parameters=(
            asymptote("E"),
            coefficient("A", over=lambda p, c: -p["alpha"] * c[x]),
            exponent("alpha"),
        ),
        inputs=(x,),
        falling=(x,),
        source="Kaplan et al. 2020, eq. 1.1-1.3 (E = 0); Henighan et al. 2020, eq. 1.1",
    )


@register
def m4(x: str = "params") -> LawForm:
    """(L - E) / (L0 - L)^alpha = beta x^-c: a power law that saturates at L0 where x is small, at E where it is large.

    The estimator M4 of Alabdulmohsin et al. 2022. L is the one root between E and L0 (`saturating`); alpha = 0 leaves
    the power law E + beta x^-c, alpha = 1 a logistic curve in ln x.
    """

    def equation(p: Values, inputs: Values, xp: ModuleType) -> Any:
        span = p["L0"] - p["E"]
        height = xp.log(p["beta"]) - p["c"] * inputs[x] + (p["alpha"] - 1) * xp.log(span)
        return p["E"] + span * saturating(height, p["alpha"], xp)

    def span(z: Any, p: Values, c: Values, xp: ModuleType) -> Any:
        return p["E"] + xp.exp(z)

    def spans(data: Data) -> Pair:
        seen = float(np.ptp(data.output))
        return float(np.log(0.3 * seen)), float(np.log(1e3 * (seen + np.max(np.abs(data.output)))))

    def span_starts(data: Data) -> Pair:
        seen = float(np.log(np.ptp(data.output)))
        return seen, seen + 2.0

    def middle(p: Values, c: Values, xp: ModuleType) -> Any:
        """The height at the centre of the data, less ln beta."""
        return (p["alpha"] - 1) * xp.log(p["L0"] - p["E"]) - p["c"] * c[x]

    return LawForm(
        name="m4",
        equation=equation,
        text=f"(L - E) / (L0 - L)^alpha = beta / {symbol(x)}^c",
        parameters=(
            asymptote("E"),
            Parameter("L0", "shape", spans, span_starts, span, lambda v, p, c: np.log(v - np.asarray(p["E"]))),
            positive("alpha", starts=(0.1, 5.0), bounds=(1e-3, 50.0)),
            Parameter(
                "beta",
                "coefficient",
                lambda data: (-35.0, 35.0),
                lambda data: (-4.0, 4.0),
                lambda z, p, c, xp: xp.exp(z - middle(p, c, xp)),
                lambda value, p, c: np.log(value) + middle(p, c, np),
                positive=True,
            ),
            exponent("c"),
        ),
        inputs=(x,),
        falling=(x,),
        source="Alabdulmohsin et al. 2022, estimator M4",
    )


def saturating(height: Any, alpha: Any, xp: ModuleType) -> Any:
    """u in (0, 1) with ln u - alpha ln(1 - u) = height, exact in value and derivative; alpha above 0.

    In t = ln(u / (1 - u)) the left side is t + (alpha - 1) ln(1 + e^t): rising, all convex or all concave, between
    its asymptotes t and alpha t. Newton's steps from where the asymptotes meet the height therefore never overshoot.
    """

    def softplus(t: Any) -> Any:
        return xp.logaddexp(0.0, t)

    def newton(t: Any, height: Any, alpha: Any) -> Any:
        rising = xp.exp(-softplus(-t))
        return t - (t + (alpha - 1) * softplus(t) - height) / (1 + (alpha - 1) * rising)

    still_height, still_alpha = _held(height, xp), _held(alpha, xp)
    t = xp.where(still_height > 0, still_height / still_alpha, still_height)
    for _ in range(NEWTON_STEPS):
        t = newton(t, still_height, still_alpha)
    # A step from the root stays there and moves with height and alpha as the implicit function theorem says.
    return xp.exp(-softplus(-newton(t, height, alpha)))


def _held(value: Any, xp: ModuleType) -> Any:
    """`value` as a constant: no derivative passes. JAX is looked up where its arrays came in, never imported."""
    return value if xp is np else sys.modules["jax"].lax.stop_gradient(value)
