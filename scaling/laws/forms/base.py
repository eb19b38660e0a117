"""What a form is: an equation in named parameters, where to start and what bounds them. No JAX.

The solver works in coordinates z, one a parameter, in which the problem is well conditioned: a parameter says how its
value follows from z, given the other parameters and the centres (means) of the inputs.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from scaling.laws.errors import LawError, nearest

Floats = NDArray[np.float64]
Values = Mapping[str, Any]
"""Name -> array or number."""
Equation = Callable[[Values, Values, ModuleType], Any]
"""(parameters, inputs, numpy or jax.numpy) -> output. Inputs come as natural logarithms, but for `linear_inputs`."""
Role = Literal["asymptote", "exponent", "coefficient", "scale", "shape"]


@dataclass(frozen=True)
class Data:
    """What a parameter may look at to choose its starts: inputs as the equation gets them, and the output."""

    inputs: Values
    output: Floats

    @property
    def level(self) -> float:
        """ln of the output's typical size."""
        return float(np.log(np.median(np.abs(self.output)) + 1e-300))


Range = Callable[[Data], tuple[float, float]]
"""(lowest, highest) in solver coordinates, as a function of the data."""


def _as_it_is(z: Any, p: Values, c: Values, xp: ModuleType) -> Any:
    return z


def _back_as_it_is(value: Any, p: Values, c: Values) -> Any:
    return value


@dataclass(frozen=True)
class Parameter:
    """One named parameter; made by the functions of `parameters.py`.

    Attributes:
      name: as in the equation.
      role: `asymptote` (where the output levels off), `exponent`, `coefficient` (multiplies a term), `scale` (where an
        input begins to matter), or `shape` (any other).
      bounds, starts: of z.
      natural: (z, parameters, centres, numpy or jax.numpy) -> the equation's value.
      coordinate: (value, parameters, centres) -> z.
      positive: whether the value must be above 0.
      edge: what a value at its bound means, where that is no failure of the form.
    """

    name: str
    role: Role
    bounds: Range
    starts: Range
    natural: Callable[[Any, Values, Values, ModuleType], Any] = _as_it_is
    coordinate: Callable[[Any, Values, Values], Any] = _back_as_it_is
    positive: bool = False
    edge: str = ""

    @property
    def is_coordinate(self) -> bool:
        """Whether z is the value itself."""
        return self.natural is _as_it_is


