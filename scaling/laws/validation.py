"""Validation by extrapolation: hold out the largest runs, fit each form to the others, score what it says of them.

error = mean |predicted / measured - 1| over the held-out runs, beside two baselines that know no law.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from scaling.laws import prediction
from scaling.laws.candidates import Candidate, Forms, applicable, candidates_of
from scaling.laws.cuts import Cut, cuts_of
from scaling.laws.errors import LawError
from scaling.laws.forms import Floats
from scaling.laws.results import LawFit
from scaling.laws.scores import BASELINES, Outcome, Score, score
from scaling.laws.table import Table
from scaling.laws.values import Diagnostic

READING = ("columns", "cost", "drop_highest_loss")
QUICK = {"resamples": 200, "starts": 64}
"""What a fit of one form at one cut takes unless the caller says otherwise."""


@dataclass(frozen=True)
class Validation:
    """How well each form foretold runs that it was not fitted to.

    Attributes:
      by: what the runs were ordered by.
      output: what was predicted.
      cuts: where the table was cut, ascending; `labels` and `measured` are the held-out rows of each.
      scores: of every form and baseline, the least error first; those that failed last.
      outcomes: label -> what was predicted at each cut.
      diagnostics: findings about the comparison itself.
      sha256: of all rows.
    """

    by: str
    output: str
    cuts: tuple[Cut, ...]
    labels: tuple[tuple[str, ...], ...]
    measured: tuple[tuple[float, ...], ...]
    scores: tuple[Score, ...]
    outcomes: dict[str, tuple[Outcome, ...]]
    diagnostics: tuple[Diagnostic, ...]
    sha256: str

    @property
    def best(self) -> Score:
        """The form with the least error; LawError where none could be fitted."""
        for one in self.scores:
            if one.kind == "form" and one.error is not None:
                return one
        raise LawError(f"no form could be fitted at every cut: {self.scores[-1].label}: {self.scores[-1].status}")

    def score(self, label: str) -> Score:
        """The score of one form or baseline."""
        for one in self.scores:
            if one.label == label:
                return one
        raise LawError(f"no form {label!r} was scored; there are {', '.join(one.label for one in self.scores)}")

    def rows(self) -> tuple[tuple[str, ...], ...]:
        """The table as text: a head, then a row for each form and baseline, the best first."""
        head = (
            "form",
            "error",
            "bias",
            "rms",
            "coverage",
            "interval score",
            *(cut.text for cut in self.cuts),
            "status",
        )
        several = len(self.cuts) > 1
        found = [head if several else (*head[:6], head[-1])]
        for one in self.scores:
            cells = [_percent(value) for value in (one.error, one.bias, one.rms)]
            cells += [_percent(one.coverage, 0), _percent(one.interval_score)]
            cells += [_percent(value) for value in one.cuts] if several else []
            found.append((one.label, *cells, one.status if one.kind == "form" else "baseline"))
        return tuple(found)

    def __str__(self) -> str:
        rows = self.rows()
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        cut = self.cuts[0]
        title = f"{self.output} of held-out runs: " + (
            f"fitted to {cut.fitted} with {cut.text}, {cut.held} held out"
            if len(self.cuts) == 1
            else f"{len(self.cuts)} cuts by {self.by}"
        )
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
        notes = [f"{item.severity}: {item.message}" for item in self.diagnostics]
        return "\n".join(line.rstrip() for line in (title, *lines, *notes))

    def as_json(self) -> dict[str, Any]:
        """Plain data, as JSON takes it."""
        found: dict[str, Any] = json.loads(json.dumps(asdict(self), allow_nan=False))
        return found


def validate(
    table: Any,
    forms: Forms | None = None,
    *,
    by: str = "flops",
    above: float | None = None,
    share: float | None = None,
    rolling: bool | Sequence[float] = False,
    columns: Mapping[str, str] | None = None,
    cost: Any = None,
    drop_highest_loss: int = 0,
    **settings: Any,
) -> Validation:
    """mean |predicted / measured - 1| of the runs with the largest `by`, each form fitted without them.

    Args:
      table, columns, cost, drop_highest_loss: as `laws.fit` takes them.
      forms: names, or mappings such as {"form": "power", "x": "flops", "pin": {"E": 0}}; every registered form that
        applies to the table when None.
      by: flops, params or tokens.
      above: hold out the runs from this value on.
      share: or this share of the runs, the largest (0.2 when nothing is given; runs of one value stay together).
      rolling: or several cuts: True, or the shares to hold out; everything above a cut is scored, each cut alike.
      settings: of every fit, as `laws.fit` takes them; a form's own come first. resamples=0 leaves out the intervals.

    Raises LawError where the table cannot be cut so. A form that fails at a cut says so in its score.
    """
    reading = {"columns": columns, "cost": cost, "drop_highest_loss": drop_highest_loss}
    tried = applicable(table, reading) if forms is None else candidates_of(forms)
    tables = {one.label: one.read(table, reading) for one in tried}
    outputs = {one.law.output for one in tried}
    if len(outputs) > 1:
        raise LawError(f"the forms predict {' and '.join(sorted(outputs))}; compare those of one output")
    rows = tables[tried[0].label]
    if np.any(rows.target <= 0):
        raise LawError(f"{outputs.pop()} is not above 0 in every row: relative errors say nothing of it")
    cuts = cuts_of(rows, by, above, share, rolling)
    held = [~cut.fits(rows) for cut in cuts]
    outcomes = {
        one.label: tuple(_fitted(one, tables[one.label], cut, QUICK | settings) for cut in cuts) for one in tried
    } | {name: tuple(_baseline(name, rows, cut) for cut in cuts) for name in BASELINES}
    free = {one.label: one.free for one in tried}
    scores = [
        score(
            label,
            "form" if label in free else "baseline",
            [(cut.text, one, rows.target[out]) for cut, one, out in zip(cuts, each, held, strict=True)],
            free.get(label, 0),
        )
        for label, each in outcomes.items()
    ]
    return Validation(
        by=by,
        output=tried[0].law.output,
        cuts=cuts,
        labels=tuple(tuple(rows.labels[row] for row in np.flatnonzero(out)) for out in held),
        measured=tuple(tuple(rows.target[out].tolist()) for out in held),
        scores=tuple(sorted(scores, key=lambda one: np.inf if one.error is None else one.error)),
        outcomes=outcomes,
        diagnostics=_findings(cuts, scores),
        sha256=rows.sha256,
    )


def _fitted(one: Candidate, rows: Table, cut: Cut, settings: Mapping[str, Any]) -> Outcome:
    """What `one` says of the rows above the cut, fitted to those below it."""
    keep = cut.fits(rows)
    try:
        fit = one.fit(rows.only(keep, f"held out: {cut.by} from {cut.at:g}"), settings)
        held = {name: rows.column(name)[~keep] for name in fit.inputs}
        predicted = np.asarray(fit.loss(**held), dtype=np.float64)
        bad = ~np.isfinite(predicted) | (predicted <= 0)
        if bad.any():
            return Outcome((), status=f"no value for {int(bad.sum())} of {len(bad)} held-out runs")
        low, high = _intervals(fit, held) if fit.samples else ((), ())
    except LawError as error:
        return Outcome((), status=str(error))
    return Outcome(tuple(predicted.tolist()), low, high, fit.level, fit.status)


def _intervals(fit: LawFit, held: Mapping[str, Floats]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Ends of the prediction interval of one new run at each of `held`."""
    count = len(next(iter(held.values())))
    found = [
        prediction.predict(fit, {name: float(held[name][row]) for name in held}).prediction for row in range(count)
    ]
    return tuple(one.low for one in found), tuple(one.high for one in found)


