"""Laws as data: an equation in named parameters, where to start and what bounds them. No JAX.

To add a form, write one equation and one LawForm and list it in FORMS.
"""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from scaling.laws.errors import LawError, nearest

Floats = NDArray[np.float64]
Equation = Callable[[Mapping[str, Any], Mapping[str, Any], ModuleType], Any]
"""(parameters, natural logarithms of the inputs, numpy or jax.numpy) -> loss. Broadcasts."""

EXPONENT_BOUNDS = (1e-3, 5.0)
EXPONENT_STARTS = (0.05, 1.5)


@dataclass(frozen=True)
class Data:
    """What a form may look at to choose its starts: natural logarithms of the inputs, and the loss."""

    inputs: Mapping[str, Floats]
    loss: Floats


@dataclass(frozen=True)
class Parameter:
    """One named parameter.

    Attributes:
      name: as in the equation.
      role: `exponent`, `asymptote` (a loss between 0 and the least one seen), or `coefficient`, which is positive
        and solved for as the logarithm of its term where the data lie.
      term: for a coefficient, the (exponent, input) of the power law it multiplies: A / N^alpha -> (alpha, params).
      bounds: lowest and highest value; None for a coefficient, and for an asymptote 0 to the least loss.
      starts: range of the starting values; None as for bounds. A coefficient starts with its term between 2% and
        100% of the loss that its data show.
    """

    name: str
    role: Literal["exponent", "asymptote", "coefficient"]
    term: tuple[str, str] | None = None
    bounds: tuple[float, float] | None = None
    starts: tuple[float, float] | None = None

    def limits(self, data: Data) -> tuple[float, float]:
        """(lowest, highest) in solver coordinates."""
        if self.role == "coefficient":
            level = float(np.log(np.median(data.loss)))
            return level - 35.0, level + 35.0
        if self.role == "asymptote":
            return 0.0, float(data.loss.min())
        return self.bounds or EXPONENT_BOUNDS

    def range(self, data: Data) -> tuple[float, float]:
        """(lowest, highest) start in solver coordinates."""
        if self.role == "coefficient":
            level = float(np.log(np.median(data.loss)))
            return level + np.log(0.02), level
        if self.role == "asymptote":
            return 0.0, float(data.loss.min())
        return self.starts or EXPONENT_STARTS


@dataclass(frozen=True)
class LawForm:
    """L = equation(parameters; inputs).

    Attributes:
      name: what a user calls it.
      equation: the loss, written once for NumPy and JAX.
      text: the equation as people write it.
      parameters: in the order of the solver's coordinates.
      inputs: among params (N), tokens (D), flops (C).
      source: paper and equation.
    """

    name: str
    equation: Equation
    text: str
    parameters: tuple[Parameter, ...]
    inputs: tuple[str, ...]
    source: str

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(parameter.name for parameter in self.parameters)

    def loss(self, params: Mapping[str, Any], logs: Mapping[str, Any]) -> Floats:
        """Loss in NumPy; `params` and `logs` (natural logarithms of the inputs) broadcast against each other."""
        return np.asarray(self.equation(params, logs, np), dtype=np.float64)

    def checked_pins(self, pin: Mapping[str, float] | None) -> dict[str, float]:
        """`pin` as floats; LawError where a name is unknown or a value impossible."""
        pins: dict[str, float] = {}
        for name, value in (pin or {}).items():
            if name not in self.names:
                raise LawError(
                    f"pin names {name!r}; form {self.name} has {', '.join(self.names)}{nearest(name, self.names)}"
                )
            positive = next(p for p in self.parameters if p.name == name).role == "coefficient"
            if not np.isfinite(value) or value < 0 or (positive and value == 0):
                raise LawError(f"pin {name}={value}: must be a finite number {'above' if positive else 'at least'} 0")
            pins[name] = float(value)
        return pins


@functools.cache
def power(x: str = "params") -> LawForm:
    """L = E + A x^-alpha in one input: params (N), tokens (D) or flops (C).

    With E pinned at 0 it is a straight line in logarithms: Kaplan et al. 2020, eq. 1.1 to 1.3.
    """
    letters = {"params": "N", "tokens": "D", "flops": "C"}
    if x not in letters:
        raise LawError(f"x is {x!r}; form power takes params, tokens or flops{nearest(x, letters)}")

    def equation(p: Mapping[str, Any], logs: Mapping[str, Any], xp: ModuleType) -> Any:
        return p["E"] + p["A"] * xp.exp(-p["alpha"] * logs[x])

    return LawForm(
        name="power",
        equation=equation,
        text=f"L = E + A / {letters[x]}^alpha",
        parameters=(
            Parameter("E", "asymptote"),
            Parameter("A", "coefficient", term=("alpha", x)),
            Parameter("alpha", "exponent"),
        ),
        inputs=(x,),
        source="Kaplan et al. 2020, eq. 1.1-1.3 (E = 0); Henighan et al. 2020, eq. 1.1",
    )


def _chinchilla(p: Mapping[str, Any], logs: Mapping[str, Any], xp: ModuleType) -> Any:
    size = p["A"] * xp.exp(-p["alpha"] * logs["params"])
    data = p["B"] * xp.exp(-p["beta"] * logs["tokens"])
    return p["E"] + size + data


CHINCHILLA = LawForm(
    name="chinchilla",
    equation=_chinchilla,
    text="L = E + A / N^alpha + B / D^beta",
    parameters=(
        Parameter("E", "asymptote"),
        Parameter("A", "coefficient", term=("alpha", "params")),
        Parameter("alpha", "exponent"),
        Parameter("B", "coefficient", term=("beta", "tokens")),
        Parameter("beta", "exponent"),
    ),
    inputs=("params", "tokens"),
    source="Hoffmann et al. 2022, approach 3, eq. 2 and 3",
)

FORMS: dict[str, Callable[[str], LawForm]] = {"power": power, "chinchilla": lambda x: CHINCHILLA}


def form_named(name: str, x: str = "params") -> LawForm:
    """The form called `name`; `x` is the input of form power."""
    if name not in FORMS:
        raise LawError(f"form {name!r} is not known; forms: {', '.join(FORMS)}, isoflop{nearest(name, FORMS)}")
    return FORMS[name](x)
