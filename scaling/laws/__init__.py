"""Scaling laws: fit, how sure, predict, allocate, validate, compare. On anybody's table; reading a law needs no JAX."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scaling.laws.comparison import Comparison, Power, compare, power
    from scaling.laws.errors import LawError
    from scaling.laws.fitting import fit
    from scaling.laws.forms import FORMS, LawForm, Parameter
    from scaling.laws.forms.schedule import annealing_areas, schedule_curve, schedule_loss
    from scaling.laws.results import SCHEMA, LawFit, load
    from scaling.laws.selecting import select
    from scaling.laws.selection import Selection
    from scaling.laws.sweeps import best_over
    from scaling.laws.table import Table, data_rich_edge, read
    from scaling.laws.validation import Validation, validate
    from scaling.laws.values import (
        Allocation,
        Budget,
        Curve,
        Deviation,
        Diagnostic,
        Estimate,
        Interval,
        Prediction,
        Sensitivity,
        Serving,
        count,
        number,
    )

__all__ = [
    "FORMS",
    "SCHEMA",
    "Allocation",
    "Budget",
    "Comparison",
    "Curve",
    "Deviation",
    "Diagnostic",
    "Estimate",
    "Interval",
    "LawError",
    "LawFit",
    "LawForm",
    "Parameter",
    "Power",
    "Prediction",
    "Selection",
    "Sensitivity",
    "Serving",
    "Table",
    "Validation",
    "annealing_areas",
    "best_over",
    "compare",
    "count",
    "data_rich_edge",
    "fit",
    "load",
    "number",
    "off_optimum",
    "power",
    "read",
    "schedule_curve",
    "schedule_loss",
    "select",
    "validate",
]
_HOMES = {
    "comparison": ("Comparison", "Power", "compare", "power"),
    "errors": ("LawError",),
    "fitting": ("fit",),
    "forms": ("FORMS", "LawForm", "Parameter"),
    "results": ("SCHEMA", "LawFit", "load"),
    "forms.schedule": ("annealing_areas", "schedule_curve", "schedule_loss"),
    "selecting": ("select",),
    "selection": ("Selection",),
    "sweeps": ("best_over",),
    "table": ("Table", "data_rich_edge", "read"),
    "tuned": ("off_optimum",),
    "validation": ("Validation", "validate"),
    "values": (
        "Allocation",
        "Budget",
        "Curve",
        "Deviation",
        "Diagnostic",
        "Estimate",
        "Interval",
        "Prediction",
        "Sensitivity",
        "Serving",
        "count",
        "number",
    ),
}


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(f"scaling.laws.{home}"), name)
    raise AttributeError(f"module 'scaling.laws' has no attribute {name!r}; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return list(__all__)
