"""How far predictions are from what was then measured. Plain NumPy over positive outputs; no JAX.

error = mean |predicted / measured - 1|, bias = mean (predicted / measured - 1), rms its root mean square. Interval
score (Gneiting and Raftery 2007, eq. 43): (high - low) + 2/(1 - level) x (what the measured value lies outside by), in
parts of the measured value: least for the narrowest intervals that hold as often as they say.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from scaling.laws.forms import Floats


@dataclass(frozen=True)
class Score:
    """Predictions against measurements of held-out runs; a mean over cuts where there are several.

    Attributes:
      label: of the form or the baseline.
      kind: `form` or `baseline`.
      error, bias, rms: of predicted / measured - 1; None where nothing could be predicted.
      coverage: the part of the held-out runs inside their prediction intervals; None where there are none.
      width, interval_score: mean of the intervals, in parts of the measured value.
      cuts: the error at each cut, None where it failed.
      free: parameters fitted.
      status: `ok`, or what went wrong at which cut.
    """

    label: str
    kind: str
    error: float | None
    bias: float | None
    rms: float | None
    coverage: float | None
    width: float | None
    interval_score: float | None
    cuts: tuple[float | None, ...]
    free: int
    status: str


@dataclass(frozen=True)
class Outcome:
    """What one form or baseline predicted for the held-out runs of one cut, in their order.

    Attributes:
      predicted: empty where nothing could be predicted.
      low, high: ends of the prediction intervals; empty where there are none.
      level: of the intervals.
      status: of the fit; `ok`, or what is wrong with it.
    """

    predicted: tuple[float, ...]
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    level: float = 0.95
    status: str = "ok"

    def against(self, measured: Floats) -> dict[str, float]:
        """error, bias and rms, and where there are intervals coverage, width and interval_score."""
        if not self.predicted:
            return {}
        found = errors(np.array(self.predicted), measured)
        if self.low:
            found |= interval_scores(np.array(self.low), np.array(self.high), measured, self.level)
        return found


def errors(predicted: Floats, measured: Floats) -> dict[str, float]:
    """error, bias and rms of `predicted` (rows,) against `measured` (rows,), both positive."""
    relative = predicted / measured - 1
    return {
        "error": float(np.mean(np.abs(relative))),
        "bias": float(np.mean(relative)),
        "rms": float(np.sqrt(np.mean(relative**2))),
    }


def interval_scores(low: Floats, high: Floats, measured: Floats, level: float) -> dict[str, float]:
    """coverage, width and interval_score of intervals (rows,) in parts of `measured` (rows,)."""
    outside = np.maximum(low - measured, 0.0) + np.maximum(measured - high, 0.0)
    return {
        "coverage": float(np.mean(outside == 0)),
        "width": float(np.mean((high - low) / measured)),
        "interval_score": float(np.mean((high - low + 2 / (1 - level) * outside) / measured)),
    }


def score(label: str, kind: str, outcomes: list[tuple[str, Outcome, Floats]], free: int) -> Score:
    """One Score of the (cut, outcome, measured) of every cut: each cut counts alike."""
    each = [outcome.against(measured) for _, outcome, measured in outcomes]
    bad = [f"{cut}: {outcome.status}" for cut, outcome, _ in outcomes if outcome.status != "ok"]
    whole = all(each)

    def mean(name: str) -> float | None:
        return float(np.mean([one[name] for one in each])) if whole and all(name in one for one in each) else None

    rms = float(np.sqrt(np.mean([one["rms"] ** 2 for one in each]))) if whole else None
    return Score(
        label=label,
        kind=kind,
        error=mean("error"),
        bias=mean("bias"),
        rms=rms,
        coverage=mean("coverage"),
        width=mean("width"),
        interval_score=mean("interval_score"),
        cuts=tuple(one.get("error") for one in each),
        free=free,
        status="; ".join(bad) or "ok",
    )


def last_value(x: Floats, output: Floats, at: Floats) -> Floats:
    """The least output of the rows (x, output), wherever it is asked: no law at all."""
    return np.full(len(at), float(np.min(output)))


def frontier_line(x: Floats, output: Floats, at: Floats) -> Floats | None:
    """ln output = a + b ln x by least squares through the rows that no smaller x undercuts; None where that is one."""
    order = np.lexsort((output, x))
    least = np.concatenate([[np.inf], np.minimum.accumulate(output[order])[:-1]])
    edge = order[output[order] < least]
    if len(edge) < 2 or np.ptp(np.log(x[edge])) == 0:
        return None
    slope, level = np.polyfit(np.log(x[edge]), np.log(output[edge]), 1)
    found: Floats = np.exp(level + slope * np.log(at))
    return found


BASELINES: dict[str, Any] = {"last value": last_value, "frontier line": frontier_line}
"""Name -> (x, output, x of the held-out runs) -> predictions; what a law has to beat."""
