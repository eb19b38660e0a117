"""Approach 2 (Hoffmann et al. 2022, section 3.2): a parabola of ln L in ln N for each budget, then power laws in C.

ln L = a (ln N)^2 + b ln N + c for each budget; N*(C) = exp(-b / 2a), D*(C) = C / flops_per_token(N*), L*(C) at the
minimum; then straight lines of ln N*, ln D* and ln L* in ln C by least squares. Intervals: losses drawn anew from the
parabolas with the measured noise, everything fitted again. Plain NumPy.
"""

from dataclasses import replace
from typing import Any

import numpy as np

from scaling.laws import costs, intervals, outliers
from scaling.laws import noise as noises
from scaling.laws.errors import LawError
from scaling.laws.fitting import Settings, law_fit
from scaling.laws.forms import Floats, LawForm
from scaling.laws.forms.frontier import LINES, REFERENCE
from scaling.laws.objective import Objective
from scaling.laws.prediction import RUN_NOISE
from scaling.laws.procedures import off_centre
from scaling.laws.procedures.budget_details import SIZES, detail, findings, unused
from scaling.laws.results import LawFit, rounded_samples
from scaling.laws.table import Table

SAME_BUDGET = 0.15
"""Runs whose ln C differ by less from their neighbour belong to one budget, where the table names none."""
WIDEST_BUDGET = 0.5
LEAST_SQUARES = Objective("least_squares", 1.0, "log")
ROUNDS = 3
"""Fits until the weights that the run-to-run variance makes of given standard errors have settled."""
FARTHEST = np.log(4.0)
"""A minimum is believed within this factor of its budget's sizes: one that is almost flat would put it anywhere."""


def fit(rows: Table, form: LawForm, settings: Settings) -> LawFit:
    """N* = N_coefficient x^N_exponent and likewise D* and L*, with x = C / reference_flops."""
    inputs = rows.inputs(("params", "flops"))
    log_n, log_l = np.log(inputs["params"]), np.log(rows.target)
    groups = budgets(rows)
    used = [group for group in groups if len(np.unique(np.round(log_n[group], 6))) >= SIZES]
    if len(used) < 2:
        raise LawError(
            f"approach 2 needs at least 2 budgets of {SIZES} sizes or more; this table has {len(used)} "
            f"(of {len(groups)} budgets)"
        )
    log_c = np.array([np.mean(np.log(inputs["flops"][group])) for group in used])
    centres = np.array([log_n[group].mean() for group in used])
    shapes, curves, measured = _fitted(rows, used, centres, rows.weight)
    variance = _variance(rows)
    if variance is not None:
        for _ in range(ROUNDS):
            weight = rows.weight * measured.weights(variance)
            shapes, curves, measured = _fitted(rows, used, centres, weight, variance)
    minima = _minima(curves, centres, log_c, rows)
    if np.isfinite(minima["N"]).sum() < 2:
        raise LawError("fewer than 2 budgets have a parabola that opens upwards: there is no optimum to follow")
    params = _lines(minima, log_c) | {REFERENCE: float(np.exp(log_c.mean()))}
    samples = _resampled(rows, used, curves, centres, log_c, shapes, measured, settings.resamples, settings.seed)
    between = {
        name: intervals.interval(np.asarray(samples[name]), params[name], settings.level)
        for name in params
        if name in samples
    }
    details = [
        detail(
            rows, group, curve, centre, {name: float(values[index]) for name, values in minima.items()}, log_c[index]
        )
        for index, (group, curve, centre) in enumerate(zip(used, curves, centres, strict=True))
    ]
    order = np.concatenate(used)
    residual = log_l[order] - _curve(rows, used, curves, centres)
    found = findings(details, len(groups) - len(used))
    robust = np.stack([_robust(log_n[group], log_l[group], rows.weight[group]) for group in used])
    off = log_l[order] - _curve(rows, used, robust, centres)
    found += outliers.of_residuals(rows, order, off, 3 * len(used), "its budget's parabola")
    found += off_centre.findings(
        rows,
        used,
        log_c,
        residual,
        lambda log_l: _minima(
            np.stack([shape @ log_l[group] for shape, group in zip(shapes, used, strict=True)]), centres, log_c, rows
        ),
        lambda minima: _lines(dict(minima), log_c),
        between.get("N_exponent"),
    )
    return law_fit(
        rows,
        form,
        replace(settings, objective=LEAST_SQUARES, pins={REFERENCE: params[REFERENCE]}),
        params=params,
        intervals=between,
        value=float(np.sum(rows.weight[order] * residual**2)),
        starts={"total": 1, "share_at_optimum": 1.0},
        diagnostics=found,
        noise=noises.summary(measured, len(np.unique(rows.cluster[order]))) | {"resampling": "noise"},
        samples=samples,
        details={"budgets": details},
        excluded=unused(rows, groups, used),
    )


def budgets(rows: Table) -> list[np.ndarray[Any, Any]]:
    """Row numbers of each budget, ascending: by column `budget`, else runs of neighbouring C."""
    flops = rows.inputs(("flops",))["flops"]
    if rows.budget is not None:
        return [np.flatnonzero(rows.budget == value) for value in np.unique(rows.budget)]
    order = np.argsort(flops, kind="stable")
    log_c = np.log(flops[order])
    groups = np.split(order, np.flatnonzero(np.diff(log_c) > SAME_BUDGET) + 1)
    widest = max(np.ptp(np.log(flops[group])) for group in groups)
    if widest > WIDEST_BUDGET:
        raise LawError(
            f"flops do not fall into budgets (one would span a factor of {np.exp(widest):.2g}); "
            "give the nominal budgets, as columns={'budget': ...}, or fit form chinchilla"
        )
    return groups


