"""What a fit minimises, and how it is named in every result. No JAX."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from scaling.laws.errors import LawError, nearest
from scaling.laws.forms import Floats

Name = Literal["huber", "least_squares", "absolute"]
NAMES: tuple[Name, ...] = ("huber", "least_squares", "absolute")
QUADRATIC = 1e300
"""A Huber threshold above every residual."""
DESCENT = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
"""Huber thresholds, in units of the typical residual, on the way to least absolute deviations."""


@dataclass(frozen=True)
class Objective:
    """sum_i w_i rho(r_i), r = ln prediction - ln target in log space, else their difference.

    rho is Huber's (r^2 / 2 for |r| <= delta, else delta (|r| - delta / 2)), r^2 for least squares, |r| for absolute.
    Always the sum: an average makes optimisers stop early.
    """

    name: Name
    delta: float
    space: Literal["log", "linear"]

    @property
    def threshold(self) -> float:
        """Huber threshold that the solver begins with."""
        return self.delta if self.name == "huber" else QUADRATIC

    def value(self, residual: Floats, weights: Floats) -> Any:
        """The sum over the last axis."""
        if self.name == "absolute":
            terms = np.abs(residual)
        elif self.name == "least_squares":
            terms = residual**2
        else:
            terms = huber(residual, self.delta)
        return np.sum(weights * terms, axis=-1)

    def record(self, value: float) -> dict[str, Any]:
        """As a LawFit keeps it."""
        delta = self.delta if self.name == "huber" else None
        return {"name": self.name, "delta": delta, "reduction": "sum", "space": self.space, "value": value}


def checked(name: str, delta: float, space: str) -> Objective:
    """The objective called `name`; LawError where it or its settings are impossible."""
    if name not in NAMES:
        raise LawError(f"objective is {name!r}; it is {', '.join(NAMES)}{nearest(name, NAMES)}")
    if not 0 < delta < np.inf:
        raise LawError(f"delta is {delta}; it must be above 0 and finite")
    if space not in ("log", "linear"):
        raise LawError(f"space is {space!r}; it is log or linear")
    return Objective(name, float(delta), space)  # type: ignore[arg-type]  # both were just checked


def huber(residual: Any, delta: Any) -> Any:
    """r^2 / 2 for |r| <= delta, else delta (|r| - delta / 2), for NumPy or JAX arrays."""
    size = abs(residual)
    inside = size * (size <= delta) + delta * (size > delta)
    return inside * (size - inside / 2)
