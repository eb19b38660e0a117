"""From a table to a LawFit: all starts in one batched solve, then all resamples in another."""

import functools
import importlib
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from typing import Any

import numpy as np

from scaling.laws import costs, influence, intervals, outliers, solver, uncertainty
from scaling.laws import diagnostics as findings
from scaling.laws import noise as noises
from scaling.laws import objective as objectives
from scaling.laws.errors import LawError, nearest
from scaling.laws.forms import Floats, LawForm, form_named
from scaling.laws.prediction import RUN_NOISE
from scaling.laws.results import LawFit, rounded_samples
from scaling.laws.table import Table, read
from scaling.laws.values import Diagnostic, Interval

SAME_OPTIMUM = 1e-6
"""Relative difference in the objective up to which two starts count as at one optimum."""


@dataclass(frozen=True)
class Settings:
    """How a form is fitted, beyond the form and its rows.

    Attributes:
      objective: what is minimised.
      pins, ties: parameters that are held, or that take another's value.
      resamples: behind every interval; 0 for none.
      level: of every interval.
      seed: of the starts and resamples.
      starts: starting points.
      method: of resampling (uncertainty.py).
      beyond: errors that residuals do not show, as in `fit`.
    """

    objective: objectives.Objective
    pins: Mapping[str, float]
    ties: tuple[tuple[str, str], ...]
    resamples: int
    level: float
    seed: int
    starts: int
    method: str
    beyond: tuple[float, float] = (0.0, 0.0)


def fit(
    table: Any,
    form: str = "chinchilla",
    *,
    columns: Mapping[str, str] | None = None,
    pin: Mapping[str, float] | None = None,
    tie: Mapping[str, str] | None = None,
    objective: str = "huber",
    delta: float = 1e-3,
    space: str | None = None,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
    cost: costs.Cost | None = None,
    starts: int = 256,
    drop_highest_loss: int = 0,
    method: str = "auto",
    beyond: tuple[float, float] = (0.0, 0.0),
    **options: Any,
) -> LawFit:
    """min over parameters of sum_i w_i rho(ln L(parameters; N_i, D_i) - ln L_i), with intervals.

    Args:
      table: dataframe, mapping of columns, or path to CSV, JSON lines or Parquet.
      form: a form's name, or `module:name` for one of your own.
      columns: params, tokens, flops, loss, trajectory, ... -> the table's own column names.
      pin: parameter -> the value it is held at.
      tie: parameter -> the parameter whose value it takes.
      objective: huber, least_squares or absolute; always the sum over rows.
      delta: Huber threshold on residuals; 1e-3 is close to least absolute deviations.
      space: of the residuals: log or linear; the form's own when None.
      resamples: behind every interval; 0 for none.
      level: of every interval.
      seed: of the starts and resamples.
      cost: training FLOPs per token as a function of N: (params, flops_per_token); the table's own, else 6 N.
      starts: starting points.
      drop_highest_loss: how many rows with the highest loss to leave out.
      method: of resampling: auto, noise, pairs or rows (uncertainty.py).
      beyond: standard deviations of ln L, once a trajectory and once a row, of errors that were measured apart and that
        the residuals need not show, such as that of imperfect tuning: every resample draws them beside the noise.
      options: of the form, such as x="flops" for form power.

    Raises LawError where the table or an argument cannot work; a fit that cannot be trusted says so in `status`.
    """
    _check(resamples=resamples, level=level, starts=starts, method=method)
    law = form_named(form, options)
    settings = _settings(law, pin, tie, objective, delta, space, resamples, level, seed, starts, method)
    settings = replace(settings, beyond=checked_beyond(beyond, law, settings.objective.space))
    rows = read(table, columns, cost, drop_highest_loss, law)
    found = procedure_of(law)(rows, law, settings) if law.procedure else fit_form(rows, law, settings)
    return replace(found, diagnostics=(*rows.findings, *found.diagnostics))


def procedure_of(form: LawForm) -> Callable[[Table, LawForm, Settings], LawFit]:
    """What fits a form that one solve does not."""
    module, _, name = (form.procedure or "").partition(":")
    found: Callable[[Table, LawForm, Settings], LawFit] = getattr(importlib.import_module(module), name)
    return found


@functools.cache
def _versions() -> tuple[tuple[str, str], ...]:
    # Reading a package's metadata takes 7 ms, as long as a small fit.
    return tuple((name, metadata.version(name)) for name in ("jax", "numpy", "scipy"))


def versions() -> dict[str, str]:
    """Of Python and of the packages that computed the fit."""
    return {"python": platform.python_version(), **dict(_versions())}


def problem_of(rows: Table, form: LawForm, settings: Settings) -> solver.Problem:
    """`form` on `rows`, ready to solve."""
    values = rows.inputs(form.inputs)
    inputs = {name: one if name in form.linear_inputs else np.log(one) for name, one in values.items()}
    if form.check:
        form.check({**inputs, form.output: rows.target}, rows.labels)
    target = np.log(rows.target) if settings.objective.space == "log" else rows.target
    return solver.Problem(form, inputs, target, rows.weight, settings.objective, settings.pins, settings.ties)


