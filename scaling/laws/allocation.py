"""Compute-optimal answers: min over N of L(N, C / flops_per_token(N)). Plain NumPy. No JAX."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from scaling.laws import costs, intervals, prediction
from scaling.laws.errors import LawError
from scaling.laws.forms import Floats
from scaling.laws.values import Allocation, Diagnostic, Estimate

if TYPE_CHECKING:
    from scaling.laws.results import LawFit

GOLDEN = (np.sqrt(5.0) - 1) / 2
STEPS = 64
SLOPE_STEP = 0.05
"""Half the step in ln C over which exponents are slopes."""
SAME_AS_N_AND_D = {"flops", "tokens_per_param"}
"""Inputs that stand for N and D."""
SPAN = np.log(1e6)
"""N* is sought within this factor of the fitted sizes moved along C^(1/2)."""


def optimum(fit: "LawFit", flops: float) -> Allocation:
    """N*, D*, D*/N* and the loss for a budget of `flops`, each with its interval."""
    if not np.isfinite(flops) or flops <= 0:
        raise LawError(f"flops is {flops}; it must be a positive number")
    draws = prediction.resampled(fit)
    found, at_edge = frontier(fit, fit.params, flops)
    sampled, _ = frontier(fit, draws, flops)
    answers = {
        name: intervals.estimated(np.ravel(sampled[name]), float(np.ravel(found[name])[0]), fit.level)
        for name in ("params", "tokens", "tokens_per_param", "loss")
    }
    answers = {name: _exponentiated(estimate) for name, estimate in answers.items()}
    notes = prediction.extrapolation(fit, {"flops": flops})
    if at_edge:
        message = "no optimum within a factor of 1e6 of the fitted sizes: alpha or beta is close to 0; do not use this"
        notes += (Diagnostic("optimum_unbounded", at_edge, message, "error"),)
    return Allocation(flops=float(flops), **answers, diagnostics=notes)


def exponents(fit: "LawFit", flops: float | None = None) -> dict[str, Estimate]:
    """N* ~ C^a, D* ~ C^b at a budget (the largest fitted one when None): a = d ln N* / d ln C, b likewise.

    A chinchilla law under C = 6 N D has a = beta / (alpha + beta) at every budget (Hoffmann 2022, eq. 4).
    """
    draws = prediction.resampled(fit)
    at = fit.ranges["flops"][1] if flops is None else flops
    step = np.exp(SLOPE_STEP)

    def slopes(values: Mapping[str, Any]) -> dict[str, Floats]:
        low, high = (frontier(fit, values, at * factor)[0] for factor in (1 / step, step))
        return {name: np.ravel((high[name] - low[name]) / (2 * SLOPE_STEP)) for name in ("params", "tokens")}

    found, sampled = slopes(fit.params), slopes(draws)
    return {
        name: intervals.estimated(prediction.usable(sampled[name])[0], float(found[name][0]), fit.level)
        for name in found
    }


def frontier(fit: "LawFit", values: Mapping[str, Any], flops: float) -> tuple[dict[str, Floats], float]:
    """Logarithms of (N*, D*, D*/N*, L*) for parameter values of any shape, and the share of them without an optimum."""
    law, log_c = fit.law, np.log(flops)
    in_n_and_d = {"params", "tokens"} <= set(law.inputs) or set(law.inputs) == SAME_AS_N_AND_D
    if law.frontier is None and not in_n_and_d:
        have = " and ".join(law.inputs)
        raise LawError(f"form {fit.form} in {have} has no compute-optimal size; fit chinchilla or isoflop")
    if law.frontier is not None:
        size, data = law.frontier(values, log_c)
        loss = np.log(law.evaluate(values, {"flops": log_c}))
    elif law.optimum_6nd is not None and fit.cost["rule"] == "6N":
        size, data = law.optimum_6nd(values, log_c)
        loss = np.log(law.evaluate(values, {"params": size, "tokens": data}))
    else:
        return _minimum(fit, values, flops)
    return {"params": size, "tokens": data, "tokens_per_param": data - size, "loss": loss}, 0.0


def _exponentiated(estimate: Estimate) -> Estimate:
    value, low, high = (float(np.exp(x)) for x in (estimate.value, estimate.low, estimate.high))
    return Estimate(value, low, high, estimate.level)


def _minimum(fit: "LawFit", values: Mapping[str, Any], flops: float) -> tuple[dict[str, Floats], float]:
    """Logarithms of (N*, D*, D*/N*, L*) by golden section over ln N, all resamples at once; the share at an edge."""
    law = fit.law
    log_c = np.log(flops)
    low_n, high_n = np.log(fit.ranges["params"])
    move = (log_c - np.log(np.sqrt(fit.ranges["flops"][0] * fit.ranges["flops"][1]))) / 2
    shape = np.broadcast_shapes(*(np.shape(value) for value in values.values()))
    low = np.full(shape, low_n + move - SPAN)
    high = np.full(shape, high_n + move + SPAN)
    edges = low.copy(), high.copy()

    def at(log_n: Floats) -> Floats:
        log_d = log_c - costs.log_flops_per_token(fit.cost, log_n)
        known = {"params": log_n, "tokens": log_d, "tokens_per_param": log_d - log_n, "flops": log_c}
        return law.evaluate(values, {name: known[name] for name in law.inputs})

    for _ in range(STEPS):
        inner_low, inner_high = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
        left = at(inner_low) < at(inner_high)
        low, high = np.where(left, low, inner_low), np.where(left, inner_high, high)
    log_n = (low + high) / 2
    log_d = log_c - costs.log_flops_per_token(fit.cost, log_n)
    at_edge = float(np.mean((log_n - edges[0] < 1e-3) | (edges[1] - log_n < 1e-3)))
    found = {"params": log_n, "tokens": log_d, "tokens_per_param": log_d - log_n, "loss": np.log(at(log_n))}
    return found, at_edge
