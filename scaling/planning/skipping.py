"""Which cells a sweep leaves out."""

import math
from collections.abc import Callable, Mapping, Sequence
from numbers import Real
from typing import Any

from scaling.config import Condition, SkipConfig

SAME = 1e-9
"""Relative: numbers that differ by less are equal."""


def holds(condition: Condition, value: Any) -> bool:
    """Whether `value` is all that `condition` says; None, of a cell that has no such name, is nothing."""
    if value is None:
        return False
    if condition.equals is not None and not _equal(value, condition.equals):
        return False
    if condition.any_of and not any(_equal(value, one) for one in condition.any_of):
        return False
    if condition.above is not None and not (_number(value) and value > condition.above):
        return False
    return condition.below is None or (_number(value) and value < condition.below)


def rule_of(rules: Sequence[SkipConfig], value: Callable[[str], Any]) -> int | None:
    """The first rule all of whose conditions hold; None where there is none."""
    for place, rule in enumerate(rules):
        if all(holds(condition, value(name)) for name, condition in rule.when.items()):
            return place
    return None


def never_held(rules: Sequence[SkipConfig], held: Mapping[int, int]) -> list[str]:
    """A note for each rule that leaves out no cell."""
    return [
        f"sweep.skip.{place} (because: {rule.because}) leaves out no cell: its conditions never hold together, or "
        "a rule before it leaves out the same cells"
        for place, rule in enumerate(rules)
        if not held.get(place)
    ]


def _equal(value: Any, other: Any) -> bool:
    if _number(value) and _number(other):
        return math.isclose(value, other, rel_tol=SAME)
    return type(value) is type(other) and bool(value == other)


def _number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)
