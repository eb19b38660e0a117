"""Laws of the pre-training loss in model size and data."""

from dataclasses import replace
from types import ModuleType
from typing import Any

import numpy as np

from scaling.laws.forms.base import LawForm, Parameter, Values
from scaling.laws.forms.parameters import WIDEST_TERM, asymptote, coefficient, exponent, positive, scale
from scaling.laws.forms.registry import register


def best_split(log_a: Any, alpha: Any, log_b: Any, beta: Any, log_c: Any) -> tuple[Any, Any]:
    """(ln N, ln D) where A / N^alpha + B / D^beta is least under C = 6 N D (Hoffmann et al. 2022, eq. 4)."""
    total = alpha + beta
    log_n = (np.log(alpha / beta) + log_a - log_b + beta * (log_c - np.log(6.0))) / total
    return log_n, log_c - np.log(6.0) - log_n


@register
def chinchilla() -> LawForm:
    """L = E + A / N^alpha + B / D^beta (Hoffmann et al. 2022, approach 3)."""

    def equation(p: Values, x: Values, xp: ModuleType) -> Any:
        return p["E"] + p["A"] * xp.exp(-p["alpha"] * x["params"]) + p["B"] * xp.exp(-p["beta"] * x["tokens"])

    def optimum(p: Values, log_c: Any) -> tuple[Any, Any]:
        return best_split(np.log(p["A"]), p["alpha"], np.log(p["B"]), p["beta"], log_c)

    return LawForm(
        name="chinchilla",
        equation=equation,
        text="L = E + A / N^alpha + B / D^beta",
        parameters=(
            asymptote("E"),
            coefficient("A", over=lambda p, c: -p["alpha"] * c["params"]),
            exponent("alpha"),
            coefficient("B", over=lambda p, c: -p["beta"] * c["tokens"]),
            exponent("beta"),
        ),
        inputs=("params", "tokens"),
        falling=("params", "tokens"),
        source="Hoffmann et al. 2022, approach 3, eq. 2 and 3; the optimum: eq. 4",
        optimum_6nd=optimum,
    )


@register
def kaplan() -> LawForm:
    """L = [(N_c / N)^(alpha_N / alpha_D) + D_c / D]^alpha_D (Kaplan et al. 2020, eq. 1.5); it falls to 0.

    With infinite data it is (N_c / N)^alpha_N, with an infinite model (D_c / D)^alpha_D: each is one coordinate, at the
    centre of the data. D is the size of the data set; training runs until the test loss stops falling.
    """

    def equation(p: Values, x: Values, xp: ModuleType) -> Any:
        size = p["alpha_N"] / p["alpha_D"] * (xp.log(p["N_c"]) - x["params"])
        return xp.exp(p["alpha_D"] * xp.logaddexp(size, xp.log(p["D_c"]) - x["tokens"]))

    def optimum(p: Values, log_c: Any) -> tuple[Any, Any]:
        ratio = p["alpha_N"] / p["alpha_D"]
        return best_split(ratio * np.log(p["N_c"]), ratio, np.log(p["D_c"]), 1.0, log_c)

    def limit(name: str, power: str, x: str) -> Parameter:
        """Both limits lie close below the loss: with 1 / alpha_D around 10, the larger one is nearly all of it."""
        return replace(scale(name, power, x), starts=lambda data: (data.level - 0.7, data.level))

    return LawForm(
        name="kaplan",
        equation=equation,
        text="L = [(N_c / N)^(alpha_N / alpha_D) + D_c / D]^alpha_D",
        parameters=(
            exponent("alpha_N", starts=(0.03, 0.6)),
            exponent("alpha_D", starts=(0.03, 0.6)),
            limit("N_c", "alpha_N", "params"),
            limit("D_c", "alpha_D", "tokens"),
        ),
        inputs=("params", "tokens"),
        falling=("params", "tokens"),
        source="Kaplan et al. 2020, eq. 1.5",
        optimum_6nd=optimum,
    )


@register
def busbridge() -> LawForm:
    """L = E + (A / N^alpha + B / D^beta)^gamma (Busbridge et al. 2025).

    It is chinchilla at gamma = 1, kaplan at E = 0 and beta = 1. Where one of N and D is short, gamma below 1 makes the
    other matter less than in chinchilla. Coordinates are the exponents alpha gamma and beta gamma that each shortage
    has alone, and each term alone at the centre of the data.
    """

    def equation(p: Values, x: Values, xp: ModuleType) -> Any:
        size, data = xp.log(p["A"]) - p["alpha"] * x["params"], xp.log(p["B"]) - p["beta"] * x["tokens"]
        return p["E"] + xp.exp(p["gamma"] * xp.logaddexp(size, data))

    def optimum(p: Values, log_c: Any) -> tuple[Any, Any]:
        return best_split(np.log(p["A"]), p["alpha"], np.log(p["B"]), p["beta"], log_c)

    def alone(name: str) -> Parameter:
        return replace(
            exponent(name),
            natural=lambda z, p, c, xp: z / p["gamma"],
            coordinate=lambda value, p, c: np.asarray(value) * p["gamma"],
            positive=True,
        )

    def term(name: str, power: str, x: str) -> Parameter:
        return Parameter(
            name,
            "coefficient",
            lambda data: (data.level - WIDEST_TERM, data.level + WIDEST_TERM),
            lambda data: (data.level - 3.0, data.level - 0.5),
            lambda z, p, c, xp: xp.exp(z / p["gamma"] + p[power] * c[x]),
            lambda value, p, c: p["gamma"] * (np.log(value) - np.asarray(p[power]) * c[x]),
            positive=True,
        )

    return LawForm(
        name="busbridge",
        equation=equation,
        text="L = E + (A / N^alpha + B / D^beta)^gamma",
        parameters=(
            asymptote("E"),
            term("A", "alpha", "params"),
            alone("alpha"),
            term("B", "beta", "tokens"),
            alone("beta"),
            positive("gamma", starts=(0.2, 2.0), bounds=(0.02, 20.0)),
        ),
        inputs=("params", "tokens"),
        falling=("params", "tokens"),
        source="Busbridge et al. 2025, the law of supervised models; the optimum: Hoffmann et al. 2022, eq. 4",
        optimum_6nd=optimum,
    )


@register
def overtraining() -> LawForm:
    """L = E + (a M^eta + b M^-eta) C^-eta, M = D / N (Gadre et al. 2024): chinchilla with alpha = beta = 2 eta.

    Models trained at one M fall along a power law in C whose exponent is the same at every M. The least loss of any
    budget is at M = (b / a)^(1 / (2 eta)).
    """

    def equation(p: Values, x: Values, xp: ModuleType) -> Any:
        size = p["a"] * xp.exp(p["eta"] * (x["tokens_per_param"] - x["flops"]))
        return p["E"] + size + p["b"] * xp.exp(-p["eta"] * (x["tokens_per_param"] + x["flops"]))

    return LawForm(
        name="overtraining",
        equation=equation,
        text="L = E + (a M^eta + b M^-eta) C^-eta",
        parameters=(
            coefficient("a", over=lambda p, c: p["eta"] * (c["tokens_per_param"] - c["flops"])),
            coefficient("b", over=lambda p, c: -p["eta"] * (c["tokens_per_param"] + c["flops"])),
            exponent("eta", starts=(0.03, 0.8)),
            asymptote("E"),
        ),
        inputs=("flops", "tokens_per_param"),
        falling=("flops",),
        source="Gadre et al. 2024, section 2 (scaling laws for over-training)",
    )
