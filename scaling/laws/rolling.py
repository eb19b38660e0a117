"""A form fitted below several cuts of one table, for what it says of every row: many fits, one compiled program.

Each cut's problem is filled up to the whole table's length with rows of weight 0, so that every cut and the fit of all
rows have one shape; what fills it are copies of the fitted rows, so that nothing of the others enters.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from scaling.laws import fitting, solver
from scaling.laws import objective as objectives
from scaling.laws.candidates import Candidate
from scaling.laws.cuts import Cut
from scaling.laws.errors import LawError
from scaling.laws.forms import Floats
from scaling.laws.table import Table

TOLERANCE = 1e-8
"""Relative gain of the objective, in a step, that counts: scores need no more."""


def rolled(
    one: Candidate, rows: Table, cuts: Sequence[Cut], settings: Mapping[str, Any]
) -> list[tuple[Floats | None, str]]:
    """For each cut (what the fit below it says of every row, or None, and what went wrong or `ok`)."""
    return [_at(one, rows, cut.fits(rows), settings) for cut in cuts]


def _at(
    one: Candidate, rows: Table, keep: np.ndarray[Any, Any], settings: Mapping[str, Any]
) -> tuple[Floats | None, str]:
    fitted = rows.only(keep, "held out")
    try:
        predicted = (
            _by_procedure(one, rows, fitted, settings) if one.law.procedure else _solved(one, rows, fitted, settings)
        )
    except LawError as error:
        return None, str(error)
    bad = ~np.isfinite(predicted) | (predicted <= 0)
    if bad.any():
        return None, f"no value for {int(bad.sum())} of {len(bad)} runs"
    return predicted, "ok"


def _by_procedure(one: Candidate, rows: Table, fitted: Table, settings: Mapping[str, Any]) -> Floats:
    fit = one.fit(fitted, {**settings, "resamples": 0})
    return np.asarray(fit.loss(**{name: rows.column(name) for name in fit.inputs}), dtype=np.float64)


def _solved(one: Candidate, rows: Table, fitted: Table, settings: Mapping[str, Any]) -> Floats:
    told = {**settings, **one.settings}
    law = one.law
    pins = law.checked_pins(told.get("pin"))
    how = fitting.Settings(
        objective=objectives.checked(
            told.get("objective", "huber"), told.get("delta", 1e-3), told.get("space") or law.space
        ),
        pins=pins,
        ties=law.checked_ties(told.get("tie"), pins),
        resamples=0,
        level=0.95,
        seed=told.get("seed", 0),
        starts=told.get("starts", 64),
        method="auto",
    )
    problem = fitting.problem_of(fitted, law, how)
    starts = solver.default_starts(problem, how.starts, how.seed)
    padded = _filled(problem, rows.rows)
    solution = solver.solve(padded, starts, tolerance=TOLERANCE)
    best = int(np.argmin(solution.objective))
    if not np.isfinite(solution.objective[best]):
        raise LawError(f"form {law.name} has no finite value on these rows from any of {how.starts} starts")
    inputs = {name: v if name in law.linear_inputs else np.log(v) for name, v in rows.inputs(law.inputs).items()}
    params = {name: float(value) for name, value in padded.natural(solution.z[best]).items()}
    return np.broadcast_to(law.evaluate(params, inputs), rows.target.shape)


def _filled(problem: solver.Problem, length: int) -> solver.Problem:
    """`problem` with copies of its rows at weight 0 up to `length`: bounds stay, starts and centres nearly."""
    own = len(problem.target)
    place = np.arange(length) % own
    return replace(
        problem,
        inputs={name: values[place] for name, values in problem.inputs.items()},
        target=problem.target[place],
        weights=np.where(np.arange(length) < own, problem.weights[place], 0.0),
    )
