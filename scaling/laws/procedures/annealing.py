"""Whole loss curves: L = E + A / S1^alpha - C S2 at every logged step (Tissue et al. 2024, arXiv 2408.11029).

The momentum is solved for with the others (momentum.py): from many starts in a window as wide as the curves can tell,
then in a narrow one, exact to rounding; resampled in one between. Stated, it is held.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from scaling.laws import diagnostics as findings
from scaling.laws import influence, intervals, solver, uncertainty
from scaling.laws import noise as noises
from scaling.laws.errors import LawError
from scaling.laws.fitting import SAME_OPTIMUM, Settings, law_fit
from scaling.laws.forms import Floats, LawForm
from scaling.laws.forms.schedule import ANNEALED, FORWARD, REFERENCE, warmup_steps
from scaling.laws.prediction import RUN_NOISE
from scaling.laws.procedures.momentum import PLACE, Curve, Curves, Window, around, curves_of
from scaling.laws.results import LawFit, rounded_samples
from scaling.laws.table import Table
from scaling.laws.values import Diagnostic

NARROW, MIDDLE = 1.0, 2.5
"""Half widths in ln(1 - momentum): the narrow window is exact to 1e-12, the middle one, of the resamples, to 1e-6."""
ROUNDS = 8
PROFILE = 9
"""Points of the profile over the wide window that `details` keeps."""
OPEN = 30.0
"""Factor in 1 / (1 - momentum) between the ends of its interval, from which the momentum is called open."""
CORRELATED = 0.3
"""Correlation of neighbouring rows' residuals from which intervals are called too narrow."""
EXACT = 1e-9
"""Residuals below this are rounding."""


def fit(rows: Table, form: LawForm, settings: Settings) -> LawFit:
    """E, A, alpha, C and, unless it is stated, the momentum."""
    options = dict(form.options)
    stated = options.get("momentum")
    curves = curves_of(rows, str(options.get("warmup", "peak")))
    if not any(np.any(np.diff(run.rates) < 0) for run in curves.runs):
        raise LawError("no run's rate falls: C and the momentum cannot be told; add a run that anneals")
    wide = curves.wide() if stated is None else Window(*2 * [float(np.log1p(-stated))])
    problem = curves.problem(wide, settings.objective)
    solution = solver.solve(problem, solver.default_starts(problem, settings.starts, settings.seed))
    z, value = solution.z[int(np.argmin(solution.objective))], float(np.min(solution.objective))
    if not np.isfinite(value):
        raise LawError(f"no finite value from any of {settings.starts} starts; look for a rate or loss in another unit")
    share = float(np.mean(solution.objective <= value * (1 + SAME_OPTIMUM) + 1e-18))
    window = wide
    if stated is None:
        z, value, problem, window = _narrowed(curves, wide, z, settings)
    momentum = float(window.momentum(z[-1])) if stated is None else float(stated)
    params = _public({name: float(v) for name, v in problem.natural(z).items()}, momentum) | {REFERENCE: momentum}
    again, samples = _resampled(curves, z, momentum, stated is not None, settings)
    between = {
        name: intervals.interval(np.asarray(samples[name]), params[name], settings.level)
        for name in params
        if name in samples
    }
    found = findings.of_design(problem.form, problem, len(curves.runs))
    found += findings.of_solution(replace(problem, pins={PLACE: float(z[-1])}), z, params, share)
    found += influence.of_explained(problem, z)
    found += findings.of_intervals(form, params, between) + _of_momentum(momentum, wide, between)
    found += _of_residuals(problem.target - problem.fitted(z), curves)
    found += noises.errors_not_used(rows.target_se, "noise is read from the residuals of the curves")
    forward, annealed = curves.sums(momentum)
    return law_fit(
        replace(curves.rows, extra=curves.rows.extra | {FORWARD: forward, ANNEALED: annealed}),
        form,
        replace(settings, pins={REFERENCE: momentum} | ({} if stated is None else {"momentum": momentum})),
        params=params,
        intervals=between,
        value=value,
        starts={"total": settings.starts, "share_at_optimum": share},
        diagnostics=found,
        noise=noises.summary(again.noise, len(curves.runs)) | {"resampling": again.method},
        samples=samples,
        details={
            "curves": [_detail(curves.rows, run) for run in curves.runs],
            "profile": _profile(curves, wide, z, momentum, settings) if stated is None else [],
        },
    )


