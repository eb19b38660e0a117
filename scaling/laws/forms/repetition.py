"""Laws of training on repeated data."""

from dataclasses import replace
from types import ModuleType
from typing import Any

from scaling.laws.forms.base import LawForm, Parameter, Values
from scaling.laws.forms.parameters import asymptote, coefficient, exponent, positive
from scaling.laws.forms.registry import register

STAR_STARTS, STAR_BOUNDS = (0.3, 300.0), (1e-3, 1e6)
"""Repetitions (and excess sizes) after which 1 - 1/e of all that they can give is had."""
FARTHEST = 50.0
"""ln of the largest ratio that is told from infinity."""


@register
def data_constrained() -> LawForm:
    """L = E + A / N'^alpha + B / D'^beta, with N' and D' the parameters and tokens that count under repetition.

    D' = U_D + U_D R_D* (1 - exp(-R_D / R_D*)) with U_D = min(U, D) unique tokens and R_D = D / U_D - 1 repetitions;
    N' = U_N + U_N R_N* (1 - exp(-R_N / R_N*)) with R_N = N / U_N - 1 and U_N the smaller of N and the size that is
    compute-optimal for U_D tokens under this law's own A, B, alpha and beta (Muennighoff et al. 2023, section 3.1).
    """

    def equation(p: Values, x: Values, xp: ModuleType) -> Any:
        unique = xp.minimum(x["unique_tokens"], x["tokens"])
        used = xp.minimum(x["params"], fitting_size(p, unique, xp))
        log_n = used + _worth(x["params"] - used, p["R_N_star"], xp)
        log_d = unique + _worth(x["tokens"] - unique, p["R_D_star"], xp)
        return p["E"] + p["A"] * xp.exp(-p["alpha"] * log_n) + p["B"] * xp.exp(-p["beta"] * log_d)

    return LawForm(
        name="data_constrained",
        equation=equation,
        text="L = E + A / N'^alpha + B / D'^beta, D' = U + U R_D* (1 - exp(-(D/U - 1) / R_D*)), N' likewise beyond U_N",
        parameters=(
            asymptote("E"),
            coefficient("A", over=lambda p, c: -p["alpha"] * c["params"]),
            exponent("alpha"),
            coefficient("B", over=lambda p, c: -p["beta"] * c["tokens"]),
            exponent("beta"),
            _star("R_D_star", "repeated data are worth"),
            _star("R_N_star", "parameters beyond U_N are worth"),
        ),
        inputs=("params", "tokens", "unique_tokens"),
        source="Muennighoff et al. 2023, section 3.1 and appendix A",
    )


def _star(name: str, what: str) -> Parameter:
    edge = f"at the upper one, {what} as much as new ones in these runs; at the lower one, nothing"
    return replace(positive(name, starts=STAR_STARTS, bounds=STAR_BOUNDS, role="scale"), edge=edge)


def fitting_size(p: Values, log_tokens: Any, xp: ModuleType) -> Any:
    """ln of the N whose compute-optimal D is exp(`log_tokens`) under C = 6 N D (Hoffmann 2022, eq. 4)."""
    total = p["alpha"] + p["beta"]
    ratio = (xp.log(p["alpha"]) + xp.log(p["A"]) - xp.log(p["beta"]) - xp.log(p["B"])) / total
    return ratio + p["beta"] / p["alpha"] * (log_tokens + ratio)


def _worth(log_ratio: Any, star: Any, xp: ModuleType) -> Any:
    """ln(1 + R* (1 - exp(-R / R*))) with R = exp(log_ratio) - 1: what all passes are worth, over one pass."""
    # Far beyond any data exp overflows; there the answer is ln(1 + R*) and no longer depends on R.
    repeated = xp.expm1(xp.minimum(log_ratio, FARTHEST))
    return xp.log1p(-star * xp.expm1(-repeated / star))
