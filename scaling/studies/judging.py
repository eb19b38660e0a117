"""The verbs `select`, `validate` and `compare`: which law foretells best, which arm is better."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace as changed
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from scaling import laws
from scaling.laws.forms import form_named
from scaling.records import pretty_json, replace
from scaling.studies import cells, replies, terminal
from scaling.studies.fitting import traced
from scaling.studies.reduction import Sweep
from scaling.studies.sources import Source, source_of


def select(
    path: Path,
    forms: Sequence[str] | None,
    settings: Mapping[str, Any],
    asked: Mapping[str, float],
    *,
    sweep: Sweep | None,
    out: Path | None,
    as_json: bool,
) -> int:
    """Print which form was chosen and why, and its answer to `asked`: a budget, or a model's N and D."""
    source = source_of(path, settings["columns"], sweep, [form_named(name) for name in forms or ()])
    source.warn_of_tuning("intervals of a selection")
    found = laws.select(source.table, forms, **source.asked(settings))
    found = changed(found, fits={label: traced(fit, source.cells) for label, fit in found.fits.items()})
    if out is not None:
        replace(out, found.to_json().encode())
    answer: replies.Answer | None = None
    if set(asked) == {"flops"}:
        answer = found.optimum(flops=asked["flops"])
    elif asked:
        answer = found.predict(runs=1, **asked)
    if as_json:
        print(json.dumps(found.as_json() | {"answer": answer and replies.as_json(found, answer)}, indent=2))
        return 0
    if source.cells is not None:
        cells.show(source.cells)
    _drawn(found.rows(), range(3, 3 + len(found.cuts)))
    replies.findings(found.diagnostics)
    if answer is not None:
        terminal.console().print()
        replies.reply(found, answer, asked)
    if out is not None:
        print(f"written to {out}")
    return 0


def validate(
    path: Path, forms: Sequence[str] | None, settings: Mapping[str, Any], *, sweep: Sweep | None, as_json: bool
) -> int:
    """Print how well each form foretold the largest runs of `path`."""
    source = source_of(path, settings["columns"], sweep, [form_named(name) for name in forms or ()])
    found = laws.validate(source.table, forms, **source.asked(settings))
    if as_json:
        print(json.dumps(found.as_json() | _record(source), indent=2))
        return 0
    if source.cells is not None:
        cells.show(source.cells)
    what = "runs" if source.cells is None else "cells"
    for cut in found.cuts:
        terminal.console().print(f"fitted to {cut.fitted} {what} with {cut.text}, {cut.held} held out")
    rows = found.rows()
    _drawn(rows, range(6, len(rows[0]) - 1))
    replies.findings(found.diagnostics)
    return 0


def compare(
    a: Path,
    b: Path,
    settings: Mapping[str, Any],
    *,
    sweep: Sweep | None,
    gain: float | None,
    as_json: bool,
    out: Path | None = None,
) -> int:
    """Print whether arm `b` is better than arm `a`, and write it to `out`; with `gain`, how many more runs would detect
    that."""
    one, other = (source_of(path, settings["columns"], sweep) for path in (a, b))
    # A study's own settings are those of one law; what compares two arms has defaults of its own, but for the cost.
    told = {"names": _names(a, b), **settings, "columns": one.columns}
    told |= {name: arm.settings["cost"] for name, arm in (("cost", one), ("cost_b", other)) if "cost" in arm.settings}
    found = laws.compare(one.table, other.table, **told, beyond=one.beyond, beyond_b=other.beyond)
    wanted = None if gain is None else laws.power(found, gain)
    if out is not None:
        replace(out, pretty_json(found.as_json()))
    best = [fit.optimum(flops=found.at) for fit in (found.a, found.b)]
    if as_json:
        by_arm = {arm: answer.as_json()["sensitivity_to_E"] for arm, answer in zip("ab", best, strict=True)}
        plain = found.as_json() | ({} if wanted is None else {"power": wanted.as_json()})
        both = {name: source.cells.record() for name, source in zip("ab", (one, other), strict=True) if source.cells}
        print(json.dumps(plain | {"sensitivity_to_E": by_arm} | ({"best_over": both} if both else {}), indent=2))
        return 0
    for source, name in zip((one, other), found.names, strict=True):
        if source.cells is not None:
            cells.show(source.cells, name)
    rows = [*found.rows(), *([] if wanted is None else wanted.rows())]
    for moved, name in zip((optimum.sensitivity_to_E for optimum in best), found.names, strict=True):
        rows += [] if moved is None else [(f"{name}'s optimum rests on {moved.parameter}", moved.text())]
    drawn = Table(box=None, pad_edge=False, show_header=False)
    for question, answer in rows:
        drawn.add_row(escape(question), escape(answer))
    terminal.console().print(drawn)
    return 0


def _names(a: Path, b: Path) -> tuple[str, str]:
    """Of the arms: their files' or folders', or A and B where these are alike."""
    first, second = (path.name if path.is_dir() else path.stem for path in (a, b))
    return (first, second) if first != second else ("A", "B")


def _record(source: Source) -> dict[str, Any]:
    return {} if source.cells is None else {"best_over": source.cells.record()}


def _drawn(rows: Sequence[Sequence[str]], cuts: range) -> None:
    """A table whose first column is a name and whose last a status; the errors at each of `cuts` where they fit."""
    out = terminal.console()
    kept = [index for index in range(len(rows[0])) if index not in cuts or _width(rows) <= out.width]
    heads = [rows[0][index].replace(" < ", " <\n") for index in kept]
    drawn = Table(box=None, pad_edge=False, header_style="bold")
    for index, head in enumerate(heads):
        outer = index in (0, len(heads) - 1)
        drawn.add_column(head, justify="left" if outer else "right", no_wrap=index == 0)
    for row in rows[1:]:
        drawn.add_row(*(escape(row[index]) for index in kept))
    out.print(drawn)


def _width(rows: Sequence[Sequence[str]]) -> int:
    """Columns of the terminal that a table takes whose head may wrap and whose status is short."""
    head, *body = rows
    widths = [max(len(row[index]) for row in body) for index in range(len(head) - 1)]
    return sum(max(width, 7) + 2 for width in widths) + len("baseline")
