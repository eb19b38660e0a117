"""Is arm b better than arm a, by how much compute, and how sure: both fitted jointly, pairs used, gain and tests."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from scaling.laws import costs, fitting, intervals
from scaling.laws import diagnostics as findings
from scaling.laws import objective as objectives
from scaling.laws.comparison import advice, arms, gain, joint, pairs
from scaling.laws.comparison import noise as noises
from scaling.laws.comparison.results import Comparison, NullTest
from scaling.laws.errors import LawError, nearest
from scaling.laws.forms import Floats, LawForm, form_named
from scaling.laws.prediction import RUN_NOISE
from scaling.laws.results import LawFit, rounded_samples
from scaling.laws.table import Table, read
from scaling.laws.values import Diagnostic, Estimate, Interval

METHODS = ("auto", "noise", "pairs")
FEWEST_DRAWS = 19
"""Simulated tables from which a test can reach p = 0.05."""
NAMES = ("A", "B")
WIDTH = 1e-5
"""Step of the gain's derivative in solver coordinates."""


def compare(
    a: Any,
    b: Any,
    *,
    at: float = 1e21,
    names: tuple[str, str] | None = None,
    columns: Mapping[str, str] | None = None,
    exponents: str = "shared",
    form: str = "chinchilla",
    pair: bool = True,
    draws: int = 199,
    objective: str = "least_squares",
    delta: float = 1e-2,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
    cost: costs.Cost | None = None,
    cost_b: costs.Cost | None = None,
    starts: int = 64,
    drop_highest_loss: int = 0,
    method: str = "auto",
    beyond: tuple[float, float] = (0.0, 0.0),
    beyond_b: tuple[float, float] | None = None,
    **options: Any,
) -> Comparison:
    """Arm b against arm a: L_b(N, D) = L_a(m_N N, m_D D), or a law of its own for each.

    Args:
      a, b: tables as laws.fit takes them: dataframe, mapping of columns, path, or Table.
      at: target compute C, in FLOPs.
      names: of the arms; file names where they are paths, else A and B.
      columns: params, tokens, flops, loss, seed, ... -> the tables' own column names.
      exponents: `shared`: arm b is arm a with other effective N and D. `separate`: nothing is common.
      form: of either arm: a law of the loss in N and D.
      pair: whether runs of one N, D and seed are taken as pairs.
      draws: simulated tables behind each test; 0 for no tests.
      objective: least_squares, huber (threshold `delta`) or absolute, on residuals of ln L in units of one run's.
      resamples: behind every interval.
      level: of every interval.
      seed: of starts, resamples and simulations.
      cost: training FLOPs per token as a function of N; each table's own, else 6 N. Of both arms, unless `cost_b` is
        arm b's.
      starts: starting points.
      drop_highest_loss: rows with the highest loss to leave out of each arm.
      method: of resampling: auto, noise or pairs (uncertainty.py).
      beyond: errors that residuals do not show, as laws.fit takes them: such as by settings that are not the best.
        They widen every interval and test. Of both arms, unless `beyond_b` is arm b's.
      options: of the form.

    Raises LawError where a table or an argument cannot work; what speaks against trusting the answer is in `status`.
    """
    chosen = arms.checked_exponents(exponents)
    law = arms.checked(form_named(form, options))
    _check(at=at, resamples=resamples, draws=draws, method=method, level=level, starts=starts)
    # Targets are logarithms of the loss already, so the solver takes plain differences of them.
    goal = objectives.checked(objective, delta, "linear")
    apart = tuple(fitting.checked_beyond(one, law, "log") for one in (beyond, beyond if beyond_b is None else beyond_b))
    errors = (apart[0], apart[1])
    called = _names(a, b) if names is None else names
    costs_of = (cost, cost if cost_b is None else cost_b)
    tables = (
        read(a, columns, costs_of[0], drop_highest_loss, law),
        read(b, columns, costs_of[1], drop_highest_loss, law),
    )
    pairs.same_conventions(tables, called)
    seeds = (pairs.seeds(a, columns, tables[0]), pairs.seeds(b, columns, tables[1]))
    rows = pairs.rows_of(tables, law, called, seeds, pair)
    noted = advice.of_design(law, rows, tables, called, chosen)

    found = joint.fit(rows, arms.joint(law, chosen), goal, starts, seed)
    samples, run_noise, used = joint.resampled(found, resamples, seed + 1, method, errors)
    between = {name: intervals.interval(values, found.params[name], level) for name, values in samples.items()}
    noted += advice.of_solution(found, called)
    noted += findings.of_intervals(found.problem.form, found.params, between)
    tests = _tests(found, law, chosen, goal, starts, seed, draws, errors) if draws else ()
    noted += advice.of_tests(tests, chosen)

    settings = fitting.Settings(
        objective=objectives.checked(objective, delta, "log"),
        pins={},
        ties=(),
        resamples=resamples,
        level=level,
        seed=seed,
        starts=starts,
        method=method,
    )
    noise = noises.summary(found.noise, rows, found.correlation, level, used)

    def fitted(arm: int, noted: list[Diagnostic]) -> LawFit:
        runs, told = np.hypot(run_noise, np.hypot(*errors[arm])), noise | fitting.told(errors[arm])
        return _arm_fit(tables[arm], law, settings, found, arm, samples, between, runs, told, noted)

    both = (fitted(0, noted), fitted(1, noted))
    reached, sampled = gain.at(both, at)
    noted += advice.of_target(both, at, reached, called)
    error, freedom = _spread(found, law, both, at, seed, errors)
    rho = Estimate(found.correlation, *found.noise.interval(level), level) if rows.pairs else None
    return Comparison(
        names=called,
        at=float(at),
        exponents=chosen,
        gain=reached,
        better=gain.better(sampled, float(np.log(reached.value)), level),
        gains=tuple((flops, gain.at(both, flops)[0]) for flops in _budgets(tables)),
        trend=gain.trend(both, at),
        multipliers={
            name: Estimate(found.params[own], between[own].low, between[own].high, level)
            for name, own in arms.MULTIPLIERS.items()
            if own in between
        },
        crossings=gain.crossings(both, at),
        tests=tests,
        a=both[0],
        b=both[1],
        runs=(tables[0].rows, tables[1].rows),
        pairs=rows.pairs,
        correlation=rho,
        standard_error=error,
        freedom=freedom,
        status=findings.status(noted),
        diagnostics=tuple(noted),
    )


