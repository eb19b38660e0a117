"""Whole loss curves under any learning-rate schedule: two sums over the rates, and the loss as a function of them."""

from collections.abc import Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from scaling.laws import intervals, prediction
from scaling.laws.errors import LawError, nearest
from scaling.laws.forms.base import Data, Floats, LawForm, Values
from scaling.laws.forms.parameters import EXPONENT_STARTS, coefficient, exponent, real
from scaling.laws.forms.registry import register
from scaling.laws.values import Curve

if TYPE_CHECKING:
    from scaling.laws.results import LawFit

FORWARD, ANNEALED = "forward_area", "annealing_area"
REFERENCE = "reference_momentum"
"""The momentum with which a fit's annealing areas are made."""
WARMUPS = ("peak", "as_it_is")
BLOCK = 256
MOST_CELLS = 2**25
"""Resamples times steps of one band."""


@register
def annealing(momentum: float | None = None, warmup: str = "peak") -> LawForm:
    """L = E + A / S1^alpha - C S2 at every step of a run (Tissue et al. 2024, arXiv 2408.11029).

    S1 = sum of eta_i, i = 1..s;   S2 = sum over i = 1..s and k = 1..i of (eta_{k-1} - eta_k) momentum^(i-k)

    Fitted to rows (trajectory, step, rate, loss). `annealing_areas` gives the sums of a schedule and `schedule_loss`
    its loss.

    Options:
      momentum: of S2, between 0 and 1; fitted when None.
      warmup: `peak`: while the rate first rises it counts as the peak it rises to, and rows there are not fitted, as
        in the source; or `as_it_is`.
    """
    if momentum is not None and not 0 <= momentum < 1:
        raise LawError(f"momentum is {momentum}; it must be at least 0 and below 1")
    if warmup not in WARMUPS:
        raise LawError(f"warmup is {warmup!r}; it is {' or '.join(WARMUPS)}{nearest(warmup, WARMUPS)}")

    def equation(p: Values, x: Values, xp: ModuleType) -> Any:
        # An area made with another momentum has its long-run size, which is as 1 / (1 - momentum): so resamples of C
        # and momentum go together.
        carried = (1 - p[REFERENCE]) / (1 - p["momentum"])
        return p["E"] + p["A"] * xp.exp(-p["alpha"] * x[FORWARD]) - p["C"] * carried * x[ANNEALED]

    unit = (0.0, 1.0)
    return LawForm(
        name="annealing",
        equation=equation,
        text="L = E + A / S1^alpha - C S2, S1 = sum of rates, S2 = sum of their drops with momentum",
        parameters=(
            *curve_parameters(FORWARD),
            real("C", unit, (0.0, np.inf), "coefficient"),
            real("momentum", unit, unit),
            real(REFERENCE, unit, unit),
        ),
        inputs=(FORWARD, ANNEALED),
        # The area may be negative, a rate may end at 0, and step 0 is told apart by the procedure.
        linear_inputs=(ANNEALED, "step", "rate"),
        falling=(FORWARD, ANNEALED),
        source="Tissue et al. 2024, arXiv 2408.11029, eq. 1 and section 3",
        procedure="scaling.laws.procedures.annealing:fit",
        needs=("step", "rate"),
    )


def curve_parameters(forward: str) -> tuple[Any, ...]:
    """E, A and alpha: E may lie above the least loss, as annealing takes more off."""

    def between(data: Data) -> tuple[float, float]:
        return 0.0, float(np.max(data.output))

    return (
        real("E", between, between, "asymptote"),
        coefficient("A", over=lambda p, c: -p["alpha"] * c[forward]),
        exponent("alpha", starts=EXPONENT_STARTS),
    )


def annealing_areas(rates: Any, momentum: float, warmup: str = "as_it_is") -> tuple[Floats, Floats]:
    """(S1, S2), each (steps,), of the learning rates of steps 1, 2, ...; in linear time.

    S1_s = S1_{s-1} + eta_s;   m_s = momentum m_{s-1} + eta_{s-1} - eta_s;   S2_s = S2_{s-1} + m_s;   eta_0 = eta_1

    Args:
      rates: (steps,) of every step, in any unit that all runs share; 0 or more.
      momentum: at least 0, below 1.
      warmup: `peak` counts the first rise as if the rate were at its peak from the start, as the fit does by default.
    """
    if not 0 <= momentum < 1:
        raise LawError(f"momentum is {momentum}; it must be at least 0 and below 1")
    values = _counted(_checked(rates), warmup)
    drops = -np.diff(values, prepend=values[0])
    return np.cumsum(values), np.cumsum(_decaying(drops, momentum))


