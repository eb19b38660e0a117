"""What a form, a selection or a baseline says of the rows above a cut, seeing those below it alone."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from scaling.laws import selecting
from scaling.laws.candidates import Candidate, applicable
from scaling.laws.cuts import Cut
from scaling.laws.errors import LawError
from scaling.laws.forms import Floats
from scaling.laws.results import LawFit
from scaling.laws.scores import BASELINES, Outcome
from scaling.laws.selection import Selection
from scaling.laws.table import DERIVED, Table


def fitted(one: Candidate, rows: Table, cut: Cut, settings: Mapping[str, Any]) -> Outcome:
    """What `one` says of the rows above the cut, fitted to those below it."""
    keep = cut.fits(rows)
    try:
        fit = one.fit(rows.only(keep, f"held out: {cut.by} from {cut.at:g}"), settings)
    except LawError as error:
        return Outcome((), status=str(error))
    return _foretold(fit, {name: rows.column(name)[~keep] for name in fit.inputs})


def selected(
    tried: Sequence[Candidate] | None, tables: Mapping[str, Table], cut: Cut, settings: Mapping[str, Any]
) -> tuple[Selection | None, Outcome, Outcome]:
    """(what is selected below the cut, what the chosen form says of the rows above, what the mixture says)."""
    whole = next(iter(tables.values()))
    keep = cut.fits(whole)
    below = {label: rows.only(keep, f"held out: {cut.by} from {cut.at:g}") for label, rows in tables.items()}
    try:
        if tried is None:
            # Which forms apply may depend on the rows: what is held out has no say in that either.
            rows = next(iter(below.values()))
            tried = applicable(rows, {})
            below = {one.label: rows for one in tried}
        found = selecting.selected(tried, below, cut.by, settings=settings)
    except LawError as error:
        failed = Outcome((), status=str(error))
        return None, failed, failed
    held = {name: getattr(whole, name)[~keep] for name in ("params", "tokens", "flops") if len(getattr(whole, name))}
    for label, fit in found.fits.items():
        own = tables.get(label, whole)
        held |= {name: own.column(name)[~keep] for name in fit.inputs if name not in DERIVED}
    alone = {name: tables.get(found.chosen, whole).column(name)[~keep] for name in found.fit.inputs}
    return found, _foretold(found.fit, alone), _foretold(found, held)


def _foretold(law: LawFit | Selection, held: Mapping[str, Floats]) -> Outcome:
    """What a fit, or a selection, says of the runs at `held`, with the prediction interval of one new run at each."""
    fit = law if isinstance(law, LawFit) else law.fit
    points = [dict(zip(held, map(float, values), strict=True)) for values in zip(*held.values(), strict=True)]
    try:
        predicted = np.array([law.loss(**point) for point in points])
        bad = ~np.isfinite(predicted) | (predicted <= 0)
        if bad.any():
            return Outcome((), status=f"no value for {int(bad.sum())} of {len(bad)} held-out runs")
        said = [law.predict(runs=1, **point).prediction for point in points] if fit.samples else []
    except LawError as error:
        return Outcome((), status=str(error))
    low, high = tuple(one.low for one in said), tuple(one.high for one in said)
    return Outcome(tuple(predicted.tolist()), low, high, fit.level, fit.status)


def baseline(name: str, rows: Table, cut: Cut) -> Outcome:
    x, keep = rows.column(cut.by), cut.fits(rows)
    predicted = BASELINES[name](x[keep], rows.target[keep], x[~keep])
    if predicted is None:
        return Outcome((), status="the frontier has one run")
    return Outcome(tuple(predicted.tolist()))
