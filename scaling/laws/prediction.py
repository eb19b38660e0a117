"""What a fitted law says at a point: plain NumPy over its parameters and their resamples. No JAX."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from scaling.laws import asymptote, costs, intervals
from scaling.laws.errors import LawError
from scaling.laws.forms import Floats
from scaling.laws.values import Curve, Diagnostic, Interval, Prediction

if TYPE_CHECKING:
    from scaling.laws.results import LawFit

RUN_NOISE = "run_noise"
"""Name in LawFit.samples of the standard deviation of ln L of one new run."""
FAR = 10.0
"""Extrapolation beyond this factor in any input is called long."""


def output(fit: "LawFit", inputs: Mapping[str, Any], params: Mapping[str, Any] | None = None) -> Floats:
    """What the law predicts at `inputs` (arrays broadcast), for the fit or for other parameter values."""
    return fit.law.evaluate(fit.params if params is None else params, law_inputs(fit, inputs))


def law_inputs(fit: "LawFit", inputs: Mapping[str, Any]) -> dict[str, Floats]:
    """What the law's equation gets; of N, D and C two give the third, through the fit's cost."""
    law = fit.law
    known = {*law.inputs, "params", "tokens", "flops"}
    given = {name: np.asarray(value, dtype=np.float64) for name, value in inputs.items() if value is not None}
    for name, value in given.items():
        if name not in known:
            raise LawError(f"{name!r} is no input of form {fit.form}; it takes {', '.join(law.inputs)}")
        if not np.all(np.isfinite(value)) or (name not in law.linear_inputs and np.any(value <= 0)):
            raise LawError(f"{name} is {value}; it must be a positive number")
    found: dict[str, Floats] = {n: v if n in law.linear_inputs else np.log(v) for n, v in given.items()}
    if "params" in found and ("tokens" in found) != ("flops" in found):
        per_token = costs.log_flops_per_token(fit.cost, found["params"])
        if "tokens" in found:
            found["flops"] = found["tokens"] + per_token
        else:
            found["tokens"] = found["flops"] - per_token
    if "params" in found and "tokens" in found:
        found.setdefault("tokens_per_param", found["tokens"] - found["params"])
    missing = [name for name in law.inputs if name not in found]
    if missing:
        raise LawError(f"form {fit.form} needs {' and '.join(law.inputs)}; {missing[0]} is not given")
    return {name: found[name] for name in law.inputs}


def resampled(fit: "LawFit") -> dict[str, Floats]:
    """Parameter name -> (resamples, 1), pinned ones included."""
    if not fit.samples:
        raise LawError("this fit has no resamples, so it cannot say how sure it is; fit with resamples=200 or more")
    count = len(next(iter(fit.samples.values())))
    columns = {name: np.asarray(values, dtype=np.float64)[:, None] for name, values in fit.samples.items()}
    return {name: np.full((count, 1), value) for name, value in fit.params.items()} | columns


def predict(fit: "LawFit", inputs: Mapping[str, float | None], runs: int = 1) -> Prediction:
    """The output at one point, the interval of the curve, and the interval of the mean output of `runs` new runs."""
    if runs < 1:
        raise LawError(f"runs is {runs}; it must be at least 1")
    to, back = (np.log, np.exp) if fit.objective["space"] == "log" else (_same, _same)
    value = float(output(fit, inputs))
    draws = resampled(fit)
    every = output(fit, {k: None if v is None else [v] for k, v in inputs.items()}, draws)[:, 0]
    moved = asymptote.sensitivity(fit, {fit.output: (value, every)})
    sampled = to(every)
    sampled, noise = usable(sampled, draws[RUN_NOISE][:, 0] / np.sqrt(runs))
    curve = intervals.interval(sampled, float(to(value)), fit.level)
    new = intervals.with_noise(sampled, float(to(value)), noise, fit.level)
    point = {
        name: float(values if name in fit.law.linear_inputs else np.exp(values))
        for name, values in law_inputs(fit, inputs).items()
    }
    return Prediction(
        loss=value,
        confidence=Interval(float(back(curve.low)), float(back(curve.high)), fit.level),
        prediction=Interval(float(back(new.low)), float(back(new.high)), fit.level),
        runs=runs,
        inputs=point,
        diagnostics=extrapolation(fit, point) + asymptote.note(moved),
        sensitivity_to_E=moved,
    )


def usable(sampled: Floats, *beside: Floats) -> tuple[Floats, ...]:
    """Resampled values (and what goes with them) without those that are not finite; LawError where most are not."""
    good = np.isfinite(sampled)
    if good.mean() < 0.5:
        raise LawError(
            f"{1 - good.mean():.0%} of the resampled laws have no value here: the fit is too uncertain to predict it"
        )
    return (sampled[good], *(values[good] for values in beside))


def curve(fit: "LawFit", inputs: Mapping[str, Any]) -> Curve:
    """Output and confidence band along arrays of inputs."""
    shaped = np.broadcast_arrays(
        *[np.asarray(value, dtype=np.float64) for value in inputs.values() if value is not None]
    )
    names = [name for name, value in inputs.items() if value is not None]
    flat = {name: values.ravel() for name, values in zip(names, shaped, strict=True)}
    values = output(fit, flat)
    low, high = intervals.band(output(fit, flat, resampled(fit)), values, fit.level)
    shape = shaped[0].shape
    return Curve(values.reshape(shape), low.reshape(shape), high.reshape(shape), fit.level)


def _same(value: Any) -> Any:
    return value


def extrapolation(fit: "LawFit", point: Mapping[str, float]) -> tuple[Diagnostic, ...]:
    """A note for the input that lies farthest outside what was fitted, others beside it; a warning beyond FAR times.

    C counts too, where the point has N and D: the largest size on the most tokens may be far outside though each was
    trained. An input that enters as it is (no logarithm) counts by how many widths of the fitted range it lies outside.
    """
    found: list[tuple[float, str, str]] = []
    point = dict(point)
    if "params" in point and "tokens" in point and "flops" not in point:
        log_n, log_d = np.log(point["params"]), np.log(point["tokens"])
        point["flops"] = float(np.exp(log_d + costs.log_flops_per_token(fit.cost, log_n)))
    for name, value in point.items():
        low, high = fit.ranges.get(name, (value, value))
        if name in fit.law.linear_inputs:
            away = max(low - value, value - high) / max(high - low, 1e-300)
            if away > 0.01:
                found.append((1 + away, name, f"lies {away:.2g} widths of the fitted range ({low:.3g} to {high:.3g})"))
        elif max(value / high, low / value) > 1.01:
            factor = max(value / high, low / value)
            found.append((factor, name, f"is {factor:.3g} times"))
    if not found:
        return ()
    factor, name, where = max(found)
    advice = (
        "the interval holds only if the law keeps its form that far; train a run in between"
        if factor > FAR
        else "a short extrapolation"
    )
    place = "outside it" if name in fit.law.linear_inputs else "outside the fitted range"
    others = ", ".join(f"{other} {times:.3g}" for times, other, _ in sorted(found, reverse=True)[1:])
    beside = f" ({others})" if others else ""
    message = f"{name} {point[name]:.3g} {where} {place}{beside}: {advice}"
    return (Diagnostic("extrapolation", factor, message, "warning" if factor > FAR else "note"),)
