"""What to train for a budget: min over N of L(N, C / flops_per_token(N)). Plain NumPy. No JAX.

Under any cost, for any form in N and D, with its further inputs held. What a loss needs is `inverse.py`; what serving
changes, `serving.py`.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from scaling.laws import asymptote, intervals, prediction
from scaling.laws.errors import LawError
from scaling.laws.forms import Floats
from scaling.laws.surface import Best, Surface
from scaling.laws.values import Allocation, Diagnostic, Estimate

if TYPE_CHECKING:
    from scaling.laws.results import LawFit

Answers = dict[str, tuple[float, Floats]]
"""What is asked -> (value, resampled values)."""
SLOPE_STEP = {"6N": 0.05, "table": float(np.log(4.0))}
"""Half the step in ln C over which exponents are slopes: wide under a table of costs, whose corners N* sticks to."""
LEVEL = 1e-4
"""Relative gain of ten times the compute below which a law has levelled off."""
HUGE = 1e300
"""Stands for infinity where values are ranked."""


def optimum(fit: "LawFit", flops: float, held: Mapping[str, float] | None = None) -> Allocation:
    """N*, D*, D*/N* and the loss for a budget of `flops`, each with its interval; `held`: the law's further inputs."""
    surface = planned(fit, held or {})
    log_c = np.log(positive("flops", flops))
    found, sampled = surface.best(fit.params, log_c), surface.best(draws(fit), log_c)
    answers = sizes(found, sampled) | {"loss": (float(found.loss), sampled.loss)}
    moved = asymptote.sensitivity(fit, answers)
    point = {"flops": flops, **(held or {})} | {name: answers[name][0] for name in ("params", "tokens")}
    return Allocation(
        flops=float(flops),
        **estimates(answers, fit.level),
        diagnostics=prediction.extrapolation(fit, point)
        + edges(found, sampled)
        + _levelled_off(surface, log_c, float(found.loss))
        + asymptote.note(moved),
        held=dict(held or {}),
        sensitivity_to_E=moved,
    )


def exponents(
    fit: "LawFit", flops: float | None = None, held: Mapping[str, float] | None = None
) -> dict[str, Estimate]:
    """N* ~ C^a, D* ~ C^b at a budget (the largest fitted one when None): a = d ln N* / d ln C, b likewise.

    A chinchilla law under C = 6 N D has a = beta / (alpha + beta) at every budget (Hoffmann 2022, eq. 4).
    """
    surface = planned(fit, held or {})
    at = surface.budgets()[1] if flops is None else np.log(positive("flops", flops))
    step = SLOPE_STEP[fit.cost["rule"]]

    def slopes(values: Mapping[str, Any]) -> dict[str, Floats]:
        low, high = (surface.best(values, at + away) for away in (-step, step))
        return {
            "params": (high.log_params - low.log_params) / (2 * step),
            "tokens": (high.log_tokens - low.log_tokens) / (2 * step),
        }

    found, sampled = slopes(fit.params), slopes(draws(fit))
    return estimates({name: (float(found[name]), sampled[name]) for name in found}, fit.level)


def planned(fit: "LawFit", held: Mapping[str, float]) -> Surface:
    """The law's surface; LawError where it has no compute-optimal size."""
    if not fit.has_optimum:
        have = " and ".join(fit.law.inputs)
        raise LawError(f"form {fit.form} in {have} has no compute-optimal size; fit chinchilla or isoflop")
    return Surface.of(fit, held)


def positive(name: str, value: float) -> float:
    """`value`; LawError where it is no positive number."""
    if not np.isfinite(value) or value <= 0:
        raise LawError(f"{name} is {value}; it must be a positive number")
    return float(value)


def draws(fit: "LawFit") -> dict[str, Floats]:
    """Parameter name -> (resamples,)."""
    return {name: values[:, 0] for name, values in prediction.resampled(fit).items()}


def sizes(found: Best, sampled: Best) -> Answers:
    """N*, D* and D*/N*."""
    with np.errstate(invalid="ignore", over="ignore"):
        return {
            "params": (float(np.exp(found.log_params)), np.exp(sampled.log_params)),
            "tokens": (float(np.exp(found.log_tokens)), np.exp(sampled.log_tokens)),
            "tokens_per_param": (
                float(np.exp(found.log_tokens - found.log_params)),
                np.exp(sampled.log_tokens - sampled.log_params),
            ),
        }


def estimates(answers: Answers, level: float) -> dict[str, Estimate]:
    """Each value with its interval."""
    return {name: estimate(sampled, value, level) for name, (value, sampled) in answers.items()}


def estimate(sampled: Floats, value: float, level: float) -> Estimate:
    """`value` with its interval: resamples that have none are left out, infinite ones leave it open above."""
    (kept,) = prediction.usable(np.minimum(sampled, HUGE))
    centre = min(value, HUGE)
    open_from = HUGE
    back: Callable[[float], Any] = float
    if centre > 0 and bool(np.all(kept > 0)):
        kept, centre, open_from, back = np.log(kept), float(np.log(centre)), float(np.log(HUGE)), np.exp
    found = intervals.interval(kept, centre, level)
    # Between the last finite resample and the first infinite one there is nothing to read an end from.
    finite = np.append(kept, centre)
    last = np.max(finite[finite < open_from], initial=-np.inf)
    low, high = (np.inf if end > last else float(back(end)) for end in (found.low, found.high))
    return Estimate(value, low, high, level)


def _levelled_off(surface: Surface, log_c: Any, loss: float) -> tuple[Diagnostic, ...]:
    """A warning where a tenth of the budget does as well: with data that repeat, or close to the asymptote."""
    tenth = float(surface.best(surface.fit.params, log_c - np.log(10.0)).loss)
    gain = abs(tenth / loss - 1)
    if gain >= LEVEL:
        return ()
    message = f"a tenth of this budget reaches {tenth:.5g}: the law has levelled off, and N* and D* mean little"
    return (Diagnostic("levelled_off", gain, message),)


def edges(found: Best, sampled: Best) -> tuple[Diagnostic, ...]:
    """An error where the law has no optimum in a very wide range, a warning where resampled laws have none."""
    share = float(np.mean(sampled.edge))
    if bool(np.any(found.edge)):
        message = "no optimum within a factor of 1e6 of the fitted sizes: alpha or beta is close to 0; do not use this"
        return (Diagnostic("optimum_unbounded", 1.0, message, "error"),)
    if share == 0:
        return ()
    message = f"{share:.1%} of the resampled laws have no optimum within a factor of 1e6 of the fitted sizes"
    return (Diagnostic("optimum_open", share, message + ": train sizes on both sides of it, over more budgets"),)
