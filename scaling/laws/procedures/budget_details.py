"""What approach 2 says of each budget, and what can be wrong with it."""

from typing import Any

import numpy as np

from scaling.laws.forms import Floats
from scaling.laws.forms.frontier import LINES
from scaling.laws.table import Table
from scaling.laws.values import Diagnostic

SIZES = 3
"""Different sizes that a parabola needs."""
FEW_BUDGETS = 4
LEAST_BRACKETED = 2
"""Budgets with their minimum between their sizes, below which N* is an extrapolation of parabolas."""


def detail(
    rows: Table, group: np.ndarray[Any, Any], curve: Floats, centre: float, minimum: dict[str, float], log_c: float
) -> dict[str, Any]:
    """A budget's parabola, its minimum and its runs, as LawFit.details holds them."""
    opens = bool(curve[0] > 0)
    sizes = np.log(rows.params[group])
    tokens = rows.tokens[group] if len(rows.tokens) else rows.flops[group] * 0
    return {
        "budget": float(np.exp(log_c)) if rows.budget is None else float(rows.budget[group[0]]),
        "flops": float(np.exp(log_c)),
        "opens_upwards": opens,
        "bracketed": opens and bool(sizes.min() < minimum["N"] < sizes.max()),
        "minimum": {
            name: float(np.exp(minimum[key])) for name, key in zip(("params", "tokens", "loss"), LINES, strict=True)
        }
        if opens
        else None,
        "curvature": float(2 * curve[0]),
        "parabola": {"centre": float(centre), "coefficients": [float(value) for value in curve]},
        "points": {
            "params": rows.params[group].tolist(),
            "tokens": tokens.tolist(),
            "loss": rows.target[group].tolist(),
        },
    }


def findings(details: list[dict[str, Any]], skipped: int) -> list[Diagnostic]:
    """Parabolas without a minimum between their sizes, and too few budgets; `skipped` have too few sizes."""
    found = []
    for one in details:
        name = f"budget {one['budget']:.3g}"
        if not one["opens_upwards"]:
            message = f"{name}: the parabola opens downwards and is left out; add sizes on both sides of the optimum"
            found.append(Diagnostic("parabola_opens_downwards", one["curvature"], message))
        elif not one["bracketed"]:
            message = (
                f"{name}: its minimum at N = {one['minimum']['params']:.3g} lies outside the trained sizes; "
                "add sizes on that side"
            )
            found.append(Diagnostic("minimum_not_bracketed", one["minimum"]["params"], message))
    good = sum(one["opens_upwards"] for one in details)
    if good < FEW_BUDGETS:
        message = f"{good} budgets with a minimum; the slopes of N* and D* need {FEW_BUDGETS} or more"
        found.append(Diagnostic("too_few_budgets", good, message, "error" if good < 3 else "warning"))
    inside = sum(one["bracketed"] for one in details)
    if inside < LEAST_BRACKETED:
        message = (
            f"{inside} of {len(details)} budgets have their minimum between their sizes: N* lies outside of what was "
            "trained. Train sizes on both sides of it"
        )
        found.append(Diagnostic("no_minimum_inside", inside, message, "error"))
    if skipped:
        message = f"{skipped} budgets have fewer than {SIZES} sizes and are left out"
        found.append(Diagnostic("budgets_left_out", skipped, message, "note"))
    return found


def unused(rows: Table, groups: list[np.ndarray[Any, Any]], used: list[np.ndarray[Any, Any]]) -> tuple[str, ...]:
    """Rows of the budgets that were skipped, one line each."""
    kept = {int(index) for group in used for index in group}
    left = [int(index) for group in groups for index in group if int(index) not in kept]
    return tuple(f"{rows.labels[index]}: its budget has fewer than {SIZES} sizes" for index in sorted(left))
