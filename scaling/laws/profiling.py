"""min over the other parameters of sum_i w_i rho(residual_i), as a function of one: what the rows say of it alone.

The interval holds the values whose profiled objective is at most (1 + R) times the least. Least squares on independent
rows: R = F / freedom, F the `level` quantile of F(1, freedom) (Bates and Watts 1988, section 6.1). Elsewhere R is
calibrated: tables are drawn from the fitted law with the measured noise (uncertainty.py), and R is the `level` quantile
of the relative rise that holding the parameter at its fitted value costs in them: an M-estimator's likelihood-ratio
test with its distribution simulated, which holds for Huber, for dependent rows and for given errors. A side on which
the objective never rises above the threshold is open: the rows do not tell the parameter there (Raue et al. 2009).
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from scipy.special import fdtri

from scaling.laws import costs, fitting, solver, uncertainty
from scaling.laws import held as holding
from scaling.laws import noise as noises
from scaling.laws import objective as objectives
from scaling.laws.errors import LawError, nearest
from scaling.laws.forms import Floats, LawForm, form_named
from scaling.laws.table import Table, read
from scaling.laws.values import Diagnostic, Interval, number

Side = Literal["closed", "open"]
CALIBRATIONS = ("auto", "F", "simulated")
OTHER_STARTS = 8
"""Default starts of every grid value, beside the fit's own optimum and its linear continuation."""
NEAR = 9.0
"""Minima are named up to this many times the threshold's rise above the least objective: three interval widths."""
BETTER = 1e-6
"""Relative gain over the fit's objective from which the profile has found a better optimum."""


@dataclass(frozen=True)
class Minimum:
    """A local minimum of the profiled objective."""

    value: float
    objective: float


@dataclass(frozen=True)
class Profile:
    """The profiled objective of one parameter, and what follows from it.

    Attributes:
      parameter: its name.
      estimate: the value with the least objective.
      values, objective: (points,) ascending values, and the least objective with the parameter held there.
      others: every other parameter -> (points,) where that least objective is reached.
      threshold: objective up to which a value belongs to the interval.
      interval: from the lowest to the highest such value.
      low, high: `closed` where the objective rises above the threshold on that side, else `open`; the interval then
        ends at the parameter's bound (such as E = 0) or where it was followed no farther.
      parts: the interval's pieces: more than one where values in between are ruled out.
      minima: local minima, the least first.
      calibration: where the threshold comes from.
      diagnostics: findings, each with a code, a number and advice.
    """

    parameter: str
    estimate: float
    values: Floats
    objective: Floats
    others: dict[str, Floats]
    threshold: float
    interval: Interval
    low: Side
    high: Side
    parts: tuple[Interval, ...]
    minima: tuple[Minimum, ...]
    calibration: str
    diagnostics: tuple[Diagnostic, ...]

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        others = {name: values.tolist() for name, values in self.others.items()}
        return asdict(self) | {"values": self.values.tolist(), "objective": self.objective.tolist(), "others": others}


def profile(
    table: Any,
    form: str = "chinchilla",
    parameter: str = "alpha",
    *,
    columns: Mapping[str, str] | None = None,
    pin: Mapping[str, float] | None = None,
    tie: Mapping[str, str] | None = None,
    objective: str = "huber",
    delta: float = 1e-3,
    space: str | None = None,
    level: float = 0.95,
    points: int = 61,
    calibration: str = "auto",
    resamples: int = 400,
    seed: int = 0,
    cost: costs.Cost | None = None,
    starts: int = 64,
    drop_highest_loss: int = 0,
    **options: Any,
) -> Profile:
    """The profiled objective of `parameter`, all its values in one batched solve, and the interval that it gives.

    Args:
      parameter: one of the form's, neither pinned nor tied.
      points: values of the grid, about half on either side of the fit; a few more mark the interval's ends.
      calibration: of the threshold: `F` quantiles, `simulated` tables, or `auto`: F for least squares on independent
        rows, else simulated.
      resamples: simulated tables.
      (the others): as in `laws.fit`.

    Raises LawError where the table or an argument cannot work.
    """
    law = form_named(form, options)
    if law.procedure:
        raise LawError(f"form {law.name} is a procedure of several fits: it has no single objective to profile")
    pins = law.checked_pins(pin)
    ties = law.checked_ties(tie, pins)
    rule = objectives.checked(objective, delta, space or law.space)
    _check(law, parameter, pins, dict(ties), level, points, calibration, resamples)
    rows = read(table, columns, cost, drop_highest_loss, law)
    settings = fitting.Settings(rule, pins, ties, resamples, level, seed, starts, "noise")
    return of_rows(rows, law, settings, parameter, points, calibration)


