"""Choosing a form by a rolling hold-out inside the table, without a look at any run beyond it.

Each candidate is fitted below several cuts; its error at a cut is mean |predicted / measured - 1| of the rows above.
What the errors weigh is in weighing.py. Where rows are few, the first candidate gives way only to a form that erred
less at every cut.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from scaling.laws import weighing
from scaling.laws.candidates import Candidate, Forms, applicable, candidates_of
from scaling.laws.cuts import ROLLING, Cut, cuts_of
from scaling.laws.errors import LawError
from scaling.laws.prediction import RUN_NOISE
from scaling.laws.results import LawFit
from scaling.laws.rolling import rolled
from scaling.laws.scores import errors
from scaling.laws.selection import Selection, Trial
from scaling.laws.table import Table
from scaling.laws.values import Diagnostic

LEAST_WEIGHT = 0.05
"""Forms with less than this part of the greatest weight are left out of the mixture."""
QUICK = {"resamples": 400, "starts": 64}
"""What a fit takes unless the caller says otherwise."""


def select(
    table: Any,
    candidates: Forms | None = None,
    *,
    by: str = "flops",
    shares: Sequence[float] = ROLLING,
    columns: Mapping[str, str] | None = None,
    cost: Any = None,
    drop_highest_loss: int = 0,
    **settings: Any,
) -> Selection:
    """The simplest form whose rolling error is within 5% of the least, and the mixture of all by their errors.

    Args:
      table, columns, cost, drop_highest_loss: as `laws.fit` takes them.
      candidates: names, or mappings such as {"form": "chinchilla", "pin": {"E": 1.7}}, the one to keep in doubt first;
        every registered form that applies to the table when None, the default of `laws.fit` first.
      by: flops, params or tokens: what the runs are ordered by.
      shares: of the rows that the cuts hold out.
      settings: of every fit, as `laws.fit` takes them; a candidate's own come first.

    Raises LawError where no candidate can be fitted. Where the rows are few, the first candidate is kept unless another
    erred less at every cut, and a diagnostic says so.
    """
    reading = {"columns": columns, "cost": cost, "drop_highest_loss": drop_highest_loss}
    tried = applicable(table, reading) if candidates is None else candidates_of(candidates)
    return selected(tried, {one.label: one.read(table, reading) for one in tried}, by, shares, settings)


def selected(
    tried: Sequence[Candidate],
    tables: Mapping[str, Table],
    by: str = "flops",
    shares: Sequence[float] = ROLLING,
    settings: Mapping[str, Any] | None = None,
) -> Selection:
    """`select` among candidates whose rows are read already: label -> Table, the same rows for all."""
    outputs = {one.law.output for one in tried}
    if len(outputs) > 1:
        raise LawError(f"the candidates predict {' and '.join(sorted(outputs))}; choose among those of one output")
    told = QUICK | dict(settings or {})
    if not told["resamples"]:
        raise LawError("resamples is 0; a selection mixes resampled answers, so give 20 or more")
    cuts = cuts_of(tables[tried[0].label], by, None, None, tuple(shares))
    trials = [_trial(one, tables[one.label], cuts, told) for one in tried]
    return _fitted(tried, tables, cuts, weighing.weighed(trials, cuts), told, weighing.few(trials, cuts))


def _trial(one: Candidate, rows: Table, cuts: Sequence[Cut], settings: Mapping[str, Any]) -> Trial:
    """One candidate at every cut with rows enough, not yet compared with the others."""
    empty = Trial(one.label, one.form, one.free, None, (None,) * len(cuts), None, 0.0, "ok")
    enough = weighing.judging(one.free, cuts)
    if not enough:
        need = f"{weighing.ROWS_A_PARAMETER * one.free} needed for {one.free} parameters"
        below = cuts[max(len(cuts) // 2 - 1, 0)].fitted
        return replace(empty, status=f"not judged: {below} rows below half of the cuts, {need}")
    found = dict(zip(enough, rolled(one, rows, enough, settings), strict=True))
    bad = [f"{cut.text}: {status}" for cut, (_, status) in found.items() if status != "ok"]
    above = {cut: ~cut.fits(rows) for cut in enough}
    held = {
        cut: (values[above[cut]], rows.target[above[cut]]) for cut, (values, _) in found.items() if values is not None
    }
    each = tuple(errors(*held[cut])["error"] if cut in held else None for cut in cuts)
    if bad:
        return replace(empty, cuts=each, status="; ".join(bad))
    squares = [np.mean(np.log(predicted / measured) ** 2) for predicted, measured in held.values()]
    return replace(empty, cuts=each, rms=float(np.sqrt(np.mean(squares))))


def _fitted(
    tried: Sequence[Candidate],
    tables: Mapping[str, Table],
    cuts: Sequence[Cut],
    trials: Sequence[Trial],
    settings: Mapping[str, Any],
    few: bool,
) -> Selection:
    """Every form of some weight fitted to all rows; those that cannot be trusted lose their weight."""
    fits: dict[str, LawFit] = {}
    checked, heaviest = [], max(trial.weight for trial in trials)
    for one, trial in zip(tried, trials, strict=True):
        if trial.weight >= LEAST_WEIGHT * heaviest:
            try:
                fits[one.label] = one.fit(tables[one.label], settings)
                if not fits[one.label].ok:
                    trial = replace(trial, status=fits[one.label].status)
            except LawError as error:
                trial = replace(trial, status=str(error))
        checked.append(trial)
    trusted = [one for one in checked if one.label in fits and fits[one.label].ok]
    kept = trusted or [one for one in checked if one.label in fits]
    if not kept:
        raise LawError(f"no candidate can be fitted to this table: {checked[0].label}: {checked[0].status}")
    total = sum(one.weight for one in kept)
    final = [replace(one, weight=one.weight / total if one in kept else 0.0) for one in checked]
    final.sort(key=lambda one: (-one.weight, np.inf if one.error is None else one.error))
    chosen = _choice([one for one in final if one.weight > 0])
    fits = {one.label: fits[one.label] for one in final if one.weight > 0}
    asymptote, at_E = _held(next(one for one in tried if one.label == chosen), tables[chosen], fits[chosen], settings)
    return Selection(
        chosen=chosen,
        trials=tuple(final),
        cuts=tuple(cuts),
        fits=fits,
        misfits={one.label: _misfit(one, fits[one.label], tables[one.label]) for one in final if one.label in fits},
        asymptote=asymptote,
        at_E=at_E,
        diagnostics=_findings(final, fits[chosen], chosen if few else None, cuts[0]),
    )


def _choice(weighed: Sequence[Trial]) -> str:
    """The label of the simplest of those that did best; of the heaviest where none was judged."""
    judged = [one for one in weighed if one.error is not None]
    return weighing.simplest(judged).label if judged else weighed[0].label


def _misfit(trial: Trial, fit: LawFit, rows: Table) -> float:
    """What the rolling errors have beyond the noise of a run, as a standard deviation of ln L."""
    if trial.rms is None:
        return 0.0
    noise = float(np.median(fit.samples[RUN_NOISE]))
    if fit.objective["space"] == "linear":
        noise /= float(np.median(rows.target))
    return float(np.sqrt(max(0.0, trial.rms**2 - noise**2)))


def _held(
    one: Candidate, rows: Table, fit: LawFit, settings: Mapping[str, Any]
) -> tuple[str | None, tuple[LawFit, ...]]:
    """The form with its first free asymptote held at the ends of its interval, halfway to them, and at its value."""
    free = [item.name for item in fit.law.parameters if item.role == "asymptote" and item.name in fit.intervals]
    if not free or one.law.procedure:
        return None, ()
    name = free[0]
    low, middle, high = fit.intervals[name].low, fit.params[name], fit.intervals[name].high
    values = sorted({low, (low + middle) / 2, middle, (middle + high) / 2, high})
    pins = dict(one.settings.get("pin") or settings.get("pin") or {})
    quick = {**settings, "resamples": 0}
    held = [replace(one, settings={**one.settings, "pin": {**pins, name: value}}).fit(rows, quick) for value in values]
    return name, tuple(held)


def _findings(trials: Sequence[Trial], fit: LawFit, scarce: str | None, cut: Cut) -> tuple[Diagnostic, ...]:
    """What the choice rests on, and what speaks against it; `scarce` is the chosen form where runs are few."""
    judged = [one for one in trials if one.error is not None]
    if not judged:
        few = next(one for one in trials if one.weight > 0)
        message = f"too few runs to choose a form by extrapolation, so {few.label} is kept ({few.status})"
        return (Diagnostic("form_not_judged", 0.0, message, "warning"),)
    weighty = [one for one in trials if one.weight > 0]
    found = []
    if scarce is not None:
        message = (
            f"{cut.fitted} runs below the first cut are few, so that a form replaces the first candidate only where it "
            f"erred less at every cut: {scarce} is taken"
        )
        found.append(Diagnostic("few_runs", float(cut.fitted), message, "warning"))
    if len(weighty) > 1:
        names = ", ".join(f"{one.label} {one.weight:.0%}" for one in weighty)
        message = f"several forms foretold larger runs nearly as well, and answers mix them: {names}"
        found.append(Diagnostic("forms_mixed", 1 - weighty[0].weight, message, "note"))
    if not fit.ok:
        found.append(Diagnostic("chosen_not_trusted", 1.0, f"the chosen fit is {fit.status}", "error"))
    return tuple(found)
