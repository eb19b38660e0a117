"""Validation by extrapolation: hold out the largest runs, fit each form to the others, score what it says of them.

error = mean |predicted / measured - 1| over the held-out runs, beside two baselines that know no law.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from scaling.laws import foretelling
from scaling.laws.candidates import Forms, applicable, candidates_of
from scaling.laws.cuts import Cut, cuts_of
from scaling.laws.errors import LawError
from scaling.laws.scores import BASELINES, Outcome, Score, score
from scaling.laws.selection import Selection
from scaling.laws.values import Diagnostic

CHOSEN, MIXTURE = "selected form", "selected mixture"
"""Labels of what `select` answers from the rows below a cut: the form that it chooses, the mixture of all."""
SCARCE = ("few_runs", "form_not_judged")
"""Findings of a selection that had few runs to go by."""
QUICK = {"resamples": 200, "starts": 64}
"""What a fit of one form at one cut takes unless the caller says otherwise."""
TOO_FEW_HELD = 0.85
"""Part of the held-out runs below which a form's intervals are called too narrow."""


@dataclass(frozen=True)
class Validation:
    """How well each form foretold runs that it was not fitted to.

    Attributes:
      by: what the runs were ordered by.
      output: what was predicted.
      cuts: where the table was cut, ascending; `labels` and `measured` are the held-out rows of each.
      scores: of every form, baseline and selection, the least error first; those that failed last.
      outcomes: label -> what was predicted at each cut.
      chosen: the form that `select` chose from the rows below each cut, None where it failed; empty without selection.
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
    chosen: tuple[str | None, ...]
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
            found.append((one.label, *cells, "baseline" if one.kind == "baseline" else one.status))
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
    selection: bool = False,
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
      selection: whether to score also what `laws.select` answers from the rows below each cut, with the same forms,
        `by` and settings: the form that it chooses, and the mixture.
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
    if selection and settings.get("resamples") == 0:
        raise LawError("resamples is 0; a selection mixes resampled answers, so give 20 or more, or selection=False")
    outcomes = {
        one.label: tuple(foretelling.fitted(one, tables[one.label], cut, QUICK | settings) for cut in cuts)
        for one in tried
    } | {name: tuple(foretelling.baseline(name, rows, cut) for cut in cuts) for name in BASELINES}
    found = (
        [foretelling.selected(None if forms is None else tried, tables, cut, settings) for cut in cuts]
        if selection
        else []
    )
    selections = [one for one, _, _ in found]
    if selection:
        outcomes |= {CHOSEN: tuple(one for _, one, _ in found), MIXTURE: tuple(one for _, _, one in found)}
    free = {one.label: one.free for one in tried}
    scores = [
        score(
            label,
            "form" if label in free else "baseline" if label in BASELINES else "selection",
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
        chosen=tuple(None if one is None else one.chosen for one in selections),
        diagnostics=_findings(cuts, scores, selections),
        sha256=rows.sha256,
    )


def _findings(
    cuts: Sequence[Cut], scores: Sequence[Score], selections: Sequence[Selection | None]
) -> tuple[Diagnostic, ...]:
    """Held-out runs that are not really new, forms that a baseline beats, and what choosing a form costs."""
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
    narrow = [one for one in scores if one.coverage is not None and one.coverage < TOO_FEW_HELD]
    if narrow:
        names = ", ".join(f"{one.label} ({one.coverage:.0%})" for one in narrow)
        message = (
            f"prediction intervals hold under {TOO_FEW_HELD:.0%} of the held-out runs with {names}: the runs bend "
            "away from these forms beyond what was fitted, and the noise below cannot show that. Answer with the "
            "mixture of select, whose intervals carry how far its forms erred when they were held out"
        )
        found.append(Diagnostic("intervals_hold_too_few", min(one.coverage or 0.0 for one in narrow), message))
    picked = {one.label: one.error for one in scores if one.kind == "selection" and one.error is not None}
    if len(picked) == 2 and errors["form"]:
        least = min(errors["form"])
        times = {label: error / max(least, 1e-300) for label, error in picked.items()}
        names = ", ".join(f"{one.chosen} where {cut.text}" for one, cut in zip(selections, cuts, strict=True) if one)
        message = (
            f"select chose {names}: its form erred {times[CHOSEN]:.2f} times as much as the best form in hindsight, "
            f"its mixture {times[MIXTURE]:.2f} times"
        )
        found.append(Diagnostic("selection_judged", times[CHOSEN], message, "note"))
    scarce = [item for one in selections if one for item in one.diagnostics if item.code in SCARCE]
    found += scarce[:1]
    return tuple(found)


def _percent(value: float | None, digits: int = 2) -> str:
    return "-" if value is None else f"{100 * value:.{digits}f}%"