def _tests(
    found: joint.Joint,
    law: LawForm,
    chosen: arms.Exponents,
    goal: objectives.Objective,
    starts: int,
    seed: int,
    draws: int,
    beyond: pairs.Beyond,
) -> tuple[NullTest, ...]:
    """Shared exponents against separate ones, and, where they are shared, one law against two multipliers."""
    rows, rho = found.rows, found.correlation
    other = "separate" if chosen == "shared" else "shared"
    beside = joint.fit(rows, arms.joint(law, arms.checked_exponents(other)), goal, starts, seed, correlation=rho)
    common, wider = (found, beside) if chosen == "shared" else (beside, found)
    cases = [("exponents and asymptote are shared", common, wider)]
    if chosen == "shared":
        alike = joint.fit(
            rows,
            common.problem.form,
            goal,
            starts,
            seed,
            correlation=rho,
            pins=dict.fromkeys(arms.MULTIPLIERS.values(), 1.0),
        )
        cases.append(("both arms are one law", alike, common))
    answers = []
    for number, (null, narrow, wide) in enumerate(cases):
        statistic, drawn = joint.null_ratios(narrow, wide, draws, seed + 2 + number, beyond)
        p = (1 + int(np.sum(drawn >= statistic))) / (draws + 1)
        more = len(wide.problem.free) - len(narrow.problem.free)
        answers.append(NullTest(null, float(statistic), p, more, draws))
    return tuple(answers)


def _arm_fit(
    table: Table,
    law: LawForm,
    settings: fitting.Settings,
    found: joint.Joint,
    arm: int,
    samples: Mapping[str, Floats],
    between: Mapping[str, Interval],
    run_noise: Floats,
    noise: Mapping[str, Any],
    noted: list[Diagnostic],
) -> LawFit:
    """One arm's own law, which predicts and allocates alone."""
    params = arms.of_arm(law, found.params, arm)
    own = arms.rescaled_of(law) if "m_N" in params else law
    drawn = rounded_samples({**arms.of_arm(law, samples, arm), RUN_NOISE: run_noise}, limit=len(run_noise))
    return fitting.law_fit(
        table,
        own,
        settings,
        params=params,
        intervals=arms.of_arm(law, between, arm),
        value=found.value,
        starts={"total": settings.starts, "share_at_optimum": found.share},
        diagnostics=noted,
        noise=noise,
        samples=drawn,
    )


def _spread(
    found: joint.Joint, law: LawForm, both: tuple[LawFit, LawFit], at: float, seed: int, beyond: pairs.Beyond
) -> tuple[float, float]:
    """(standard error, freedom) of ln G by the delta method; infinite where G is."""
    inside = found.inside
    moves = WIDTH * np.eye(len(found.z))[inside]
    points = np.concatenate([found.z + moves, found.z - moves])
    params = found.problem.natural(points)
    values = gain.log_gain(both, (arms.of_arm(law, params, 0), arms.of_arm(law, params, 1)), at)
    if not np.all(np.isfinite(values)):
        return float("inf"), float(found.noise.noise.freedom)
    gradient = (values[: len(inside)] - values[len(inside) :]) / (2 * WIDTH)
    return found.spread(gradient, seed, beyond)


def _budgets(tables: tuple[Table, Table]) -> list[float]:
    """The lowest, middle and highest compute of all runs."""
    flops = np.concatenate([table.column("flops") for table in tables])
    return [float(value) for value in np.geomspace(flops.min(), flops.max(), 3)]


def _names(a: Any, b: Any) -> tuple[str, str]:
    if isinstance(a, str | Path) and isinstance(b, str | Path):
        found = (Path(a).stem, Path(b).stem)
        if found[0] != found[1]:
            return found
    return NAMES


def _check(*, at: float, resamples: int, draws: int, method: str, level: float, starts: int) -> None:
    if not 0 < at < np.inf:
        raise LawError(f"at is {at}; it must be a positive number of FLOPs")
    if resamples < 20:
        raise LawError(f"resamples is {resamples}; it must be at least 20")
    if draws != 0 and draws < FEWEST_DRAWS:
        raise LawError(f"draws is {draws}; it must be 0 (no tests) or at least {FEWEST_DRAWS}")
    if method not in METHODS:
        raise LawError(f"method is {method!r}; it is one of {', '.join(METHODS)}{nearest(method, METHODS)}")
    if not 0.5 < level < 1:
        raise LawError(f"level is {level}; it must lie between 0.5 and 1")
    if starts < 1:
        raise LawError(f"starts is {starts}; it must be at least 1")
