"""Approach 1 (Hoffmann et al. 2022, section 3.1): the lower envelope of training curves, then power laws in C.

    at each of many budgets C   the run with the least ln L, by straight lines in ln C between its own rows
    over budgets                ln N*, ln D* and ln L* of those runs as straight lines in ln C, by least squares

Where the best run has the smallest or the largest of the sizes that were trained at that C, a better size may lie
beyond: such budgets are left out. Intervals: trajectories drawn with replacement, everything done again. Plain NumPy.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from scaling.laws import intervals
from scaling.laws.errors import LawError
from scaling.laws.fitting import Settings, law_fit
from scaling.laws.forms import Floats, LawForm
from scaling.laws.forms.frontier import LINES, REFERENCE
from scaling.laws.noise import errors_not_used
from scaling.laws.objective import Objective
from scaling.laws.prediction import RUN_NOISE
from scaling.laws.procedures.training_curves import Curves, curves_of
from scaling.laws.results import LawFit, rounded_samples
from scaling.laws.table import Table
from scaling.laws.values import Diagnostic

LEAST_SQUARES = Objective("least_squares", 1.0, "log")
FEW_SIZES = 4
"""Sizes on the envelope below which slopes are not to be trusted."""
NARROW = np.log(10)
"""Range of ln C below which they are not either."""
MUCH = 0.5
"""Share of the budgets left out at the edge that is worth a word."""
EARLY = 0.5
"""Share of a run's own training before which its rate has hardly come down."""
FEW_RUNS = 10
"""Trajectories below which resampling them says little."""
LOST = 0.1
"""Share of resamples without an envelope that is worth a word."""


@dataclass(frozen=True)
class Envelope:
    """The best curve at each budget, where there are two or more: all (budgets,).

    Attributes:
      place: which budget of the grid.
      curve: which is best.
      edge: the best has the smallest (-1) or largest (1) size trained at that budget, else 0.
    """

    place: np.ndarray[Any, Any]
    curve: np.ndarray[Any, Any]
    edge: np.ndarray[Any, Any]


def fit(rows: Table, form: LawForm, settings: Settings) -> LawFit:
    """N* = N_coefficient x^N_exponent and likewise D* and L*, with x = C / reference_flops."""
    options = dict(form.options)
    keep = options.get("edge") == "keep"
    curves, excluded = curves_of(rows, int(options.get("points", 1500)), float(options.get("smoothing", 0.0)))
    whole = _envelope(curves, np.arange(len(curves.names)))
    used = whole if keep else _inside(whole)
    if len(np.unique(curves.log_n[used.curve])) < 2:
        sizes = len(np.unique(curves.log_n[whole.curve]))
        raise LawError(
            f"the envelope has {sizes} sizes, {len(np.unique(curves.log_n[used.curve]))} of them between a smaller and "
            "a larger one trained at the same C: train more sizes, each over a wider range of C, or fit edge='keep'"
        )
    at = float(curves.log_c[used.place].mean())
    lines, residual = _lines(curves, used, at)
    params = lines | {REFERENCE: float(np.exp(at))}
    samples, lost = _resampled(curves, keep, at, settings) if settings.resamples else ({}, 0.0)
    return law_fit(
        rows,
        form,
        replace(settings, objective=LEAST_SQUARES, pins={REFERENCE: params[REFERENCE]}),
        params=params,
        intervals={
            name: intervals.interval(np.asarray(samples[name]), lines[name], settings.level)
            for name in lines
            if name in samples
        },
        value=float(np.sum(residual**2)),
        starts={"total": 1, "share_at_optimum": 1.0},
        diagnostics=_findings(curves, whole, used, lost)
        + errors_not_used(rows.target_se, "the envelope takes each curve as it is, and trajectories are resampled"),
        noise={
            "between_seeds": None,
            "seed_degrees_of_freedom": 0,
            "between_trajectories": None,
            "within_trajectory": None,
            "residual": _spread(residual),
            "run": _spread(residual),
            "trajectories": len(curves.names),
            "measured": "standard deviation of ln L on the envelope about its power law",
            "resampling": "pairs",
        },
        samples=samples,
        details={"envelope": _details(rows, curves, used), "left_out_at_edge": _share(whole, used)},
        excluded=excluded,
    )


def _envelope(curves: Curves, present: np.ndarray[Any, Any]) -> Envelope:
    """Of the curves `present`."""
    log_l = curves.log_l[present]
    running = np.isfinite(log_l)
    sizes = curves.log_n[present][:, None]
    smallest = np.min(np.where(running, sizes, np.inf), axis=0)
    largest = np.max(np.where(running, sizes, -np.inf), axis=0)
    place = np.flatnonzero(largest > smallest)
    curve = present[np.argmin(log_l[:, place], axis=0)]
    best = curves.log_n[curve]
    edge = np.where(best <= smallest[place], -1, np.where(best >= largest[place], 1, 0))
    return Envelope(place, curve, edge)


def _inside(envelope: Envelope) -> Envelope:
    use = envelope.edge == 0
    return Envelope(envelope.place[use], envelope.curve[use], envelope.edge[use])


