"""What can be wrong with a fit: each finding a code, the number behind it, and what to do. No JAX."""

from collections.abc import Mapping, Sequence

import numpy as np

from scaling.laws.forms import Floats, LawForm
from scaling.laws.table import LETTERS
from scaling.laws.values import Diagnostic, Interval

FEW_STARTS = 0.05
"""Below this share of starts at the optimum, a better one may exist."""
FIXED_RATIO = 0.1
"""Spread (standard deviation) of ln(D/N) about its trend in ln N below which alpha and beta are one number."""


def of_solution(
    form: LawForm, params: Mapping[str, float], bounds: Mapping[str, tuple[float, float]], share: float
) -> list[Diagnostic]:
    """Parameters at a bound, and starts that disagree. `bounds` in the parameter's own unit, free parameters only."""
    found = []
    for parameter in form.parameters:
        name = parameter.name
        if name not in bounds or parameter.role == "coefficient":
            continue
        low, high = bounds[name]
        at_low, at_high = params[name] - low <= 1e-6 * (high - low), high - params[name] <= 1e-6 * (high - low)
        if not (at_low or at_high):
            continue
        if parameter.role == "asymptote" and at_low:
            message = (
                f"{name} is at 0: the runs do not show where the loss levels off; long extrapolations are not to be "
                f"trusted. Pin {name} at a known entropy, or train over a wider range"
            )
            found.append(Diagnostic("parameter_at_bound", params[name], message))
        else:
            message = f"{name} is at its bound {params[name]:g}: the law does not describe these runs; check the table"
            found.append(Diagnostic("parameter_at_bound", params[name], message, "error"))
    if share < FEW_STARTS:
        message = f"only {share:.0%} of the starts reached the best optimum; fit again with more starts"
        found.append(Diagnostic("few_starts_agree", share, message))
    return found


def of_design(
    form: LawForm, logs: Mapping[str, Floats], log_loss: Floats, clusters: int, free: int
) -> list[Diagnostic]:
    """Too few runs, inputs that move together, a loss that does not fall."""
    found = []
    rows = len(log_loss)
    distinct = len(np.unique(np.round(np.stack(list(logs.values()), axis=1), 6), axis=0))
    if distinct < free:
        message = f"{distinct} different runs for {free} free parameters: any law fits; train more, or pin parameters"
        found.append(Diagnostic("too_few_runs", distinct, message, "error"))
    elif rows < free + 3:
        message = f"{rows} rows for {free} free parameters leave {rows - free} to show the noise; train more"
        found.append(Diagnostic("too_few_runs", rows, message))
    if clusters < free and distinct >= free:
        message = f"{clusters} trajectories for {free} free parameters: noise between trajectories is poorly known"
        found.append(Diagnostic("too_few_trajectories", clusters, message))
    if set(form.inputs) == {"params", "tokens"}:
        size, data = logs["params"], logs["tokens"]
        spread = float(np.std(data - np.polyval(np.polyfit(size, data, 1), size)))
        if spread < FIXED_RATIO:
            message = (
                f"D follows N (ln D scatters {spread:.2g} about its trend): alpha and beta cannot be told apart. "
                "Train some sizes on fewer and on more tokens"
            )
            found.append(Diagnostic("tokens_follow_params", spread, message, "error"))
            return found
    design = np.stack([np.ones(rows), *logs.values()], axis=1)
    slopes = np.linalg.lstsq(design, log_loss, rcond=None)[0][1:]
    for name, slope in zip(logs, slopes, strict=True):
        if slope >= 0:
            message = (
                f"loss does not fall with {name} ({LETTERS[name]}; slope of ln L {slope:+.3g}): the law cannot hold. "
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
        if parameter.role == "exponent" and interval.high > 4 * max(interval.low, 1e-3):
            message = (
                f"{name} lies anywhere from {interval.low:.3g} to {interval.high:.3g}: its value alone means little; "
                "use predictions near the fitted runs, or train over a wider range"
            )
            found.append(Diagnostic("flat_profile", interval.high / max(interval.low, 1e-3), message))
        if parameter.role == "asymptote" and interval.low <= 1e-6 and params[name] > 1e-6:
            message = f"{name} may be 0: the interval reaches from 0 to {interval.high:.3g}"
            found.append(Diagnostic("asymptote_open", interval.high, message, "note"))
    return found


def status(found: Sequence[Diagnostic]) -> str:
    """`ok`, or the first finding that speaks against trusting the fit."""
    errors = [item for item in found if item.severity == "error"]
    return f"not to be trusted: {errors[0].message}" if errors else "ok"
