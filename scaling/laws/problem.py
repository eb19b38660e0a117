"""A form on data, ready to solve: its coordinates, bounds and rows. No JAX."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from scaling.laws.forms import Data, Floats, LawForm, coordinates, natural
from scaling.laws.objective import Objective

Rows = slice | np.ndarray[Any, Any]


@dataclass(frozen=True)
class Problem:
    """A form on data: its coordinates, bounds and rows. `inputs` as the equation gets them; `target` in the unit of
    the residuals (a logarithm in log space)."""

    form: LawForm
    inputs: Mapping[str, Floats]
    target: Floats
    weights: Floats
    objective: Objective
    pins: Mapping[str, float] = field(default_factory=dict)
    ties: tuple[tuple[str, str], ...] = ()

    @functools.cached_property
    def data(self) -> Data:
        return Data(self.inputs, np.exp(self.target) if self.objective.space == "log" else self.target)

    @functools.cached_property
    def centres(self) -> dict[str, float]:
        """Mean of each input: where coefficients are measured."""
        return {name: float(values.mean()) for name, values in self.inputs.items()}

    @functools.cached_property
    def bounds(self) -> tuple[Floats, Floats]:
        """(lowest, highest) z; equal where z is a pinned value. Other pinned values stay outside of z."""
        limits = np.array([parameter.bounds(self.data) for parameter in self.form.parameters])
        for index, parameter in enumerate(self.form.parameters):
            if parameter.name in self.pins and parameter.is_coordinate:
                limits[index] = self.pins[parameter.name]
        return limits[:, 0], limits[:, 1]

    @property
    def free(self) -> tuple[str, ...]:
        """Names of the parameters that are solved for."""
        held = {*self.pins, *(name for name, _ in self.ties)}
        return tuple(name for name in self.form.names if name not in held)

    def natural(self, z: Floats) -> dict[str, Floats]:
        """z (..., parameters) as named parameters of the equation, pins exact."""

        def fixed(index: int, value: Any) -> Any:
            name = self.form.names[index]
            return np.full_like(np.asarray(value, dtype=np.float64), self.pins[name]) if name in self.pins else value

        return natural(self.form, z, self.centres, fixed, dict(self.ties), np)

    def coordinates(self, params: Mapping[str, Any]) -> Floats:
        """Named parameters as z (..., parameters)."""
        return coordinates(self.form, params, self.centres)

    def fitted(self, z: Floats, rows: Rows = slice(None)) -> Floats:
        """(..., rows) the prediction at z (..., parameters), in the unit of the residuals."""
        inputs = {name: values[rows] for name, values in self.inputs.items()}
        # Far from any law that fits, a parameter may overflow: what it predicts is then not finite, which says it all.
        with np.errstate(all="ignore"):
            value = self.form.evaluate(self.natural(z[..., None, :]), inputs)
            return value if self.objective.space == "linear" else np.log(value)