def of_rows(
    rows: Table, law: LawForm, settings: fitting.Settings, parameter: str, points: int = 61, calibration: str = "auto"
) -> Profile:
    """The profile of rows that were read already, with settings as a fit's; `settings.method` is not used."""
    problem = fitting.problem_of(rows, law, settings)
    starts = solver.default_starts(problem, settings.starts, settings.seed)
    solution = solver.solve(problem, starts)
    given = uncertainty.errors(problem, rows.target_se)
    if given is not None:
        problem, solution = uncertainty.reweighted(problem, solution, rows.cluster, given)
    best = int(np.argmin(solution.objective))
    if not np.isfinite(solution.objective[best]):
        raise LawError(f"form {law.name} has no finite value on these rows; look for a column in the wrong unit")
    fitted = float(solution.objective[best])
    line = holding.line(problem, solution.z[best], parameter)
    t = line.grid(points)
    z, least = line.follow(t, starts[:OTHER_STARTS])
    rise, calibration = _rise(line, rows.cluster, given, settings, calibration)
    floor = min(fitted, float(least.min()))
    threshold = floor + max(floor * rise, 1e-24)
    t, z, least = line.refined(t, z, least, threshold)
    parts = tuple(Interval(low, high, settings.level) for low, high in line.pieces(t, least, floor, threshold))
    sides: tuple[Side, Side] = (
        "open" if least[0] <= threshold else "closed",
        "open" if least[-1] <= threshold else "closed",
    )
    minima = tuple(Minimum(*one) for one in line.minima(z, least, floor + NEAR * (threshold - floor)))
    params = line.problem.natural(z)
    lowest = min(floor, minima[0].objective)
    found = _findings(parameter, law, parts, sides, minima, (fitted - lowest) / max(lowest, 1e-24))
    return Profile(
        parameter=parameter,
        estimate=minima[0].value,
        values=np.asarray(line.value(t)),
        objective=least,
        others={name: params[name] for name in law.names if name != parameter},
        threshold=threshold,
        interval=Interval(parts[0].low, parts[-1].high, settings.level),
        low=sides[0],
        high=sides[1],
        parts=parts,
        minima=minima,
        calibration=calibration,
        diagnostics=found,
    )


def _rise(
    line: holding.Line,
    cluster: np.ndarray[Any, Any],
    given: noises.Given | None,
    settings: fitting.Settings,
    calibration: str,
) -> tuple[float, str]:
    """(R, where it comes from)."""
    problem = line.problem
    rows, free = len(problem.target), len(problem.free)
    independent = len(np.unique(cluster)) == rows and given is None
    if calibration == "F" or (calibration == "auto" and settings.objective.name == "least_squares" and independent):
        freedom = rows - free
        if freedom < 1:
            raise LawError(f"{rows} rows for {free} free parameters leave nothing to show the noise; train more")
        return float(fdtri(1, freedom, settings.level)) / freedom, f"F(1, {freedom})"
    count = settings.resamples
    generator = np.random.default_rng(settings.seed + 1)
    fitted, noise = uncertainty.measured(problem, line.z, cluster, given)
    target = fitted + uncertainty.drawn(problem, cluster, *noise.draw(count, generator), generator, given)
    starts, held = np.tile(line.z, (2 * count, 1)), np.repeat([line.fitted, np.nan], count)
    solution = line.both(starts, held, np.tile(target, (2, 1)))
    # Once more, free, from where the parameter was held: neither may miss what the other found.
    again = line.both(solution.z[:count], np.full(count, np.nan), target)
    with_it, without = solution.objective[:count], np.minimum(solution.objective[count:], again.objective)
    rises = np.maximum(with_it - without, 0.0) / np.maximum(without, 1e-300)
    return float(np.quantile(rises[np.isfinite(rises)], settings.level)), f"{count} simulated tables"


def _findings(
    name: str,
    law: LawForm,
    parts: tuple[Interval, ...],
    sides: tuple[Side, Side],
    minima: tuple[Minimum, ...],
    gain: float,
) -> tuple[Diagnostic, ...]:
    found = []
    for side, word, end in zip(sides, ("lower", "upper"), (parts[0].low, parts[-1].high), strict=True):
        if side == "open" and law.parameter(name).role == "asymptote" and word == "lower":
            found.append(Diagnostic("profile_open", end, f"{name} may be {number(end)}: nothing rules it out", "note"))
        elif side == "open":
            message = (
                f"{name} has no {word} limit: the rows fit about as well with {name} at {number(end)}. Its value alone "
                "means little; predict near the fitted runs, pin it, or train over a wider range"
            )
            found.append(Diagnostic("profile_open", end, message))
    if len(minima) > 1:
        others = ", ".join(f"{number(one.value)} ({one.objective:.6g})" for one in minima[:4])
        message = f"{name} has {len(minima)} local minima, the least first: {others}; do not trust a single start"
        found.append(Diagnostic("several_minima", len(minima), message))
    if len(parts) > 1:
        pieces = ", ".join(f"{number(part.low)} to {number(part.high)}" for part in parts)
        message = f"{name} lies in one of {len(parts)} pieces: {pieces}; the interval spans them all"
        found.append(Diagnostic("interval_in_pieces", len(parts), message))
    if gain > BETTER:
        message = f"the profile found an objective {gain:.2g} lower than the fit's own starts; fit with more starts"
        found.append(Diagnostic("better_optimum", gain, message))
    return tuple(found)


def _check(
    law: LawForm,
    parameter: str,
    pins: Mapping[str, float],
    ties: Mapping[str, str],
    level: float,
    points: int,
    calibration: str,
    resamples: int,
) -> None:
    law.parameter(parameter)
    if parameter in pins or parameter in ties:
        raise LawError(f"{parameter} is {'pinned' if parameter in pins else 'tied'}: only a free one has a profile")
    if points < 9:
        raise LawError(f"points is {points}; it must be at least 9")
    if resamples < 100:
        raise LawError(f"resamples is {resamples}; a threshold needs at least 100")
    if not 0.5 < level < 1:
        raise LawError(f"level is {level}; it must lie between 0.5 and 1")
    if calibration not in CALIBRATIONS:
        known = ", ".join(CALIBRATIONS)
        raise LawError(f"calibration is {calibration!r}; it is one of {known}{nearest(calibration, CALIBRATIONS)}")
