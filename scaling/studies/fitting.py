"""The verb `fit`: one law, fitted to a run directory or to anybody's table, printed, written and drawn."""

from collections.abc import Mapping
from dataclasses import replace as changed
from pathlib import Path
from typing import Any

from scaling import laws
from scaling.laws import Diagnostic, LawFit
from scaling.laws.forms import form_named
from scaling.records import pretty_json, replace
from scaling.studies import cells, figures, show
from scaling.studies.reduction import Reduced, Sweep
from scaling.studies.sources import source_of


def fit(
    path: Path,
    form: str,
    options: Mapping[str, Any],
    settings: Mapping[str, Any],
    *,
    sweep: Sweep | None,
    out: Path | None,
    plot: Path | None,
    as_json: bool,
) -> int:
    """Fit `form` to `path` under `settings` (a run directory's own study gives the others); print it, and write it."""
    source = source_of(path, settings["columns"], sweep, [form_named(form, options)])
    told = source.asked(settings)
    beyond = source.beyond
    if not form_named(form, options).carries_beyond(settings.get("space")):
        source.warn_of_tuning(f"intervals of form {form}")
        beyond = (0.0, 0.0)
    fitted = laws.fit(source.table, form, **told, beyond=beyond, **options)
    law = traced(fitted, source.cells)
    name = form.rpartition(":")[2]
    if out is None and source.folder is not None:
        out = source.folder / f"{name}-by-hand.json"
    if out is not None:
        replace(out, pretty_json(law.as_json()))
    if plot is not None:
        rows = laws.read(source.table, source.columns, told.get("cost"), told["drop_highest_loss"], law.law)
        figures.write(law.plot(rows), plot)
    if as_json:
        print(law.to_json())
        return 0
    if source.cells is not None:
        cells.show(source.cells)
    show.laws({name: fitted})  # the cells' findings stand above it
    for file in (out, plot):
        if file is not None:
            print(f"written to {file}")
    return 0


def traced(law: LawFit, found: Reduced | None) -> LawFit:
    """`law` with the sweep that its rows were reduced from: under details.best_over, and what is odd about it."""
    if found is None:
        return law
    odd = [
        Diagnostic("best_at_edge", len(rows) / len(found.table), line)
        for rows, line in zip(found.edges.values(), cells.edges(found), strict=True)
    ]
    return changed(law, diagnostics=law.diagnostics + tuple(odd), details=law.details | {"best_over": found.record()})
