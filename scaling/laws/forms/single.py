"""Laws in one input: N, D, C or any other column."""

from types import ModuleType
from typing import Any

from scaling.laws.forms.base import LawForm, Values
from scaling.laws.forms.inputs import symbol
from scaling.laws.forms.parameters import asymptote, coefficient, exponent
from scaling.laws.forms.registry import register


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
