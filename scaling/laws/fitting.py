"""From a table to a LawFit: all starts in one batched solve, then all resamples in another."""

import platform
from collections.abc import Mapping
from importlib import metadata
from typing import Any

import numpy as np

from scaling.laws import costs, diagnostics, intervals, isoflop, solver, uncertainty
from scaling.laws import noise as noises
from scaling.laws.errors import LawError
from scaling.laws.forms import Floats, LawForm, form_named
from scaling.laws.prediction import RUN_NOISE
from scaling.laws.results import LawFit, rounded_samples
from scaling.laws.table import Table, read

SAME_OPTIMUM = 1e-6
"""Relative difference in the objective up to which two starts count as at one optimum."""


def fit(
    table: Any,
    form: str = "chinchilla",
    *,
    x: str = "params",
    columns: Mapping[str, str] | None = None,
    pin: Mapping[str, float] | None = None,
    delta: float = 1e-3,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
    cost: costs.Cost | None = None,
    starts: int = 256,
    drop_highest_loss: int = 0,
    method: str = "auto",
) -> LawFit:
    """min over parameters of sum_i w_i Huber_delta(ln L(parameters; N_i, D_i) - ln L_i), with intervals.

    Args:
      table: dataframe, mapping of columns, or path to CSV, JSON lines or Parquet.
      form: power, chinchilla or isoflop.
      x: input of form power: params, tokens or flops.
      columns: params, tokens, flops, loss, trajectory, ... -> the table's own column names.
      pin: parameter -> the value it is held at.
      delta: Huber threshold on residuals of ln L; 1e-3 is close to least absolute deviations, 1e3 is least squares.
      resamples: behind every interval; 0 for none.
      level: of every interval.
      seed: of the starts and resamples.
      cost: training FLOPs per token as a function of N: (params, flops_per_token); the table's own, else 6 N.
      starts: starting points.
      drop_highest_loss: how many rows with the highest loss to leave out.
      method: of resampling: auto, noise or pairs (uncertainty.py).

    Raises LawError where the table or an argument cannot work; a fit that cannot be trusted says so in `status`.
    """
    _check(delta=delta, resamples=resamples, level=level, starts=starts, method=method)
    rows = read(table, columns, cost, drop_highest_loss)
    if form == "isoflop":
        if pin:
            raise LawError("form isoflop has no parameters to pin")
        return isoflop.fit(rows, resamples=resamples, level=level, seed=seed, versions=versions())
    law = form_named(form, x)
    return _fit_form(rows, law, law.checked_pins(pin), delta, resamples, level, seed, starts, method)


def versions() -> dict[str, str]:
    """Of Python and of the packages that computed the fit."""
    return {"python": platform.python_version()} | {name: metadata.version(name) for name in ("jax", "numpy", "scipy")}


def _fit_form(
    rows: Table,
    form: LawForm,
    pins: dict[str, float],
    delta: float,
    resamples: int,
    level: float,
    seed: int,
    starts: int,
    method: str,
) -> LawFit:
    logs = {name: np.log(values) for name, values in rows.inputs(form.inputs).items()}
    problem = solver.Problem(form, logs, np.log(rows.loss), rows.weight, delta, pins)
    solution = solver.solve(problem, solver.default_starts(problem, starts, seed))
    best = int(np.argmin(solution.objective))
    z, value = solution.z[best], float(solution.objective[best])
    share = float(np.mean(solution.objective <= value * (1 + SAME_OPTIMUM) + 1e-18))
    params = {name: float(values) for name, values in problem.natural(z).items()}
    lower, upper = problem.bounds
    bounds = {name: (lower[i], upper[i]) for i, name in enumerate(form.names) if name not in pins}
    free, clusters = len(problem.free), len(np.unique(rows.cluster))
    found = diagnostics.of_design(form, logs, problem.log_loss, clusters, free)
    found += diagnostics.of_solution(form, params, bounds, share)
    again = uncertainty.resample(problem, z, rows.cluster, max(resamples, 1), seed + 1, method)
    samples = _samples(problem, again) if resamples else {}
    between = {
        name: intervals.interval(np.asarray(samples[name]), params[name], level)
        for name in problem.free
        if name in samples
    }
    found += diagnostics.of_intervals(form, params, between)
    return LawFit(
        form=form.name,
        equation=form.text,
        inputs=form.inputs,
        params=params,
        intervals=between,
        level=level,
        objective={"name": "huber", "delta": delta, "reduction": "sum", "space": "log", "value": value},
        status=diagnostics.status(found),
        starts={"total": starts, "share_at_optimum": share},
        diagnostics=tuple(found),
        rows=rows.rows,
        excluded=rows.excluded,
        conventions=rows.conventions,
        cost=rows.cost,
        noise=noises.summary(again.noise, clusters) | {"resampling": again.method},
        ranges=rows.ranges(),
        samples=samples,
        pinned=pins,
        sha256=rows.sha256,
        versions=versions(),
        source=form.source,
    )


def _samples(problem: solver.Problem, again: uncertainty.Resamples) -> dict[str, tuple[float, ...]]:
    natural: dict[str, Floats] = {name: v for name, v in problem.natural(again.z).items() if name in problem.free}
    return rounded_samples(natural | {RUN_NOISE: again.run_noise})


def _check(*, delta: float, resamples: int, level: float, starts: int, method: str) -> None:
    if not delta > 0:
        raise LawError(f"delta is {delta}; it must be above 0")
    if resamples != 0 and resamples < 20:
        raise LawError(f"resamples is {resamples}; it must be 0 or at least 20")
    if not 0.5 < level < 1:
        raise LawError(f"level is {level}; it must lie between 0.5 and 1")
    if starts < 1:
        raise LawError(f"starts is {starts}; it must be at least 1")
    if method not in ("auto", "noise", "pairs"):
        raise LawError(f"method is {method!r}; it is auto, noise or pairs")
