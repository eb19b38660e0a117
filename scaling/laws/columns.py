"""What a table's columns are called, and what those of words say: trajectories and conventions."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from scaling.laws.errors import LawError, nearest
from scaling.laws.values import Diagnostic

LABELS = ("trajectory", "seed", "role", "params_convention", "flops_convention")
LETTERS = {"params": "N", "tokens": "D", "flops": "C", "unique_tokens": "U"}
"""The field's letters, taken where a column of the full name is absent."""
UNSTATED = "as in the table"
AT_EDGE = "at_edge"
"""Column that says whether a row's best setting lies at the edge of what was swept."""


def named(present: Sequence[str], mapping: Mapping[str, str], numeric: Sequence[str]) -> dict[str, str]:
    """What each known name is called in the table."""
    known = (*numeric, *LABELS)
    for name, column in mapping.items():
        if name not in known:
            raise LawError(f"columns names {name!r}; it may name {', '.join(known)}{nearest(name, known)}")
        if column not in present:
            raise LawError(f"the table has no column {column!r} for {name}{nearest(column, present)} {listed(present)}")
    found = {name: name for name in known if name in present}
    found |= {name: letter for name, letter in LETTERS.items() if name not in found and letter in present}
    return found | dict(mapping)


def listed(present: Sequence[str]) -> str:
    """(columns: the table's own, as far as there is room)."""
    shown = ", ".join(list(present)[:12]) + (", ..." if len(present) > 12 else "")
    return f"(columns: {shown})"


def clusters(words: Mapping[str, list[Any]], labels: Sequence[str]) -> np.ndarray[Any, Any]:
    """(rows,) the number of each row's trajectory; each row its own where the table names none."""
    if "trajectory" not in words:
        return np.arange(len(labels))
    for label, name in zip(labels, words["trajectory"], strict=True):
        if name is None or str(name).strip().lower() in ("", "nan", "<na>"):
            raise LawError(f"{label}, column 'trajectory' is empty; name its run, or map no trajectory at all")
    return np.unique([str(name) for name in words["trajectory"]], return_inverse=True)[1]


def at_edge(values: Sequence[Any], labels: Sequence[str]) -> list[Diagnostic]:
    """A warning where rows reduced from a sweep (`sweeps.best_over`) have their best setting at its edge."""
    there = [label for label, value in zip(labels, values, strict=True) if str(value).strip().lower() in ("true", "1")]
    if not there:
        return []
    shown = ", ".join(there[:6]) + (", ..." if len(there) > 6 else "")
    message = (
        f"{len(there)} rows have their best setting at the edge of their sweep ({shown}): their loss may be lower "
        "farther out, and the law bent. Sweep farther there, or leave them out"
    )
    return [Diagnostic("tuned_at_edge", len(there), message)]


def conventions(words: Mapping[str, list[Any]], rows: Sequence[int]) -> dict[str, str]:
    """How params and flops are counted; LawError where rows differ in it."""
    found = {}
    for name in ("params", "flops"):
        values = words.get(f"{name}_convention", [UNSTATED])
        different = [place for place, value in enumerate(values) if value != values[0]]
        if different:
            raise LawError(
                f"column {name}_convention mixes {values[0]!r} (row {rows[0] + 1}) and {values[different[0]]!r} "
                f"(row {rows[different[0]] + 1}); one fit takes one convention"
            )
        found[name] = str(values[0])
    return found
