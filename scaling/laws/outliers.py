"""Runs far off the law, by name, with what the law would be without them. None is left out."""

from dataclasses import replace
from typing import Any

import numpy as np
from scipy import sparse, stats
from scipy.optimize import linprog

from scaling.laws import solver
from scaling.laws.forms import Floats
from scaling.laws.objective import Objective
from scaling.laws.table import Table
from scaling.laws.values import Diagnostic, number

LEAST_FAR = 6.0
"""Robust standard deviations within which no run is named: heavy tails go as far."""
CHANCE = 1e-3
"""Chance that normal noise names a run of a table."""
EFFICIENCY = 0.37
"""Of the median absolute residual as a measure of their scale: so many degrees of freedom for each residual."""
FEWEST = 4
"""Residuals beyond the parameters below which nothing is far."""
LEAST_SHARE = 1e-3
"""Of the output's standard deviation, within which a residual is no matter."""
ROBUST = 0.1
"""Of the typical residual, Huber's threshold of the law that runs are held against."""
NAMED = 3
"""The worst runs, named one by one."""


def far_off(residual: Floats, fitted: int) -> tuple[np.ndarray[Any, Any], Floats]:
    """(places of those far off, the farthest first; all (rows,) in robust standard deviations).

    A fit of p parameters makes p residuals small, exactly 0 under least absolute deviations: the scale is read off the
    others.
    """
    size = np.abs(residual)
    spare = len(size) - fitted
    if spare < FEWEST:
        return np.array([], dtype=int), np.zeros(len(size))
    typical = float(np.median(np.sort(size)[fitted:])) / stats.norm.ppf(0.75)
    away = size / max(typical, 1e-300)
    freedom = max(EFFICIENCY * spare, 1.0)
    far = max(LEAST_FAR, float(stats.t.ppf(1 - CHANCE / (2 * len(size)), freedom)))
    order = np.argsort(-away, kind="stable")
    return order[away[order] > far], away


def of_fit(problem: solver.Problem, z: Floats, labels: tuple[str, ...]) -> list[Diagnostic]:
    """A warning for each of the worst runs far off the law at `z` (parameters,)."""
    fitted = problem.fitted(_unmoved(problem, z)[None])[0]
    residual = problem.target - fitted
    far, away = far_off(residual * np.sqrt(problem.weights), len(problem.free))
    far = far[np.abs(residual[far]) > LEAST_SHARE * np.std(problem.target)]
    if len(far) == 0:
        return []
    named = far[:NAMED]
    weights = np.repeat(problem.weights[None], len(named), axis=0)
    weights[np.arange(len(named)), named] = 0.0
    starts = np.broadcast_to(z, (len(named), len(z)))
    without = solver.solve(problem, starts, weights=weights, tolerance=solver.RESAMPLE_TOLERANCE).z
    found = []
    for place, row in enumerate(named):
        more = f" ({len(far) - len(named)} more are as far)" if place == 0 and len(far) > len(named) else ""
        off = said(problem.form.output, problem.objective.space, problem.target[row], fitted[row])
        message = (
            f"{labels[row]} ({_inputs(problem, row)}): {off}, {away[row]:.3g} robust standard deviations{more}; "
            f"{_without(problem, z, without[place])}. Look at that run: it diverged, or a number is wrong? It was not "
            "left out"
        )
        found.append(Diagnostic("outlier", float(away[row]), message))
    return found


def _unmoved(problem: solver.Problem, z: Floats) -> Floats:
    """The law that runs far off hardly move: least squares hides them behind the residuals that they give others."""
    typical = float(np.median(np.abs(problem.target - problem.fitted(z[None])[0])))
    if problem.objective.name == "absolute" or problem.objective.threshold <= ROBUST * typical or typical == 0:
        return z
    robust = replace(problem, objective=Objective("huber", ROBUST * typical, problem.objective.space))
    return solver.solve(robust, z[None], tolerance=solver.RESAMPLE_TOLERANCE).z[0]


def least_absolute(design: Floats, y: Floats, weight: Floats) -> Floats:
    """Coefficients (k,) with the least sum of weight |y - design x|, by linear programming: (rows, k), (rows,)."""
    rows, size = design.shape
    cost = np.concatenate([np.zeros(size), weight, weight])
    equal = sparse.hstack([sparse.csr_array(design), sparse.eye_array(rows), -sparse.eye_array(rows)])
    free = [(None, None)] * size + [(0, None)] * (2 * rows)
    return np.asarray(linprog(cost, A_eq=equal, b_eq=y, bounds=free).x[:size])


def of_residuals(
    rows: Table, order: np.ndarray[Any, Any], residual: Floats, fitted: int, around: str
) -> list[Diagnostic]:
    """The same for residuals of ln L (rows `order`,) about something else, such as parabolas of `fitted` parameters."""
    far, away = far_off(residual * np.sqrt(rows.weight[order]), fitted)
    far = far[np.abs(residual[far]) > LEAST_SHARE * np.std(np.log(rows.target[order]))]
    found = []
    for place in far[:NAMED]:
        row, off = order[place], np.expm1(residual[place])
        message = (
            f"{rows.labels[row]} (params {number(float(rows.params[row]))}, flops {number(float(rows.flops[row]))}): "
            f"{abs(off):.1%} {'above' if off > 0 else 'below'} {around}, {away[place]:.3g} robust standard deviations. "
            "Look at that run: it diverged, or a number is wrong? It was not left out"
        )
        found.append(Diagnostic("outlier", float(away[place]), message))
    return found


def _inputs(problem: solver.Problem, row: int) -> str:
    linear = problem.form.linear_inputs
    values = {name: float(one[row] if name in linear else np.exp(one[row])) for name, one in problem.inputs.items()}
    return ", ".join(f"{name} {number(value)}" for name, value in values.items())


def said(output: str, space: str, target: float, fitted: float) -> str:
    """'its loss 3.2 is 12% above the law' of values in the unit of the residuals."""
    side = "above" if target > fitted else "below"
    if space == "log":
        return f"its {output} {number(float(np.exp(target)))} is {abs(np.expm1(target - fitted)):.1%} {side} the law"
    return f"its {output} {number(float(target))} is {number(abs(target - fitted))} {side} the law"


def _without(problem: solver.Problem, z: Floats, other: Floats) -> str:
    """The parameter that the run moves most, with and without it."""
    roles = {parameter.name: parameter.role for parameter in problem.form.parameters if parameter.name in problem.free}
    names = [name for name, role in roles.items() if role in ("exponent", "asymptote")] or list(roles)
    values, others = problem.natural(z), problem.natural(other)
    change = {name: abs(float(others[name] - values[name])) / max(abs(float(values[name])), 1e-3) for name in names}
    most = max(change, key=lambda name: change[name])
    return f"without it {most} is {number(float(others[most]))} instead of {number(float(values[most]))}"
