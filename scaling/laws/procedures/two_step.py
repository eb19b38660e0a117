"""Two-step laws: the loss from size and data, then a task's metric from the loss, each step a fit of its own.

Step 1 is fitted to the runs that ended their schedule, step 2 to every row: the metric against the loss that was
measured, not the one that step 1 predicts (Bhagia et al. 2024, section 3; Gadre et al. 2024, section 2.3). Noise of the
loss and noise of the metric at a given loss are independent, so that resample i of the law pairs resample i of each.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from scaling.laws.errors import LawError
from scaling.laws.fitting import Settings, fit_form, law_fit
from scaling.laws.forms import Floats, LawForm
from scaling.laws.forms.downstream import steps
from scaling.laws.prediction import RUN_NOISE
from scaling.laws.results import LawFit, rounded_samples
from scaling.laws.table import Table

SLOPE_STEP = 1e-5
"""Relative step in the loss for the slope of the second step."""


def fit(rows: Table, form: LawForm, settings: Settings) -> LawFit:
    """`form`'s two steps fitted to `rows`, composed."""
    options = {"first": "chinchilla", "second": "sigmoid", "x": "", "final": ""} | dict(form.options)
    one, two = steps(options["first"], options["second"], options["x"])
    for name, other in settings.ties:
        if (name in one.names) != (other in one.names):
            raise LawError(f"tie {name}={other}: they belong to different steps, which are fitted one after the other")
    ended = _ended(rows, options["final"])
    loss = rows.column(one.output)
    first = fit_form(replace(rows, target=loss).only(ended, "its schedule goes on"), one, _own(settings, one, 0))
    second = fit_form(rows, two, _own(settings, two, 1))
    params = first.params | second.params
    inputs = _inputs(rows, one, ended)
    chained = form.evaluate(params, inputs) - rows.target[ended]
    samples = _samples(one, two, first, second, inputs) if settings.resamples else {}
    typical = _run_noise(one, two, params, inputs, first.noise["run"], second.noise["run"])
    return law_fit(
        rows,
        form,
        settings,
        params=params,
        intervals=first.intervals | second.intervals,
        value=second.objective["value"],
        starts={
            "total": settings.starts,
            "share_at_optimum": min(step.starts["share_at_optimum"] for step in (first, second)),
        },
        diagnostics=[
            replace(item, message=f"step from {source} to {step.output}: {item.message}")
            for source, step in ((" and ".join(one.inputs), first), (one.output, second))
            for item in step.diagnostics
        ],
        noise=second.noise | {"run": float(typical)},
        samples=samples,
        details={
            "steps": {step.output: _summary(step) for step in (first, second)},
            "chained": {
                "rows": int(ended.sum()),
                "mean_absolute_error": float(np.mean(np.abs(chained))),
                "largest_absolute_error": float(np.max(np.abs(chained))),
            },
        },
    )


def _own(settings: Settings, step: LawForm, number: int) -> Settings:
    """The settings of one step: its own space, pins and ties, and starts and resamples of its own."""
    return replace(
        settings,
        objective=settings.objective if number else replace(settings.objective, space=step.space),
        pins={name: value for name, value in settings.pins.items() if name in step.names},
        ties=tuple((name, other) for name, other in settings.ties if name in step.names),
        seed=settings.seed + 1000 * number,
    )


def _ended(rows: Table, final: str) -> np.ndarray[Any, Any]:
    """Which rows the first step is fitted to; LawError where the column says something else than 0 or 1."""
    if not final:
        return np.ones(rows.rows, dtype=bool)
    values = rows.column(final)
    for row in np.flatnonzero((values != 0) & (values != 1)):
        raise LawError(f"{rows.labels[row]}, column {final!r} is {values[row]:g}; it is 1 for the end of a run, else 0")
    if not values.any():
        raise LawError(f"column {final!r} is 0 in every row: the first step has no run to be fitted to")
    return values == 1


def _inputs(rows: Table, one: LawForm, ended: np.ndarray[Any, Any]) -> dict[str, Floats]:
    values = {name: rows.column(name)[ended] for name in one.inputs}
    return {name: value if name in one.linear_inputs else np.log(value) for name, value in values.items()}


def _samples(
    one: LawForm, two: LawForm, first: LawFit, second: LawFit, inputs: Mapping[str, Floats]
) -> dict[str, tuple[float, ...]]:
    """Both steps' resampled parameters, and the noise of one new run's metric in each resample."""
    own, theirs = (
        {name: np.asarray(values)[:, None] for name, values in step.samples.items() if name != RUN_NOISE}
        for step in (first, second)
    )
    pinned = {name: np.array([[value]]) for name, value in (first.params | second.params).items()}
    noise = _run_noise(
        one,
        two,
        pinned | own | theirs,
        inputs,
        np.asarray(first.samples[RUN_NOISE])[:, None],
        np.asarray(second.samples[RUN_NOISE]),
    )
    return rounded_samples({name: values[:, 0] for name, values in (own | theirs).items()} | {RUN_NOISE: noise})


def _run_noise(
    one: LawForm, two: LawForm, params: Mapping[str, Any], inputs: Mapping[str, Floats], u: Any, e: Any
) -> Any:
    """Standard deviation of a new run's metric: its own at a given loss (e), and the loss's (u) through the steepest
    slope at the fitted runs, so that no run's is understated."""
    loss = one.evaluate(params, inputs)
    up, down = (two.evaluate(params, {one.output: loss * (1 + step)}) for step in (SLOPE_STEP, -SLOPE_STEP))
    slope = np.abs(up - down) / (2 * SLOPE_STEP * (1.0 if one.space == "log" else np.abs(loss)))
    return np.hypot(e, np.max(slope * u, axis=-1))


def _summary(step: LawFit) -> dict[str, Any]:
    return {
        "form": step.form,
        "options": step.options,
        "equation": step.equation,
        "params": step.params,
        "objective": step.objective,
        "rows": step.rows,
        "starts": step.starts,
        "noise": step.noise,
    }
