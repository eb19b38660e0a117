"""How answers move with the law's asymptote (E), which short sweeps hardly tell: from the resamples alone. No JAX.

E[answer | E], by regression of the resampled answers on the resampled asymptote, read at the ends of the asymptote's
interval. The exact version, which fits the rows again, is `sensitivity.py`.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from scaling.laws.forms import Floats
from scaling.laws.surface import as_given, typical
from scaling.laws.values import Diagnostic, Sensitivity

if TYPE_CHECKING:
    from scaling.laws.results import LawFit

LEAST = 20
"""Usable resamples that a regression needs."""
STILL = 1e-9
"""An answer that spreads less over the resamples was given, not found."""


def free_asymptote(fit: "LawFit") -> str | None:
    """Name of the first asymptote that was fitted and that the resamples leave open; None where there is none."""
    for parameter in fit.law.parameters:
        name = parameter.name
        if parameter.role == "asymptote" and name in fit.intervals and np.ptp(fit.samples.get(name, (0.0,))) > 0:
            return name
    return None


def sensitivity(fit: "LawFit", answers: Mapping[str, tuple[float, Floats]]) -> Sensitivity | None:
    """Each answer at either end of the asymptote's interval. `answers`: name -> (value, resampled values).

    None where the law has no asymptote that is free, or too few resamples have an answer.
    """
    name = free_asymptote(fit)
    if name is None:
        return None
    asymptote = np.asarray(fit.samples[name])
    interval, value = fit.intervals[name], fit.params[name]
    moved: dict[str, tuple[float, ...]] = {}
    explained: dict[str, float] = {}
    for what, (answer, sampled) in answers.items():
        good = np.isfinite(sampled)
        if good.sum() < LEAST or not np.isfinite(answer) or np.ptp(asymptote[good]) == 0:
            continue
        logarithms = answer > 0 and bool(np.all(sampled[good] > 0))
        y = np.log(sampled[good]) if logarithms else sampled[good]
        if np.ptp(y) <= STILL:
            continue
        shifts, explained[what] = _conditional(asymptote[good], y, np.array([interval.low, value, interval.high]))
        ends = [answer * np.exp(s) if logarithms else answer + s for s in shifts - shifts[1]]
        moved[what] = (float(ends[0]), answer, float(ends[2]))
    if not moved:
        return None
    return Sensitivity(name, (interval.low, value, interval.high), moved, "resamples", explained)


def level(fit: "LawFit") -> str | None:
    """Name of the asymptote at which the output itself levels off: the one that moves it by as much as it moves.

    None where there is none: the E of a law of the loss that a law of the accuracy builds on is no accuracy.
    """
    law = fit.law
    for parameter in law.parameters:
        name = parameter.name
        if parameter.role == "asymptote":
            middle = as_given(law, typical(fit, {}))
            step = 1e-3 * max(abs(fit.params[name]), 1e-3)
            moved = law.evaluate(fit.params | {name: fit.params[name] + step}, middle) - law.evaluate(
                fit.params, middle
            )
            if abs(float(moved) / step - 1) < 1e-3:
                return name
    return None


def described(fit: "LawFit") -> str:
    """' (it levels off at E = ... [..., ...])' where the law's output does."""
    name = level(fit)
    if name is None:
        return ""
    between = fit.intervals.get(name)
    interval = "" if between is None else f" [{between.low:.4g}, {between.high:.4g}]"
    return f" (it levels off at {name} = {fit.params[name]:.4g}{interval})"


def note(found: Sensitivity | None) -> tuple[Diagnostic, ...]:
    """The sensitivity as a finding beside the answer."""
    if found is None:
        return ()
    message = f"{found.text()} (the ends of its interval; the mean over the resamples)"
    return (Diagnostic("sensitivity_to_E", found.ratio, message, "note"),)


def _conditional(x: Floats, y: Floats, at: Floats) -> tuple[Floats, float]:
    """(E[y | x] at `at`, the part of the variance of y that it explains): a parabola in x by least squares."""

    def powers(values: Floats) -> Floats:
        away = (values - x.mean()) / x.std()
        return np.stack([away**2, away, np.ones_like(away)], axis=1)

    # Where nearly all resamples share one E the parabola is not determined, and the least one is as good as any.
    curve = np.linalg.lstsq(powers(x), y, rcond=None)[0]
    shifts: Floats = powers(np.asarray(at, dtype=np.float64)) @ curve
    return shifts, 1 - float(np.var(y - powers(x) @ curve) / np.var(y))