@dataclass(frozen=True)
class LawForm:
    """output = equation(parameters; inputs).

    Attributes:
      name: what a user calls it.
      equation: the output, written once for NumPy and JAX.
      text: the equation as people write it.
      parameters: in the order of the solver's coordinates.
      inputs: columns that it is a function of: params (N), tokens (D), flops (C), tokens_per_param, or any other.
      source: paper and equation.
      linear_inputs: inputs that the equation gets as they are, not as logarithms; these may be zero or below.
      output: the column that it predicts.
      space: where residuals are taken unless the user says otherwise: `log` (of the output) or `linear`.
      falling: inputs with which the output must fall for the form to make sense.
      options: what picks this member of a family of forms, such as {"x": "flops"}; with `name` it finds the form again.
      optimum_6nd: (parameters, ln C) -> (ln N*, ln D*) under C = 6 N D, where there is a closed form.
      frontier: (parameters, ln C) -> (ln N*, ln D*), for a law that says nothing but where the optimum lies.
      procedure: "module:function" that fits it, (Table, LawForm, Settings) -> LawFit, where one solve does not.
      needs: columns that the procedure reads, where they are not the inputs.
      takes_pins: whether the procedure heeds pins and ties, as a form of one solve always does.
      check: (inputs as the equation gets them, and the output where it is known; what errors call each row) -> None;
        LawError where a row cannot be.
      rises: whether more of the output is better, as of an accuracy.
    """

    name: str
    equation: Equation
    text: str
    parameters: tuple[Parameter, ...]
    inputs: tuple[str, ...]
    source: str
    linear_inputs: tuple[str, ...] = ()
    output: str = "loss"
    space: Literal["log", "linear"] = "log"
    falling: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict, hash=False, compare=False)
    optimum_6nd: Callable[[Values, Any], tuple[Any, Any]] | None = None
    frontier: Callable[[Values, Any], tuple[Any, Any]] | None = None
    procedure: str | None = None
    needs: tuple[str, ...] = ()
    takes_pins: bool = False
    check: Callable[[Values, Sequence[str]], None] | None = field(default=None, compare=False)
    rises: bool = False

    @property
    def columns(self) -> tuple[str, ...]:
        """What a table must have, beside the output."""
        return self.needs or self.inputs

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(parameter.name for parameter in self.parameters)

    def parameter(self, name: str) -> Parameter:
        """The parameter called `name`; LawError with the nearest right one where there is none."""
        for parameter in self.parameters:
            if parameter.name == name:
                return parameter
        raise LawError(f"form {self.name} has no parameter {name!r}; it has {', '.join(self.names)}{self._near(name)}")

    def evaluate(self, params: Values, inputs: Values) -> Floats:
        """The output in NumPy; `params` and `inputs` (as the equation gets them) broadcast against each other."""
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            return np.asarray(self.equation(params, inputs, np), dtype=np.float64)

    def checked_pins(self, pin: Mapping[str, float] | None) -> dict[str, float]:
        """`pin` as floats; LawError where a name is unknown or a value impossible."""
        pins: dict[str, float] = {}
        for name, value in (pin or {}).items():
            if name not in self.names:
                raise LawError(f"pin names {name!r}; form {self.name} has {', '.join(self.names)}{self._near(name)}")
            parameter = self.parameter(name)
            least = "above 0" if parameter.positive else "at least 0" if parameter.role == "asymptote" else ""
            too_low = (parameter.positive and value <= 0) or (parameter.role == "asymptote" and value < 0)
            if not np.isfinite(value) or too_low:
                raise LawError(f"pin {name}={value}: must be a finite number{least and f' {least}'}")
            pins[name] = float(value)
        return pins

    def checked_ties(self, tie: Mapping[str, str] | None, pins: Mapping[str, float]) -> tuple[tuple[str, str], ...]:
        """(tied, to) pairs; LawError where a name is unknown, pinned, or tied in a circle."""
        ties = dict(tie or {})
        for name, other in ties.items():
            for one in (name, other):
                if one not in self.names:
                    raise LawError(f"tie names {one!r}; form {self.name} has {', '.join(self.names)}{self._near(one)}")
            if name in pins:
                raise LawError(f"{name} is both pinned at {pins[name]:g} and tied to {other}; choose one")
            if other in ties or name == other:
                raise LawError(f"tie {name}={other}: {other} must be a parameter that is not tied itself")
        return tuple(sorted(ties.items()))

    def carries_beyond(self, space: str | None = None) -> bool:
        """Whether errors beyond the residuals, which are in `space`, can enter its intervals: it is fitted to the
        logarithm of the output by one solve."""
        return not self.procedure and (space or self.space) == "log"

    def _near(self, name: str) -> str:
        return nearest(name, self.names)


class _Naturals(dict[str, Any]):
    """Values of the parameters in the equation's unit, each worked out when another one asks for it."""

    def __init__(
        self,
        form: LawForm,
        z: Any,
        centres: Values,
        fixed: Callable[[int, Any], Any],
        ties: Mapping[str, str],
        xp: ModuleType,
    ):
        super().__init__()
        self._form, self._z, self._centres, self._fixed, self._ties, self._xp = form, z, centres, fixed, ties, xp
        self._place = {name: index for index, name in enumerate(form.names)}

    def __missing__(self, name: str) -> Any:
        if name in self._ties:
            value = self[self._ties[name]]
        else:
            index = self._place[name]
            value = self._form.parameters[index].natural(self._z[..., index], self, self._centres, self._xp)
            value = self._fixed(index, value)
        self[name] = value
        return value


def natural(
    form: LawForm,
    z: Any,
    centres: Values,
    fixed: Callable[[int, Any], Any],
    ties: Mapping[str, str],
    xp: ModuleType,
) -> dict[str, Any]:
    """z (..., parameters) as named parameters. `fixed` (place, value) puts pinned values in their place."""
    values = _Naturals(form, z, centres, fixed, ties, xp)
    return {name: values[name] for name in form.names}


def coordinates(form: LawForm, params: Values, centres: Values) -> Floats:
    """Named parameters as z (..., parameters)."""
    columns: Iterator[Any] = (
        parameter.coordinate(np.asarray(params[parameter.name], dtype=np.float64), params, centres)
        for parameter in form.parameters
    )
    return np.stack(np.broadcast_arrays(*columns), axis=-1)