def _basis(log_n: Floats, weight: Floats) -> Floats:
    """(3, rows): what takes ln L to the coefficients (a, b, c) in centred ln N, by weighted least squares."""
    x = log_n - log_n.mean()
    scale = np.sqrt(weight)
    return np.linalg.pinv(np.stack([x**2, x, np.ones_like(x)], axis=1) * scale[:, None]) * scale


def _robust(log_n: Floats, log_l: Floats, weight: Floats) -> Floats:
    """(a, b, c) by least absolute deviations: a run far off does not bend it."""
    x = log_n - log_n.mean()
    return outliers.least_absolute(np.stack([x**2, x, np.ones_like(x)], axis=1), log_l, np.sqrt(weight))


def _parabola(curve: Floats, x: Floats) -> Floats:
    return curve[..., 0:1] * x**2 + curve[..., 1:2] * x + curve[..., 2:3]


def _minima(curves: Floats, centres: Floats, log_c: Floats, rows: Table) -> dict[str, Floats]:
    """ln N*, ln D*, ln L* (..., budgets); NaN inside this module where a parabola opens downwards."""
    a, b, c = curves[..., 0], curves[..., 1], curves[..., 2]
    opens = np.where(a > 0, a, np.nan)
    away = np.clip(-b / (2 * opens), -FARTHEST, FARTHEST)
    log_n = centres + away
    return {
        "N": log_n,
        "D": log_c - costs.log_flops_per_token(rows.cost, log_n),
        "L": opens * away**2 + b * away + c,
    }


def _lines(minima: dict[str, Floats], log_c: Floats) -> dict[str, Any]:
    """Coefficient, at the mean ln C, and exponent of each power law; NaN where fewer than 2 budgets are left."""
    params: dict[str, Any] = {}
    use = np.isfinite(minima["N"])
    count = use.sum(axis=-1)
    mean_c = np.where(use, log_c, 0.0).sum(axis=-1) / np.maximum(count, 1)
    away = np.where(use, log_c - mean_c[..., None], 0.0)
    spread = np.where(count >= 2, (away**2).sum(axis=-1), np.nan)
    for name in LINES:
        y = np.where(use, minima[name], 0.0)
        slope = (away * y).sum(axis=-1) / spread
        level = y.sum(axis=-1) / np.maximum(count, 1) + slope * (log_c.mean() - mean_c)
        params |= {f"{name}_coefficient": np.exp(level), f"{name}_exponent": slope}
    return {name: float(value) if value.ndim == 0 else value for name, value in params.items()}


def _fitted(
    rows: Table, used: list[np.ndarray[Any, Any]], centres: Floats, weight: Floats, variance: Floats | None = None
) -> tuple[list[Floats], Floats, noises.Noise]:
    """(what takes ln L to coefficients, the coefficients (budgets, 3), the noise about the parabolas)."""
    log_n, log_l = np.log(rows.params), np.log(rows.target)
    shapes = [_basis(log_n[group], weight[group]) for group in used]
    curves = np.stack([shape @ log_l[group] for shape, group in zip(shapes, used, strict=True)])
    order = np.concatenate(used)
    jacobian = np.zeros((len(order), 3 * len(used)))
    for index, (span, group) in enumerate(zip(_spans(used), used, strict=True)):
        x = log_n[group] - centres[index]
        jacobian[span, 3 * index : 3 * index + 3] = np.stack([x**2, x, np.ones_like(x)], axis=1)
    residual = log_l[order] - _curve(rows, used, curves, centres)
    cells = np.log(np.stack([rows.params[order], rows.flops[order]], axis=1))
    given = None if variance is None else variance[order]
    measured = noises.estimate(residual, jacobian, rows.cluster[order], rows.weight[order], cells, given)
    return shapes, curves, measured


def _variance(rows: Table) -> Floats | None:
    """Of ln L by measurement, where the table gives it."""
    return None if rows.target_se is None else (rows.target_se / rows.target) ** 2


def _curve(rows: Table, used: list[np.ndarray[Any, Any]], curves: Floats, centres: Floats) -> Floats:
    """ln L of the parabolas at the runs, budget after budget."""
    log_n = np.log(rows.params)
    return np.concatenate([_parabola(c, log_n[g] - m) for c, g, m in zip(curves, used, centres, strict=True)])


def _spans(used: list[np.ndarray[Any, Any]]) -> list[slice]:
    """Where each budget's runs lie once they are put one after another."""
    ends = np.cumsum([len(group) for group in used])
    return [slice(end - len(group), end) for end, group in zip(ends, used, strict=True)]


def _resampled(
    rows: Table,
    used: list[np.ndarray[Any, Any]],
    curves: Floats,
    centres: Floats,
    log_c: Floats,
    shapes: list[Floats],
    measured: noises.Noise,
    count: int,
    seed: int,
) -> dict[str, tuple[float, ...]]:
    if count == 0:
        return {}
    order = np.concatenate(used)
    generator = np.random.default_rng(seed + 1)
    common, row = measured.draw(count, generator)
    variance = _variance(rows)
    given = None if variance is None else variance[order]
    noise = noises.simulate(rows.cluster[order], rows.weight[order], common, row, generator, given)
    drawn = _curve(rows, used, curves, centres) + noise
    refitted = np.stack([drawn[:, span] @ shape.T for span, shape in zip(_spans(used), shapes, strict=True)], axis=1)
    lines = _lines(_minima(refitted, centres, log_c, rows), log_c)
    good = np.isfinite(lines["N_exponent"])
    new = np.hypot(np.hypot(common, row), measured.evaluation)
    return rounded_samples({name: values[good] for name, values in lines.items()} | {RUN_NOISE: new[good]})
