"""Runs that a table counts twice, and one trajectory with two losses at one place."""

from collections.abc import Mapping, Sequence
from typing import Any

from scaling.laws.errors import LawError
from scaling.laws.forms import Floats
from scaling.laws.values import Diagnostic, number

MEASURED = ("weight", "budget")
"""Columns of numbers that say nothing about which run a row is."""


def checked(
    numbers: Mapping[str, Floats],
    words: Mapping[str, Sequence[Any]],
    others: Sequence[Sequence[Any]],
    labels: Sequence[str],
    output: str,
) -> list[Diagnostic]:
    """Warnings where rows may be copies, or repeat a place of their trajectory with another output.

    LawError where two rows of one trajectory are alike in every column, `others` included: copies. Without the name of
    a trajectory they may be two runs whose losses were rounded, with another note two checkpoints: a warning.

    Args:
      numbers, words: columns that the fit reads, one value a row.
      others: the table's remaining columns.
      labels: what errors call each row.
      output: what is predicted.
    """
    named = "trajectory" in words
    run = [_hashable(words[name]) for name in ("trajectory", "seed") if name in words]
    apart_from = (output, f"{output}_se", *MEASURED)
    places = _rows([*run, *(v.tolist() for n, v in numbers.items() if n not in apart_from)], len(labels))
    measured = _rows([numbers[name].tolist() for name in (output, *MEASURED) if name in numbers], len(labels))
    rest = _rows([_hashable(column) for column in others], len(labels))
    seen: dict[tuple[Any, ...], int] = {}
    first: dict[tuple[Any, ...], int] = {}
    apart: list[tuple[int, int]] = []
    alike: list[tuple[int, int]] = []
    for row, (place, value, note) in enumerate(zip(places, measured, rest, strict=True)):
        other = seen.setdefault((place, value) if named else (place, value, note), row)
        if other != row and named and rest[other] == note:
            values = ", ".join(f"{name} {number(float(column[row]))}" for name, column in numbers.items())
            raise LawError(
                f"{labels[row]} repeats {labels[other]}: trajectory {words['trajectory'][row]!r} with {values}. "
                "Leave one out; to count a run twice give it a weight of 2"
            )
        if other != row:
            alike.append((other, row))
        before = first.setdefault(place, row)
        if before != row and measured[before][0] != value[0]:
            apart.append((before, row))
    found = []
    if alike:
        message = (
            f"{len(alike)} rows repeat another, such as {labels[alike[0][1]]} and "
            f"{labels[alike[0][0]]}: each counts as a run. Leave copies out; name runs in a column trajectory"
        )
        found.append(Diagnostic("rows_repeat", len(alike), message))
    if named and apart:
        found += _repeats(numbers[output], words["trajectory"], labels, output, apart)
    return found


def _rows(columns: Sequence[Sequence[Any]], count: int) -> list[tuple[Any, ...]]:
    return list(zip(*columns, strict=True)) if columns else [()] * count


def _hashable(values: Sequence[Any]) -> list[Any]:
    return [value if isinstance(value, str | int | float | None) else str(value) for value in values]


def _repeats(
    output: Floats,
    trajectory: Sequence[Any],
    labels: Sequence[str],
    called: str,
    apart: Sequence[tuple[int, int]],
) -> list[Diagnostic]:
    first, row = max(apart, key=lambda pair: abs(float(output[pair[0]]) - float(output[pair[1]])))
    message = (
        f"{len(apart)} rows repeat a place of their trajectory with another {called}, such as {labels[row]} "
        f"({called} {number(float(output[row]))}) and {labels[first]} ({number(float(output[first]))}) of trajectory "
        f"{str(trajectory[row])!r}. Keep one evaluation set and checkpoint; name runs of other seeds apart"
    )
    return [Diagnostic("trajectory_repeats", len(apart), message)]
