"""Compute-optimal answers: min over N of L(N, C / flops_per_token(N)). Plain NumPy. No JAX."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from scaling.laws import costs, intervals, prediction
from scaling.laws.errors import LawError
from scaling.laws.forms import Floats, form_named
from scaling.laws.values import Allocation, Diagnostic, Estimate

if TYPE_CHECKING:
    from scaling.laws.results import LawFit

GOLDEN = (np.sqrt(5.0) - 1) / 2
STEPS = 64
SPAN = np.log(1e6)
"""N* is sought within this factor of the fitted sizes moved along C^(1/2)."""


def optimum(fit: "LawFit", flops: float) -> Allocation:
    """N*, D*, D*/N* and the loss for a budget of `flops`, each with its interval."""
    if not np.isfinite(flops) or flops <= 0:
        raise LawError(f"flops is {flops}; it must be a positive number")
    draws = prediction.resampled(fit)
    if fit.form == "isoflop":
        found, at_edge = _from_power_laws(fit, fit.params, flops), 0.0
        sampled = _from_power_laws(fit, draws, flops)
    elif set(fit.inputs) == {"params", "tokens"}:
        found, at_edge = _minimum(fit, fit.params, flops)
        sampled, _ = _minimum(fit, draws, flops)
    else:
        raise LawError(f"form {fit.form} in {fit.inputs[0]} has no compute-optimal size; fit chinchilla or isoflop")
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


def exponents(fit: "LawFit") -> dict[str, Estimate]:
    """N* ~ C^a, D* ~ C^b: a = beta / (alpha + beta), b = 1 - a under C = 6 N D (Hoffmann 2022, eq. 4).

    Where the cost per token is not 6 N these are the exponents of the law itself; `optimum` uses the real cost.
    Approach 2 gives its two fitted slopes.
    """
    draws = prediction.resampled(fit)
    if fit.form == "isoflop":
        pairs = {"params": "N_exponent", "tokens": "D_exponent"}
        return {name: intervals.estimated(draws[key][:, 0], fit.params[key], fit.level) for name, key in pairs.items()}
    if fit.form != "chinchilla":
        raise LawError(f"form {fit.form} has no allocation exponents; fit chinchilla or isoflop")

    def share(values: Mapping[str, Any]) -> Any:
        return values["beta"] / (values["alpha"] + values["beta"])

    value, sampled = float(share(fit.params)), share(draws)[:, 0]
    return {
        "params": intervals.estimated(sampled, value, fit.level),
        "tokens": intervals.estimated(1 - sampled, 1 - value, fit.level),
    }


def _exponentiated(estimate: Estimate) -> Estimate:
    value, low, high = (float(np.exp(x)) for x in (estimate.value, estimate.low, estimate.high))
    return Estimate(value, low, high, estimate.level)


def _from_power_laws(fit: "LawFit", values: Mapping[str, Any], flops: float) -> dict[str, Floats]:
    log_c = np.log(flops) - np.log(values["reference_flops"])
    size = np.log(values["N_coefficient"]) + values["N_exponent"] * log_c
    data = np.log(values["D_coefficient"]) + values["D_exponent"] * log_c
    loss = np.log(values["L_coefficient"]) + values["L_exponent"] * log_c
    return {"params": size, "tokens": data, "tokens_per_param": data - size, "loss": loss}


def _minimum(fit: "LawFit", values: Mapping[str, Any], flops: float) -> tuple[dict[str, Floats], float]:
    """Logarithms of (N*, D*, D*/N*, L*) by golden section over ln N, all resamples at once; the share at an edge."""
    form = form_named(fit.form)
    log_c = np.log(flops)
    low_n, high_n = np.log(fit.ranges["params"])
    move = (log_c - np.log(np.sqrt(fit.ranges["flops"][0] * fit.ranges["flops"][1]))) / 2
    shape = np.broadcast_shapes(*(np.shape(value) for value in values.values()))
    low = np.full(shape, low_n + move - SPAN)
    high = np.full(shape, high_n + move + SPAN)
    edges = low.copy(), high.copy()

    def at(log_n: Floats) -> Floats:
        return form.loss(values, {"params": log_n, "tokens": log_c - costs.log_flops_per_token(fit.cost, log_n)})

    for _ in range(STEPS):
        inner_low, inner_high = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
        left = at(inner_low) < at(inner_high)
        low, high = np.where(left, low, inner_low), np.where(left, inner_high, high)
    log_n = (low + high) / 2
    log_d = log_c - costs.log_flops_per_token(fit.cost, log_n)
    at_edge = float(np.mean((log_n - edges[0] < 1e-3) | (edges[1] - log_n < 1e-3)))
    found = {"params": log_n, "tokens": log_d, "tokens_per_param": log_d - log_n, "loss": np.log(at(log_n))}
    return found, at_edge
