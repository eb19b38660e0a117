"""What each form's errors at the same cuts say of it: one error and a weight. Plain NumPy; no JAX.

ln(error / yardstick's) is the mean over the cuts that both were judged at, a cut counting by w, the square of the rows
fitted below it: the more these are, the more its fit is like that of the whole table. The yardstick is the first
candidate. weight = (least error / error)^k; k = (sum of w)^2 / sum of w^2 is how many cuts of equal w these are worth.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from scaling.laws.cuts import Cut
from scaling.laws.forms import Floats
from scaling.laws.selection import Trial

ROWS_A_PARAMETER = 2
"""Rows below a cut that a form needs for each parameter that it fits, at more than half of the cuts."""
ENOUGH = 3
"""Rows below the first cut, for each parameter of the yardstick, from which the mean over the cuts decides."""
SAME_ERROR = 0.05
"""Relative difference in error up to which the simpler form is chosen."""

TINY = 1e-300
"""In place of an error of 0."""


def judging(free: int, cuts: Sequence[Cut]) -> tuple[Cut, ...]:
    """The cuts at which a form of so many parameters can be judged; none where these are not more than half."""
    found = tuple(cut for cut in cuts if cut.fitted >= ROWS_A_PARAMETER * free)
    return found if 2 * len(found) > len(cuts) else ()


def yardstick(trials: Sequence[Trial], cuts: Sequence[Cut]) -> Trial | None:
    """The first candidate, or the first that did not fail; None where the rows are too few to judge the first."""
    if not judging(trials[0].free, cuts):
        return None
    return next((one for one in trials if one.rms is not None), None)


def few(trials: Sequence[Trial], cuts: Sequence[Cut]) -> bool:
    """Whether a mean over the cuts says too little, so that another form must do better at every one of them.

    On Gadre et al.'s 25 runs the mean preferred forms that were several times worse two orders of magnitude further up.
    """
    first = yardstick(trials, cuts)
    return first is not None and cuts[0].fitted < ENOUGH * first.free


def weighed(trials: Sequence[Trial], cuts: Sequence[Cut]) -> list[Trial]:
    """The trials with their errors and weights; all weight on the first where none can be judged."""
    first = yardstick(trials, cuts)
    if first is None:
        return [replace(one, weight=1.0 if one is trials[0] else 0.0) for one in trials]
    importance = np.array([float(cut.fitted) ** 2 for cut in cuts])
    level, _ = _mean(_logs(first), importance)
    scarce = few(trials, cuts)
    found = []
    for one in trials:
        if one.rms is not None:
            ratio, worst = _mean(_logs(one) - _logs(first), importance)
            one = replace(one, error=float(np.exp(level + ratio)))
            if scarce and one.label != first.label and worst >= 0:
                one = replace(one, status=f"runs are few, and {first.label} is as good at some cut")
        found.append(one)
    kept = [one for one in found if one.error is not None and one.status == "ok"]
    least = min(one.error for one in kept if one.error is not None)
    power = importance.sum() ** 2 / (importance**2).sum()
    raw = {one.label: (least / max(one.error or 0.0, TINY)) ** power for one in kept}
    total = sum(raw.values())
    return [replace(one, weight=raw.get(one.label, 0.0) / total) for one in found]


def _logs(trial: Trial) -> Floats:
    """ln of the error at each cut, NaN where there is none."""
    return np.log([np.nan if value is None else max(value, TINY) for value in trial.cuts])


def _mean(values: Floats, importance: Floats) -> tuple[float, float]:
    """(mean, greatest) of those that are numbers."""
    there = np.isfinite(values)
    return float(np.average(values[there], weights=importance[there])), float(values[there].max())


def simplest(trials: Sequence[Trial]) -> Trial:
    """Of those with an error, the one of fewest parameters whose error is as good as the least."""
    least = min(one.error for one in trials if one.error is not None)
    close = [one for one in trials if one.error is not None and one.error <= least * (1 + SAME_ERROR)]
    return min(close, key=lambda one: (one.free, one.error or 0.0))