def _baseline(name: str, rows: Table, cut: Cut) -> Outcome:
    x, keep = rows.column(cut.by), cut.fits(rows)
    predicted = BASELINES[name](x[keep], rows.target[keep], x[~keep])
    if predicted is None:
        return Outcome((), status="the frontier has one run")
    return Outcome(tuple(predicted.tolist()))


def _findings(cuts: Sequence[Cut], scores: Sequence[Score]) -> tuple[Diagnostic, ...]:
    """Held-out runs that are not really new, and forms that a baseline beats."""
    found = []
    shared = max(cut.shared / cut.held for cut in cuts)
    if shared > 0:
        message = (
            f"{shared:.0%} of the held-out rows belong to a trajectory that is also fitted: their noise is partly "
            "known, and errors on entirely new runs will be larger"
        )
        found.append(Diagnostic("trajectories_on_both_sides", shared, message, "note"))
    errors = {
        kind: [one.error for one in scores if one.kind == kind and one.error is not None]
        for kind in ("form", "baseline")
    }
    if errors["form"] and errors["baseline"] and min(errors["form"]) > min(errors["baseline"]):
        message = "no form foretells the held-out runs better than a baseline; do not extrapolate with any of them"
        found.append(Diagnostic("baseline_wins", min(errors["form"]) / min(errors["baseline"]), message, "error"))
    return tuple(found)


def _percent(value: float | None, digits: int = 2) -> str:
    return "-" if value is None else f"{100 * value:.{digits}f}%"
