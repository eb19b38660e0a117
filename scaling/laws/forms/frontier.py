"""Laws that say nothing but where the compute-optimal frontier lies: what approaches 1 and 2 give."""

from types import ModuleType
from typing import Any

import numpy as np

from scaling.laws.errors import LawError, nearest
from scaling.laws.forms.base import LawForm, Values
from scaling.laws.forms.parameters import real
from scaling.laws.forms.registry import register

LINES = ("N", "D", "L")
NAMES = tuple(f"{line}_{part}" for line in LINES for part in ("coefficient", "exponent"))
REFERENCE = "reference_flops"
"""C at which the coefficients are N*, D* and L*."""
EDGES = ("leave_out", "keep")
LEAST_POINTS = 20


def frontier(text: str, source: str, procedure: str, needs: tuple[str, ...]) -> LawForm:
    """N* = N_coefficient x^N_exponent and likewise D* and L*, with x = C / reference_flops."""

    def line(p: Values, name: str, log_c: Any) -> Any:
        away = log_c - np.log(p[REFERENCE])
        return np.log(p[f"{name}_coefficient"]) + p[f"{name}_exponent"] * away

    def equation(p: Values, x: Values, xp: ModuleType) -> Any:
        return xp.exp(line(p, "L", x["flops"]))

    return LawForm(
        name="",
        equation=equation,
        text=text,
        parameters=tuple(real(name, (0.0, 1.0), (-np.inf, np.inf)) for name in (*NAMES, REFERENCE)),
        inputs=("flops",),
        falling=("flops",),
        source=source,
        frontier=lambda p, log_c: (line(p, "N", log_c), line(p, "D", log_c)),
        procedure=procedure,
        needs=needs,
    )


@register
def isoflop() -> LawForm:
    """A parabola of ln L in ln N for each budget; N*, D* and L* as power laws in C (Hoffmann 2022, approach 2)."""
    return frontier(
        text="N* = a x^p, D* = b x^q, L* = c x^r with x = C / reference_flops, where ln L = parabola in ln N is least",
        source="Hoffmann et al. 2022, approach 2, section 3.2",
        procedure="scaling.laws.procedures.isoflop:fit",
        needs=("params", "flops"),
    )


@register
def envelope(edge: str = "leave_out", smoothing: float = 0.0, points: int = 1500) -> LawForm:
    """The run with the least loss at each C along training; N*, D* and L* as power laws in C (Hoffmann 2022,
    approach 1).

    Options:
      edge: `leave_out` budgets whose best run has the smallest or largest size trained at that C, or `keep` them.
      smoothing: standard deviation, in ln C, of the Gaussian with which each curve is smoothed; 0 for none.
      points: budgets, evenly spaced in ln C.
    """
    if edge not in EDGES:
        raise LawError(f"edge is {edge!r}; it is {' or '.join(EDGES)}{nearest(edge, EDGES)}")
    if not 0 <= smoothing < np.inf:
        raise LawError(f"smoothing is {smoothing}; it must be 0 or above, in units of ln C")
    if points < LEAST_POINTS:
        raise LawError(f"points is {points}; it must be at least {LEAST_POINTS}")
    return frontier(
        text="N* = a x^p, D* = b x^q, L* = c x^r with x = C / reference_flops, of the run with the least loss at C",
        source="Hoffmann et al. 2022, approach 1, section 3.1",
        procedure="scaling.laws.procedures.envelope:fit",
        needs=("params", "flops"),
    )
