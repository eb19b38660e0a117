"""A raw sweep as one row a cell, for a law to be fitted to: its columns found, its best settings read off bowls.

What `laws.best_over` does, with the columns that people name on the command line: cells are what the table has of N, D
and C, and what else the law is a function of.
"""

import hashlib
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from scaling import laws
from scaling.config import StudyError
from scaling.laws import LawError, LawForm
from scaling.laws.columns import LABELS, LETTERS, listed
from scaling.laws.errors import nearest
from scaling.laws.procedures.bowls import REACH
from scaling.laws.sources import frame
from scaling.laws.table import DERIVED, NUMBERS, STANDARD

SAME = 0.02
"""Relative difference up to which a raw row's N or D is that of a cell."""
OWN = ("loss", "weight", "trajectory")
"""Columns that a reduction reads by name, beside a cell's and the swept ones."""


@dataclass(frozen=True)
class Sweep:
    """What to reduce by: the swept columns, and how far above a cell's minimum its bowl reaches (None: as usual)."""

    over: tuple[str, ...]
    reach: float | None = None


@dataclass(frozen=True)
class Reduced:
    """A sweep's cells.

    Attributes:
      table: a row a cell, under the laboratory's names.
      columns: what of it `laws.fit` is to be told: loss_se, where it is to count.
      cell, over: names of what a cell has in common, and of what was swept in it.
      edges: name, `lowest` or `highest` -> the rows of `table` whose best lies at that end of what was tried.
      runs, diverged: how many were reduced, and how many of them have no loss.
      checks: how many more were of role check, and left out.
      reach: as used.
      sha256: of the raw table's file.
    """

    table: pl.DataFrame
    columns: dict[str, str]
    cell: tuple[str, ...]
    over: tuple[str, ...]
    edges: dict[tuple[str, str], tuple[int, ...]]
    runs: int
    diverged: int
    checks: int
    reach: float
    sha256: str

    def record(self) -> dict[str, Any]:
        """Where a law's rows come from, as plain data: each cell, and what it was made of."""
        found = [name for name in (*self.cell, "loss", "loss_se", "weight", "regret") if name in self.table.columns]
        found += [name for one in self.over for name in (one, f"{one}_log_se", f"{one}_at_edge")]
        rows = self.table.select(*found, "settings", "runs").to_dicts()
        return {
            "over": list(self.over),
            "cell": list(self.cell),
            "reach": self.reach,
            "runs": self.runs,
            "diverged": self.diverged,
            "checks_left_out": self.checks,
            "sha256": self.sha256,
            "cells": [{name: _plain(value) for name, value in row.items()} for row in rows],
        }


def reduced(path: Path, sweep: Sweep, columns: Mapping[str, str], forms: Sequence[LawForm] = ()) -> Reduced:
    """The raw sweep in `path`, one row a cell. `columns` as the command line has them; `forms` are to be fitted to it.

    Raises StudyError or LawError, which name the option, where the table has no such column or a form cannot do so.
    """
    for law in forms:
        if law.output != "loss":
            raise StudyError(
                f"--best-over makes rows of a loss, and form {law.name} predicts {law.output}: leave it out"
            )
    raw = frame(path).to_native()
    raw = raw if isinstance(raw, pl.DataFrame) else pl.DataFrame(raw)
    names = _named(raw.columns, columns)
    over = _over(sweep.over, names, raw.columns, path)
    _check_names(columns, over, forms)
    weighs = _weighs(names)
    checks = _checks(raw, names)
    kept = raw.filter(~checks)
    cell = _cell(forms, names, raw.columns, over)
    reads = {*cell, *over, *OWN}
    ready, told = _renamed(kept, {n: c for n, c in names.items() if n not in reads}), names.keys() & reads
    reach = REACH if sweep.reach is None else sweep.reach
    with _numbered(np.flatnonzero(~checks.to_numpy())):
        best = laws.best_over(ready, over, cell, columns={name: names[name] for name in told}, reach=reach)
    losses = kept[names.get("loss", "loss")].cast(pl.Float64, strict=False)
    return Reduced(
        table=best.drop("weight") if weighs else best,
        columns={"loss_se": "loss_se"} if weighs else {},
        cell=cell,
        over=over,
        edges=_edges(best, kept, names, cell, over),
        runs=len(kept),
        diverged=len(kept) - int(losses.is_finite().fill_null(False).sum()),
        checks=int(checks.sum()),
        reach=reach,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
    )


@contextmanager
def _numbered(kept: np.ndarray[Any, Any]) -> Iterator[None]:
    """Errors name a row by its number in the file, not among those that were kept."""
    try:
        yield
    except LawError as error:
        raise LawError(re.sub(r"\brow (\d+)\b", lambda row: f"row {kept[int(row[1]) - 1] + 1}", str(error))) from error