def fit_form(rows: Table, form: LawForm, settings: Settings) -> LawFit:
    """`form` fitted to `rows` by one solve from every start."""
    problem = problem_of(rows, form, settings)
    starts = solver.default_starts(problem, settings.starts, settings.seed)
    solution = solver.solve(problem, starts)
    best = int(np.argmin(solution.objective))
    z, value = solution.z[best], float(solution.objective[best])
    if not np.isfinite(value):
        raise LawError(
            f"form {form.name} has no finite value on these rows from any of {settings.starts} starts; "
            "look for a column in the wrong unit"
        )
    given = uncertainty.errors(problem, rows.target_se)
    if given is not None:
        problem, solution = uncertainty.reweighted(problem, solution, rows.cluster, given)
        best = int(np.argmin(solution.objective))
        z, value = solution.z[best], float(solution.objective[best])
    share = float(np.mean(solution.objective <= value * (1 + SAME_OPTIMUM) + 1e-18))
    params = {name: float(findings.finite(values)) for name, values in problem.natural(z).items()}
    clusters = len(np.unique(rows.cluster))
    found = findings.of_design(form, problem, clusters)
    found += findings.of_solution(problem, z, params, share)
    found += influence.of_fit(problem, z, starts)
    found += findings.of_optima(problem, solution.z, solution.objective)
    found += outliers.of_fit(problem, z, rows.labels)
    again = uncertainty.resample(
        problem,
        z,
        rows.cluster,
        max(settings.resamples, 1),
        settings.seed + 1,
        settings.method,
        given,
        settings.beyond,
    )
    if settings.resamples:
        found += uncertainty.findings(problem, z, again, rows.cluster)
    samples = _samples(problem, again) if settings.resamples else {}
    between = {
        name: intervals.interval(np.asarray(samples[name]), params[name], settings.level)
        for name in problem.free
        if name in samples
    }
    found += findings.of_intervals(form, params, between)
    return law_fit(
        rows,
        form,
        settings,
        params=params,
        intervals=between,
        value=value,
        starts={"total": settings.starts, "share_at_optimum": share},
        diagnostics=found,
        noise=noises.summary(again.noise, clusters) | {"resampling": again.method} | told(settings.beyond),
        samples=samples,
    )


def law_fit(
    rows: Table,
    form: LawForm,
    settings: Settings,
    *,
    params: Mapping[str, float],
    intervals: Mapping[str, Interval],
    value: float,
    starts: Mapping[str, float],
    diagnostics: Sequence[Diagnostic],
    noise: Mapping[str, Any],
    samples: Mapping[str, tuple[float, ...]],
    details: Mapping[str, Any] | None = None,
    excluded: tuple[str, ...] = (),
) -> LawFit:
    """The LawFit of what was found, with its provenance."""
    return LawFit(
        form=form.name,
        options={key: list(value) if isinstance(value, tuple) else value for key, value in form.options.items()},
        equation=form.text,
        inputs=form.inputs,
        output=form.output,
        params=dict(params),
        intervals=dict(intervals),
        level=settings.level,
        objective=settings.objective.record(value),
        status=findings.status(diagnostics),
        starts=dict(starts),
        diagnostics=tuple(diagnostics),
        rows=rows.rows,
        excluded=rows.excluded + excluded,
        conventions=rows.conventions,
        cost=rows.cost,
        noise=dict(noise),
        ranges=rows.ranges(),
        samples=dict(samples),
        pinned=dict(settings.pins),
        tied=dict(settings.ties),
        sha256=rows.sha256,
        versions=versions(),
        source=form.source,
        details=dict(details or {}),
    )


def _samples(problem: solver.Problem, again: uncertainty.Resamples) -> dict[str, tuple[float, ...]]:
    held = {*problem.pins}
    natural: dict[str, Floats] = {n: findings.finite(v) for n, v in problem.natural(again.z).items() if n not in held}
    return rounded_samples(natural | {RUN_NOISE: again.run_noise})


def _settings(
    form: LawForm,
    pin: Mapping[str, float] | None,
    tie: Mapping[str, str] | None,
    name: str,
    delta: float,
    space: str | None,
    resamples: int,
    level: float,
    seed: int,
    starts: int,
    method: str,
) -> Settings:
    if form.procedure and not form.takes_pins and (pin or tie):
        raise LawError(f"form {form.name} has no parameters to pin or tie: a procedure of several fits gives them")
    pins = form.checked_pins(pin)
    return Settings(
        objective=objectives.checked(name, delta, space or form.space),
        pins=pins,
        ties=form.checked_ties(tie, pins),
        resamples=resamples,
        level=level,
        seed=seed,
        starts=starts,
        method=method,
    )


def checked_beyond(beyond: tuple[float, float], form: LawForm, space: str) -> tuple[float, float]:
    """`beyond` as floats; LawError where it cannot be, or `form`, whose residuals are in `space`, cannot carry it."""
    if not any(beyond):
        return (0.0, 0.0)
    if len(beyond) != 2 or not all(np.isfinite(one) and one >= 0 for one in beyond):
        raise LawError(f"beyond is {beyond}; give two standard deviations of ln L, each at least 0")
    if not form.carries_beyond(space):
        raise LawError(f"beyond is {beyond}, but form {form.name} is not fitted to ln L by one solve; leave it out")
    return (float(beyond[0]), float(beyond[1]))


def told(beyond: tuple[float, float]) -> dict[str, Any]:
    return {"beyond": list(beyond)} if any(beyond) else {}


def _check(*, resamples: int, level: float, starts: int, method: str) -> None:
    if resamples != 0 and resamples < 20:
        raise LawError(f"resamples is {resamples}; it must be 0 or at least 20")
    if not 0.5 < level < 1:
        raise LawError(f"level is {level}; it must lie between 0.5 and 1")
    if starts < 1:
        raise LawError(f"starts is {starts}; it must be at least 1")
    if method not in uncertainty.METHODS:
        known = ", ".join(uncertainty.METHODS)
        raise LawError(f"method is {method!r}; it is one of {known}{nearest(method, uncertainty.METHODS)}")
