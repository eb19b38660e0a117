"""Laws of the pre-training loss in model size and data."""

from types import ModuleType
from typing import Any

import numpy as np

from scaling.laws.forms.base import LawForm, Values
from scaling.laws.forms.parameters import asymptote, coefficient, exponent
from scaling.laws.forms.registry import register


@register
def chinchilla() -> LawForm:
    """L = E + A / N^alpha + B / D^beta (Hoffmann et al. 2022, approach 3)."""

    def equation(p: Values, x: Values, xp: ModuleType) -> Any:
        return p["E"] + p["A"] * xp.exp(-p["alpha"] * x["params"]) + p["B"] * xp.exp(-p["beta"] * x["tokens"])

    def optimum(p: Values, log_c: Any) -> tuple[Any, Any]:
        total = p["alpha"] + p["beta"]
        ratio = np.log(p["alpha"] * p["A"] / (p["beta"] * p["B"])) / total
        log_n = ratio + p["beta"] / total * (log_c - np.log(6.0))
        return log_n, log_c - np.log(6.0) - log_n

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
