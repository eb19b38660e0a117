"""What a fitted law says at a point: plain NumPy over its parameters and their resamples. No JAX."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from scaling.laws import costs, intervals
from scaling.laws.errors import LawError
from scaling.laws.forms import Floats, form_named
from scaling.laws.values import Curve, Diagnostic, Interval, Prediction

if TYPE_CHECKING:
    from scaling.laws.results import LawFit

RUN_NOISE = "run_noise"
"""Name in LawFit.samples of the standard deviation of ln L of one new run."""
FAR = 10.0
"""Extrapolation beyond this factor in any input is called long."""


def loss(fit: "LawFit", inputs: Mapping[str, Any], params: Mapping[str, Any] | None = None) -> Floats:
    """Loss at `inputs` (any of params, tokens, flops; arrays broadcast), for the fit or for other parameter values."""
    logs = log_inputs(fit, inputs)
    values = fit.params if params is None else params
    if fit.form == "isoflop":
        log_c = logs["flops"] - np.log(values["reference_flops"])
        return np.asarray(values["L_coefficient"] * np.exp(values["L_exponent"] * log_c))
    return form_named(fit.form, fit.inputs[0]).loss(values, logs)


def log_inputs(fit: "LawFit", inputs: Mapping[str, Any]) -> dict[str, Floats]:
    """ln of what the law needs; C and D are derived through the fit's cost where they are not given."""
    given = {name: np.asarray(value, dtype=np.float64) for name, value in inputs.items() if value is not None}
    for name, value in given.items():
        if not np.all(np.isfinite(value)) or np.any(value <= 0):
            raise LawError(f"{name} is {value}; it must be a positive number")
    logs: dict[str, Floats] = {name: np.log(value) for name, value in given.items()}
    if "params" in logs and len(logs) == 2:
        per_token = costs.log_flops_per_token(fit.cost, logs["params"])
        if "tokens" in logs:
            logs["flops"] = logs["tokens"] + per_token
        else:
            logs["tokens"] = logs["flops"] - per_token
    missing = [name for name in fit.inputs if name not in logs]
    if missing:
        raise LawError(f"form {fit.form} needs {' and '.join(fit.inputs)}; {missing[0]} is not given")
    return {name: logs[name] for name in fit.inputs}


def resampled(fit: "LawFit") -> dict[str, Floats]:
    """Parameter name -> (resamples, 1), pinned ones included."""
    if not fit.samples:
        raise LawError("this fit has no resamples, so it cannot say how sure it is; fit with resamples=200 or more")
    count = len(next(iter(fit.samples.values())))
    columns = {name: np.asarray(values, dtype=np.float64)[:, None] for name, values in fit.samples.items()}
    return {name: np.full((count, 1), value) for name, value in fit.params.items()} | columns


def predict(fit: "LawFit", inputs: Mapping[str, float | None], runs: int = 1) -> Prediction:
    """Loss at one point, the interval of the curve, and the interval of the mean loss of `runs` new runs."""
    if runs < 1:
        raise LawError(f"runs is {runs}; it must be at least 1")
    value = float(loss(fit, inputs))
    draws = resampled(fit)
    sampled = np.log(loss(fit, {k: None if v is None else [v] for k, v in inputs.items()}, draws))[:, 0]
    noise = draws[RUN_NOISE][:, 0] / np.sqrt(runs)
    curve = intervals.interval(sampled, np.log(value), fit.level)
    new = intervals.with_noise(sampled, np.log(value), noise, fit.level)
    logs = log_inputs(fit, inputs)
    return Prediction(
        loss=value,
        confidence=Interval(float(np.exp(curve.low)), float(np.exp(curve.high)), fit.level),
        prediction=Interval(float(np.exp(new.low)), float(np.exp(new.high)), fit.level),
        runs=runs,
        inputs={name: float(np.exp(values)) for name, values in logs.items()},
        diagnostics=extrapolation(fit, {name: float(np.exp(values)) for name, values in logs.items()}),
    )


def curve(fit: "LawFit", inputs: Mapping[str, Any]) -> Curve:
    """Loss and confidence band along one-dimensional arrays of inputs."""
    shaped = np.broadcast_arrays(
        *[np.asarray(value, dtype=np.float64) for value in inputs.values() if value is not None]
    )
    names = [name for name, value in inputs.items() if value is not None]
    flat = {name: values.ravel() for name, values in zip(names, shaped, strict=True)}
    values = loss(fit, flat)
    low, high = intervals.band(loss(fit, flat, resampled(fit)), values, fit.level)
    shape = shaped[0].shape
    return Curve(values.reshape(shape), low.reshape(shape), high.reshape(shape), fit.level)


def extrapolation(fit: "LawFit", point: Mapping[str, float]) -> tuple[Diagnostic, ...]:
    """A note for the input that lies farthest outside what was fitted, a warning beyond a factor of FAR."""
    worst, factor = "", 1.0
    for name, value in point.items():
        if name in fit.ranges:
            low, high = fit.ranges[name]
            outside = max(value / high, low / value)
            if outside > factor:
                worst, factor = name, outside
    if factor <= 1.01:
        return ()
    advice = (
        "the interval holds only if the law keeps its form that far; train a run in between"
        if factor > FAR
        else "a short extrapolation"
    )
    message = f"{worst} {point[worst]:.3g} is {factor:.3g} times outside the fitted range: {advice}"
    return (Diagnostic("extrapolation", factor, message, "warning" if factor > FAR else "note"),)
