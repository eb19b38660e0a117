"""What can be wrong with a comparison: each finding a code, the number behind it, and what to do."""

import numpy as np

from scaling.laws import diagnostics as findings
from scaling.laws import prediction, solver
from scaling.laws.comparison.arms import Exponents
from scaling.laws.comparison.joint import Joint
from scaling.laws.comparison.pairs import FEWEST, Rows
from scaling.laws.comparison.results import NEVER, NullTest
from scaling.laws.errors import LawError
from scaling.laws.forms import LawForm
from scaling.laws.noise import errors_not_used
from scaling.laws.objective import Objective
from scaling.laws.results import LawFit
from scaling.laws.table import Table
from scaling.laws.values import Diagnostic, Estimate, number

OUTLIER = 6.0
"""Robust standard deviations beyond which a run is named."""
SIGNIFICANT = 0.05


def of_design(
    law: LawForm, rows: Rows, tables: tuple[Table, Table], names: tuple[str, str], exponents: Exponents
) -> list[Diagnostic]:
    """Too few runs, inputs that move together, arms that do not overlap, nothing that pairs up."""
    found = []
    arm = rows.kind < 0
    arm[rows.kind == 0] = rows.on_b[rows.kind == 0] > 0
    parts = [(np.ones(len(arm), dtype=bool), " and ".join(names))]
    if exponents == "separate":
        parts = [(~arm, names[0]), (arm, names[1])]
    for here, name in parts:
        inputs = {column: values[here] for column, values in rows.inputs.items()}
        for column, values in inputs.items():
            if np.ptp(values) <= 1e-9 * max(1.0, abs(values[0])):
                raise LawError(f"{column} is the same in every run of {name}: nothing can be learnt about it")
        alone = solver.Problem(
            law, inputs, np.log(rows.observed[here]), rows.weight[here], Objective("huber", 1.0, "log")
        )
        for item in findings.of_design(law, alone, len(np.unique(rows.group[here]))):
            found.append(Diagnostic(item.code, item.value, f"{name}: {item.message}", item.severity))
    low, high = (max(t.column("flops").min() for t in tables), min(t.column("flops").max() for t in tables))
    if low > high:
        message = (
            f"no budget lies within both arms' runs (a gap of {low / high:.3g} times): the gain rests on the law's "
            "form alone; train both arms at some of the same budgets"
        )
        found.append(Diagnostic("arms_do_not_overlap", float(low / high), message))
    given = next((table.target_se for table in tables if table.target_se is not None), None)
    found += errors_not_used(given, "noise is read from residuals and pairs, the same in every run")
    if rows.pairs == 0:
        message = (
            f"fewer than {FEWEST} runs of {names[0]} and {names[1]} have one N, D and seed, so their noise does not "
            "cancel; the same sizes, tokens and seeds in both arms would narrow the interval"
        )
        found.append(Diagnostic("no_pairs", 0.0, message, "note"))
    return found


def of_solution(found: Joint, names: tuple[str, str]) -> list[Diagnostic]:
    """Parameters at a bound, starts that disagree, and runs far off the law."""
    noted = findings.of_solution(found.problem, found.z, found.params, found.share)
    scale = found.rows.scale(found.correlation) / np.sqrt(found.rows.weight)
    off = np.abs(found.rows.target - found.fitted) / scale
    worst, typical = int(np.argmax(off)), float(np.median(off)) / 0.6745
    if typical > 0 and off[worst] > OUTLIER * typical:
        paired = " or its pair" if found.rows.kind[worst] else ""
        message = (
            f"{found.rows.labels[worst]}{paired} lies {off[worst] / typical:.3g} standard deviations off the law: look "
            "at that run, or take objective='huber'"
        )
        noted.append(Diagnostic("outlier", float(off[worst] / typical), message))
    return noted


def of_tests(tests: tuple[NullTest, ...], exponents: Exponents) -> list[Diagnostic]:
    """Shared exponents that the runs speak against, or separate ones that they do not need."""
    if not tests:
        return []
    p = tests[0].p
    if exponents == "shared" and p < SIGNIFICANT:
        message = (
            f"separate exponents fit better (p = {p:.2g}), so the gain changes with compute: compare with "
            "exponents='separate' too, and trust neither far beyond the runs"
        )
        return [Diagnostic("exponents_differ", p, message)]
    if exponents == "separate" and p >= SIGNIFICANT:
        message = f"shared exponents would do (p = {p:.2g}) and give narrower intervals"
        return [Diagnostic("exponents_may_be_shared", p, message, "note")]
    return []


def of_target(arms: tuple[LawFit, LawFit], at: float, reached: Estimate, names: tuple[str, str]) -> list[Diagnostic]:
    """How far the target lies outside the runs, and gains without an end."""
    noted: dict[str, Diagnostic] = {}
    for fit, name in zip(arms, names, strict=True):
        for item in prediction.extrapolation(fit, {"flops": at}):
            if item.code not in noted or item.value > noted[item.code].value:
                noted[item.code] = Diagnostic(item.code, item.value, f"{name}: {item.message}", item.severity)
    for end, first, second in ((reached.high, *names), (1 / max(reached.low, 1e-300), names[1], names[0])):
        if not end < NEVER:
            message = f"{first} may never reach {second}'s loss at {number(at)} FLOPs: it levels off above it"
            noted[f"{first} never"] = Diagnostic("gain_unbounded", NEVER, message)
    return list(noted.values())