def _named(present: Sequence[str], columns: Mapping[str, str]) -> dict[str, str]:
    """Name -> the table's column, for all that it has under another name: as told, or by its letter."""
    for name, column in columns.items():
        if column not in present and (name, column) != ("loss_se", "loss_se"):
            near = nearest(column, present)
            raise StudyError(f"--columns {name}={column}: the table has no such column{near} {listed(present)}")
    letters = {name: letter for name, letter in LETTERS.items() if name not in present and letter in present}
    return letters | dict(columns)


def _over(given: Sequence[str], names: Mapping[str, str], present: Sequence[str], path: Path) -> tuple[str, ...]:
    """The swept columns' names: what the table calls them, or what `--columns` does."""
    called = {column: name for name, column in names.items()}
    found = []
    for word in given:
        if word not in present and word not in names:
            raise StudyError(
                f"--best-over names {word!r}, and {path} has no such column{nearest(word, present)} {listed(present)}"
            )
        found.append(word if word in names else called.get(word, word))
        if found[-1] in (*STANDARD, *OWN, *LABELS):
            raise StudyError(f"--best-over names {word!r}; name what was swept at each N and D, as lr batch_size")
    if len(found) > 2 or len(set(found)) < len(found):
        raise StudyError(f"--best-over has {' '.join(given)}; name one or two different columns that were swept")
    return tuple(found)


def _check_names(columns: Mapping[str, str], over: Sequence[str], forms: Sequence[LawForm]) -> None:
    known = dict.fromkeys(("loss", "loss_se", *NUMBERS, *LABELS, *over, *LETTERS))
    known |= dict.fromkeys(name for law in forms for name in law.columns)
    for name in columns:
        if name not in known:
            raise StudyError(f"--columns names {name!r}; it may name {', '.join(known)}{nearest(name, known)}")


def _weighs(names: dict[str, str]) -> bool:
    """Whether each minimum's standard error is to count in the fit, in place of the weights that say the same."""
    column = names.pop("loss_se", None)
    if column not in (None, "loss_se"):
        raise StudyError(
            f"--columns loss_se={column}: with --best-over the standard errors are those of the bowls' minima; "
            "write loss_se=loss_se to have them weighed as errors, or leave it out"
        )
    return column is not None


def _checks(raw: pl.DataFrame, names: Mapping[str, str]) -> pl.Series:
    """(rows,) whether a row is of role check, which no fit sees."""
    column = names.get("role", "role")
    if column not in raw.columns:
        return pl.repeat(False, len(raw), eager=True)
    return raw[column].cast(pl.String, strict=False).eq_missing("check")


def _cell(
    forms: Sequence[LawForm], names: Mapping[str, str], present: Sequence[str], over: Sequence[str]
) -> tuple[str, ...]:
    """What a cell has in common: N, D and C as far as the table has them, and the laws' other inputs."""
    further = []
    for law in forms:
        further += [name for name in law.columns if name not in (*DERIVED, *STANDARD, "loss", *over)]
        for name in further:
            if names.get(name, name) not in present:
                near = nearest(name, present)
                raise StudyError(
                    f"form {law.name} needs a column {name!r}, and the table has none{near} {listed(present)}"
                )
    wanted = [name for name in dict.fromkeys((*STANDARD, "unique_tokens", *further)) if name not in ("loss", *over)]
    found = tuple(name for name in wanted if names.get(name, name) in present)
    if not set(found) & set(STANDARD):
        raise StudyError(
            "--best-over makes one row of each N and D, and the table has none of params, tokens and flops: name them, "
            'as in --columns params="Model Size" tokens=D'
        )
    return found


def _renamed(table: pl.DataFrame, names: Mapping[str, str]) -> pl.DataFrame:
    """`table` with the columns that come along under the laboratory's names."""
    taken = [name for name, column in names.items() if name in table.columns and name != column]
    return table.drop(taken).rename({column: name for name, column in names.items() if column != name})


def _edges(
    best: pl.DataFrame, raw: pl.DataFrame, names: Mapping[str, str], cell: Sequence[str], over: Sequence[str]
) -> dict[tuple[str, str], tuple[int, ...]]:
    """Which end of what was tried each minimum at an edge lies at."""
    found: dict[tuple[str, str], list[int]] = {}
    for name in over:
        tried = np.log(raw[names.get(name, name)].cast(pl.Float64).to_numpy())
        for row in np.flatnonzero(best[f"{name}_at_edge"].to_numpy()).tolist():
            mine = tried[_of_cell(best.row(row, named=True), raw, names, cell)]
            at = math.log(best[name][row])
            end = "lowest" if at < (mine.min() + mine.max()) / 2 else "highest"
            found.setdefault((name, end), []).append(row)
    return {which: tuple(rows) for which, rows in found.items()}


def _of_cell(
    row: Mapping[str, Any], raw: pl.DataFrame, names: Mapping[str, str], cell: Sequence[str]
) -> np.ndarray[Any, Any]:
    keep = np.ones(len(raw), dtype=bool)
    for name in cell:
        values, own = raw[names.get(name, name)], row[name]
        if values.dtype.is_numeric():
            keep &= np.abs(values.cast(pl.Float64).to_numpy() / own - 1) < SAME
        else:
            keep &= (values == own).to_numpy()
    return keep


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