def _lines(curves: Curves, envelope: Envelope, at: float) -> tuple[dict[str, float], Floats]:
    """Coefficient, at ln C = `at`, and exponent of each power law, and what ln L is off by."""
    log_c, best = curves.log_c[envelope.place], envelope.curve
    values = (curves.log_n[best], log_c - curves.log_ratio[best], curves.log_l[best, envelope.place])
    found: dict[str, float] = {}
    left = np.zeros(len(log_c))
    for name, y in zip(LINES, values, strict=True):
        slope, level = np.polyfit(log_c - at, y, 1)
        found |= {f"{name}_coefficient": float(np.exp(level)), f"{name}_exponent": float(slope)}
        left = y - level - slope * (log_c - at)
    return found, left


def _resampled(curves: Curves, keep: bool, at: float, settings: Settings) -> tuple[dict[str, tuple[float, ...]], float]:
    """Samples, and the share of draws that have no envelope of two sizes."""
    generator = np.random.default_rng(settings.seed + 1)
    count = len(curves.names)
    found = []
    for _ in range(settings.resamples):
        present = np.unique(generator.integers(count, size=count))
        drawn = _envelope(curves, present)
        drawn = drawn if keep else _inside(drawn)
        if len(np.unique(curves.log_n[drawn.curve])) < 2:
            continue
        lines, residual = _lines(curves, drawn, at)
        found.append(lines | {RUN_NOISE: _spread(residual)})
    if len(found) < settings.resamples / 2:
        raise LawError(
            f"{settings.resamples - len(found)} of {settings.resamples} resamples of the {count} trajectories have no "
            "envelope: how sure this is cannot be said. Train more sizes, or fit with resamples=0"
        )
    samples = rounded_samples({name: np.array([one[name] for one in found]) for name in found[0]})
    return samples, 1 - len(found) / settings.resamples


def _spread(residual: Floats) -> float:
    return float(np.sqrt(np.mean(residual**2)))


def _share(whole: Envelope, used: Envelope) -> float:
    return 1 - len(used.place) / len(whole.place)


def _findings(curves: Curves, whole: Envelope, used: Envelope, lost: float) -> list[Diagnostic]:
    found = []
    sizes = len(np.unique(curves.log_n[used.curve]))
    if sizes < FEW_SIZES:
        message = f"{sizes} sizes are on the envelope; the slopes of N* and D* need {FEW_SIZES} or more"
        found.append(Diagnostic("few_curves_on_envelope", sizes, message, "error" if sizes < 3 else "warning"))
    width = float(np.ptp(curves.log_c[used.place]))
    if width < NARROW:
        message = f"the envelope spans a factor of {np.exp(width):.3g} in C: slopes need {np.exp(NARROW):.2g} or more"
        found.append(Diagnostic("narrow_envelope", float(np.exp(width)), message))
    edge = whole.edge != 0
    if edge.mean() > MUCH or (edge.any() and len(used.place) == len(whole.place)):
        done = "are left out" if len(used.place) < len(whole.place) else "are kept, and bend the law"
        message = (
            f"at {np.mean(whole.edge < 0):.0%} of the budgets the smallest size trained is best, at "
            f"{np.mean(whole.edge > 0):.0%} the largest; they {done}. Train smaller and larger sizes, and for longer"
        )
        found.append(Diagnostic("envelope_at_edge", float(edge.mean()), message))
    early = float(np.mean(curves.reached[used.curve, used.place] < EARLY))
    if early > MUCH:
        message = (
            f"{early:.0%} of the envelope lies in the first half of its runs: if their rate still had to come down, "
            "the loss there is above what a run of that length reaches, and N* too large"
        )
        found.append(Diagnostic("envelope_early_in_training", early, message, "note"))
    if len(curves.names) < FEW_RUNS:
        message = f"{len(curves.names)} trajectories are few to resample: intervals are rough"
        found.append(Diagnostic("too_few_trajectories", len(curves.names), message))
    if lost > LOST:
        message = f"{lost:.0%} of the resamples have no envelope and are left out: intervals are too narrow"
        found.append(Diagnostic("resamples_lost", lost, message))
    return found


def _details(rows: Table, curves: Curves, used: Envelope) -> list[dict[str, Any]]:
    """Each stretch of the envelope: which run is best from where to where."""
    starts = np.flatnonzero(np.diff(used.curve, prepend=-1) != 0)
    ends = np.append(starts[1:], len(used.curve)) - 1
    found = []
    for first, last in zip(starts, ends, strict=True):
        curve = int(used.curve[first])
        middle = (used.place[first] + used.place[last]) // 2
        found.append(
            {
                "first_row": rows.labels[int(np.flatnonzero(rows.cluster == curves.names[curve])[0])],
                "params": float(np.exp(curves.log_n[curve])),
                "flops": [float(np.exp(curves.log_c[used.place[index]])) for index in (first, last)],
                "loss": [float(np.exp(curves.log_l[curve, used.place[index]])) for index in (first, last)],
                "share_of_training": float(curves.reached[curve, middle]),
            }
        )
    return found