def warmup_steps(rates: Any) -> int:
    """How many steps come before the peak of the first rise: 0 where the rate falls first, or never changes."""
    changes = np.diff(_checked(rates))
    falls = np.flatnonzero(changes < 0)
    rises = np.flatnonzero(changes[: falls[0] if len(falls) else None] > 0)
    return int(rises[-1]) + 1 if len(rises) else 0


def rates_between(steps: Sequence[int] | Floats, rates: Sequence[float] | Floats) -> Floats:
    """Rates of steps 1 to the last of `steps` from those logged at some: straight lines between, constant before."""
    return np.interp(np.arange(1, int(steps[-1]) + 1), steps, rates)


def schedule_loss(fit: "LawFit", rates: Any) -> Floats:
    """(steps,) the loss after each step of a run with these rates (steps,), by a fitted annealing law."""
    warmup = _warmup(fit)
    forward, annealed = annealing_areas(rates, fit.params["momentum"], warmup)
    if forward[0] <= 0:
        raise LawError("the rate of step 1 is 0: leave the steps out before the rate is above 0")
    return prediction.output(fit, {FORWARD: forward, ANNEALED: annealed})


def schedule_curve(fit: "LawFit", rates: Any, steps: Sequence[int] | None = None) -> Curve:
    """The loss after `steps` (1, 2, ...; every one when None) with its confidence band, the momentum's part included.

    Between a fit's own sums `fit.predict` does the same, but for schedules whose annealing is short next to the
    momentum's memory, where it takes the long-run size of the area.
    """
    values, warmup = _checked(rates), _warmup(fit)
    at = np.arange(len(values)) if steps is None else np.asarray(steps, dtype=int) - 1
    if len(at) == 0 or at.min() < 0 or at.max() >= len(values):
        raise LawError(f"steps must lie between 1 and the schedule's {len(values)}")
    loss = schedule_loss(fit, values)[at]
    draws = {name: np.ravel(column) for name, column in prediction.resampled(fit).items()}
    count = len(draws["momentum"])
    if count * len(at) > MOST_CELLS:
        raise LawError(
            f"{count} resamples of {len(at)} steps are too many; give steps=, such as range(100, 10001, 100)"
        )
    sampled = np.empty((count, len(at)))
    for index in range(count):
        own: dict[str, Any] = {name: float(column[index]) for name, column in draws.items()}
        forward, annealed = annealing_areas(values, own["momentum"], warmup)
        own[REFERENCE] = own["momentum"]
        sampled[index] = fit.law.evaluate(own, {FORWARD: np.log(forward[at]), ANNEALED: annealed[at]})
    low, high = intervals.band(sampled, loss, fit.level)
    return Curve(loss, low, high, fit.level)


def _warmup(fit: "LawFit") -> str:
    if fit.law.inputs != (FORWARD, ANNEALED):
        raise LawError(f"form {fit.form} is no law of a schedule; fit form annealing")
    return str(dict(fit.options).get("warmup", WARMUPS[0]))


def _checked(rates: Any) -> Floats:
    values = np.asarray(rates, dtype=np.float64)
    if values.ndim != 1 or len(values) == 0 or not np.all(np.isfinite(values)) or np.any(values < 0):
        raise LawError("rates must be one list of numbers, 0 or more, one a step")
    return values


def _counted(rates: Floats, warmup: str) -> Floats:
    if warmup not in WARMUPS:
        raise LawError(f"warmup is {warmup!r}; it is {' or '.join(WARMUPS)}{nearest(warmup, WARMUPS)}")
    if warmup == "as_it_is":
        return rates
    peak = warmup_steps(rates)
    return np.concatenate([np.full(peak, rates[peak]), rates[peak:]])


def _decaying(drops: Floats, momentum: float) -> Floats:
    """m_i = momentum m_{i-1} + drop_i, (steps,): blocks by one matrix product, then what each passes on."""
    count = -(-len(drops) // BLOCK)
    blocks = np.pad(drops, (0, count * BLOCK - len(drops))).reshape(count, BLOCK)
    lag = np.subtract.outer(np.arange(BLOCK), np.arange(BLOCK))
    found = blocks @ np.where(lag >= 0, float(momentum) ** np.maximum(lag, 0), 0.0).T
    fading = float(momentum) ** np.arange(1, BLOCK + 1)
    for index in range(1, count):
        found[index] += fading * found[index - 1, -1]
    return found.ravel()[: len(drops)]