def _narrowed(
    curves: Curves, wide: Window, z: Floats, settings: Settings
) -> tuple[Floats, float, solver.Problem, Window]:
    """(z, objective, problem, window) at the optimum in a narrow window about it."""
    u, window = float(np.log1p(-wide.momentum(z[-1]))), wide
    for _ in range(ROUNDS):
        window = around(u, NARROW)
        problem = curves.problem(window, settings.objective)
        solution = solver.solve(problem, np.append(z[:-1], window.place(u))[None])
        z, value = solution.z[0], float(solution.objective[0])
        u = float(np.log1p(-window.momentum(z[-1])))
        if abs(z[-1]) < 0.9 or not wide.low < u < wide.high:
            break
    return z, value, problem, window


def _public(values: Mapping[str, Any], momentum: Any) -> dict[str, Any]:
    """The solver's parameters as the law's: its C multiplies (1 - momentum) S2."""
    same = {name: values[name] for name in ("E", "A", "alpha")}
    return same | {"C": values["C"] * (1 - momentum), "momentum": momentum}


def _resampled(
    curves: Curves, z: Floats, momentum: float, stated: bool, settings: Settings
) -> tuple[uncertainty.Resamples, dict[str, tuple[float, ...]]]:
    u = float(np.log1p(-momentum))
    window = Window(u, u) if stated else around(u, MIDDLE)
    problem = curves.problem(window, settings.objective)
    again = uncertainty.resample(
        problem,
        np.append(z[:-1], window.place(u)),
        curves.rows.cluster,
        max(settings.resamples, 1),
        settings.seed + 1,
        settings.method,
    )
    if not settings.resamples:
        return again, {}
    found = _public(problem.natural(again.z), momentum if stated else window.momentum(again.z[:, -1]))
    found = {name: values for name, values in found.items() if not (stated and name == "momentum")}
    return again, rounded_samples(found | {RUN_NOISE: again.run_noise})


def _profile(curves: Curves, wide: Window, z: Floats, momentum: float, settings: Settings) -> list[dict[str, float]]:
    """The objective with the momentum held, along the wide window and at the optimum."""
    found = []
    for u in sorted({*np.linspace(wide.low, wide.high, PROFILE).tolist(), float(np.log1p(-momentum))}, reverse=True):
        held = curves.problem(Window(u, u), settings.objective)
        value = float(solver.solve(held, np.append(z[:-1], 0.0)[None]).objective[0])
        # Held far from its own, the momentum may leave the law without a value where the others start.
        if np.isfinite(value):
            found.append({"momentum": float(-np.expm1(u)), "objective": value})
    return found


def _of_momentum(momentum: float, wide: Window, between: Mapping[str, Any]) -> list[Diagnostic]:
    u = float(np.log1p(-momentum))
    if wide.low < wide.high and not wide.low + 0.01 < u < wide.high - 0.01:
        what = "longer than any run" if u < (wide.low + wide.high) / 2 else "shorter than rows are apart"
        message = (
            f"momentum {momentum:.6g} has a memory of 1 / (1 - momentum) = {1 / (1 - momentum):.3g} steps, {what}: the "
            "curves do not tell it. State it, as momentum=0.999, or add runs whose annealing differs in length"
        )
        return [Diagnostic("momentum_at_edge", momentum, message)]
    if "momentum" in between:
        low, high = (1 / (1 - value) for value in (between["momentum"].low, between["momentum"].high))
        if high > OPEN * low:
            message = (
                f"the momentum's memory lies anywhere from {low:.3g} to {high:.3g} steps: the curves do not tell it. "
                "State it, as momentum=0.999, or add runs whose annealing differs in length"
            )
            return [Diagnostic("momentum_open", high / low, message)]
    return []


def _of_residuals(residual: Floats, curves: Curves) -> list[Diagnostic]:
    """Rows of a curve whose noise is shared with their neighbours count for less than the intervals think."""
    product = squares = 0.0
    for curve in curves.runs:
        own = residual[curve.rows] - residual[curve.rows].mean()
        product += float(np.sum(own[1:] * own[:-1]))
        squares += float(np.sum(own**2))
    shared = product / squares if squares > 0 else 0.0
    if shared < CORRELATED or np.sqrt(squares / len(residual)) < EXACT:
        return []
    apart = int(np.ceil(np.log(0.1) / np.log(shared))) if shared < 0.999 else len(residual)
    message = (
        f"neighbouring rows' residuals correlate by {shared:.2g}: intervals are too narrow by a factor of about "
        f"{np.sqrt((1 + shared) / max(1 - shared, 1e-3)):.2g}; fit every {apart}th row, or smooth the losses over it"
    )
    return [Diagnostic("residuals_correlated", shared, message)]


def _detail(rows: Table, curve: Curve) -> dict[str, Any]:
    return {
        "first_row": rows.labels[int(curve.rows[0])],
        "rows": len(curve.rows),
        "steps": len(curve.rates),
        "warmup_steps": warmup_steps(curve.rates),
        "peak_rate": float(curve.rates.max()),
        "last_rate": float(curve.rates[-1]),
    }
