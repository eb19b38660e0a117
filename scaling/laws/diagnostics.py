"""What can be wrong with a fit: each finding a code, the number behind it, and what to do. No JAX."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from scaling.laws.forms import Floats, LawForm, Parameter
from scaling.laws.forms.inputs import symbol
from scaling.laws.values import Diagnostic, Interval

if TYPE_CHECKING:
    from scaling.laws.solver import Problem

FEW_STARTS = 0.05
"""Below this share of starts at the optimum, a better one may exist."""
SAME_FIT = 3.84
"""An objective within this over the rows, relatively, of the best is as good at 95%: the likelihood ratio of one
parameter, chi-squared of one degree of freedom."""
APART = 2.0
"""Factor between equally good values from which they are different answers."""
LEAST = 1e-3
"""Values below it count as it."""
SMALLEST, LARGEST = 1e-150, 1e150
"""Values beyond them count as these: a scale far from the data may lie anywhere."""
FIXED_RATIO = 0.1
"""Spread (standard deviation) of ln(D/N) about its trend in ln N below which alpha and beta are one number."""


def finite(values: Floats) -> Floats:
    """Parameters within LARGEST of 0: what is measured far from the data may overflow there."""
    return np.clip(values, -LARGEST, LARGEST)


def of_solution(problem: "Problem", z: Floats, params: Mapping[str, float], share: float) -> list[Diagnostic]:
    """Parameters at a bound, and starts that disagree."""
    found = []
    lower, upper = problem.bounds
    for index, parameter in enumerate(problem.form.parameters):
        name = parameter.name
        if name not in problem.free:
            continue
        room = 1e-6 * (upper[index] - lower[index])
        at_low, at_high = z[index] - lower[index] <= room, upper[index] - z[index] <= room
        if not (at_low or at_high):
            continue
        if parameter.edge:
            message = f"{name} is at its bound {params[name]:g}: {parameter.edge}"
            found.append(Diagnostic("parameter_at_bound", params[name], message))
        elif parameter.role == "asymptote" and at_low:
            message = (
                f"{name} is at 0: the runs do not show where the {problem.form.output} levels off; long extrapolations "
                f"are not to be trusted. Pin {name} at a known entropy, or train over a wider range"
            )
            found.append(Diagnostic("parameter_at_bound", params[name], message))
        else:
            message = f"{name} is at its bound {params[name]:g}: the law does not describe these runs; check the table"
            found.append(Diagnostic("parameter_at_bound", params[name], message, "error"))
    if share < FEW_STARTS:
        message = f"only {share:.0%} of the starts reached the best optimum; fit again with more starts"
        found.append(Diagnostic("few_starts_agree", share, message))
    return found


def of_optima(problem: "Problem", z: Floats, objective: Floats) -> list[Diagnostic]:
    """Starts (batch, parameters) that end far apart though the data cannot tell their objectives (batch,) apart."""
    best = float(np.min(objective))
    near = objective <= best * (1 + SAME_FIT / len(problem.target))
    ends = problem.natural(z[near])
    found = []
    for parameter in problem.form.parameters:
        if parameter.name in problem.free and _is_told_by_ratio(parameter):
            low, high = (
                float(one) for one in finite(np.array([ends[parameter.name].min(), ends[parameter.name].max()]))
            )
            if high > APART * max(low, SMALLEST):
                worse = np.max(objective[near]) / max(best, 1e-300) - 1
                message = (
                    f"the fit is as good with {parameter.name} at {low:.3g} as at {high:.3g} (objectives within "
                    f"{worse:.1%} of the best): no value of it is the right one"
                )
                found.append(Diagnostic("several_optima", high / max(low, SMALLEST), message))
    return found


def _is_told_by_ratio(parameter: Parameter) -> bool:
    """Whether twice the value is twice as much of something: a coefficient is measured far from the data, at 1."""
    return parameter.role == "exponent" or (parameter.positive and parameter.role in ("scale", "shape"))


def of_design(form: LawForm, problem: "Problem", clusters: int) -> list[Diagnostic]:
    """Too few runs, inputs that move together, an output that does not fall."""
    found = []
    inputs, target, free = problem.inputs, problem.target, len(problem.free)
    rows = len(target)
    distinct = len(np.unique(np.round(np.stack(list(inputs.values()), axis=1), 6), axis=0))
    if distinct < free or rows <= free:
        message = f"{distinct} different runs for {free} free parameters: any law fits; train more, or pin parameters"
        found.append(Diagnostic("too_few_runs", distinct, message, "error"))
    elif rows < free + 3:
        message = f"{rows} rows for {free} free parameters leave {rows - free} to show the noise; train more"
        found.append(Diagnostic("too_few_runs", rows, message))
    if clusters < free and distinct >= free:
        message = f"{clusters} trajectories for {free} free parameters: noise between trajectories is poorly known"
        found.append(Diagnostic("too_few_trajectories", clusters, message))
    if {"params", "tokens"} <= set(form.inputs):
        size, data = inputs["params"], inputs["tokens"]
        spread = float(np.std(data - np.polyval(np.polyfit(size, data, 1), size)))
        if spread < FIXED_RATIO:
            message = (
                f"D follows N (ln D scatters {spread:.2g} about its trend): alpha and beta cannot be told apart. "
                "Train some sizes on fewer and on more tokens"
            )
            found.append(Diagnostic("tokens_follow_params", spread, message, "error"))
            return found
    ratio = float(np.std(inputs["tokens_per_param"])) if "tokens_per_param" in inputs else np.inf
    if ratio < FIXED_RATIO:
        message = (
            f"D / N is next to the same in all runs (its logarithm scatters {ratio:.2g}): what size and what data are "
            "worth cannot be told apart. Train some sizes on fewer and on more tokens"
        )
        found.append(Diagnostic("tokens_follow_params", ratio, message, "error"))
    design = np.stack([np.ones(rows), *inputs.values()], axis=1)
    slopes = np.linalg.lstsq(design, target, rcond=None)[0][1:]
    for name, slope in zip(inputs, slopes, strict=True):
        if name in form.falling and slope >= 0:
            message = (
                f"{form.output} does not fall with {name} ({symbol(name)}; slope {slope:+.3g}): the law cannot hold. "
                "Look for mixed units, diverged or badly tuned runs"
            )
            found.append(Diagnostic("loss_not_falling", float(slope), message, "error"))
    return found


def of_intervals(form: LawForm, params: Mapping[str, float], intervals: Mapping[str, Interval]) -> list[Diagnostic]:
    """Exponents and asymptotes that the data leave open."""
    found = []
    for parameter in form.parameters:
        name, interval = parameter.name, intervals.get(parameter.name)
        if interval is None:
            continue
        if _is_told_by_ratio(parameter) and interval.high > 4 * max(interval.low, LEAST):
            message = (
                f"{name} lies anywhere from {interval.low:.3g} to {interval.high:.3g}: its value alone means little; "
                "use predictions near the fitted runs, or train over a wider range"
            )
            found.append(Diagnostic("flat_profile", interval.high / max(interval.low, LEAST), message))
        if parameter.role == "asymptote" and interval.low <= 1e-6 and params[name] > 1e-6:
            message = f"{name} may be 0: the interval reaches from 0 to {interval.high:.3g}"
            found.append(Diagnostic("asymptote_open", interval.high, message, "note"))
    return found


def status(found: Sequence[Diagnostic]) -> str:
    """`ok`, or the first finding that speaks against trusting the fit."""
    errors = [item for item in found if item.severity == "error"]
    return f"not to be trusted: {errors[0].message}" if errors else "ok"
