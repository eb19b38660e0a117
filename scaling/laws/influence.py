"""What the runs say nothing about: parameters that change no prediction, and several that change it alike. No JAX."""

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import fdtrc

from scaling.laws.forms import Floats
from scaling.laws.values import Diagnostic, number

if TYPE_CHECKING:
    from scaling.laws.problem import Problem

MOVE = 0.05
"""Share of its range of starts by which a parameter is moved to see whether anything depends on it."""
UNTOLD = 1e-6
"""Standard deviations of the output; a move that changes predictions by less changes nothing."""
SLOPE_STEP = 1e-5
ALIKE = 1e-7
"""Smallest over largest singular value of the scaled Jacobian below which parameters move predictions alike."""
PART = 0.1
"""Share of the direction in which nothing changes, from which a parameter is named."""
CHANCE = 0.01
"""Of a constant, above which a law is no better than it."""
CUT = 4.0
"""Robust standard deviations from which a residual counts as that many."""
EVEN = 0.9
"""Share of the rows that weights may leave in any case."""
COUNTS = ("params", "tokens", "flops")
"""Inputs that laws fall with as powers, whatever else they have."""
FEW_VALUES = 3
"""Values of an input on which its exponent and an asymptote lie exactly, whatever they are."""


def of_fit(problem: "Problem", z: Floats, starts: Floats) -> list[Diagnostic]:
    """All that the runs say nothing about, for the solution `z` (parameters,) from `starts` (batch, parameters)."""
    return [
        *of_weights(problem),
        *of_explained(problem, z),
        *of_influence(problem, z, starts),
        *of_values(problem),
    ]


def of_influence(problem: "Problem", z: Floats, starts: Floats) -> list[Diagnostic]:
    """An error for each parameter at `z` (parameters,) that no prediction depends on, and for those told only together.

    `starts` (batch, parameters): where the solver set out; a solution that is one of them is no solution.
    """
    free = [index for index, name in enumerate(problem.form.names) if name in problem.free]
    if not free:
        return []
    if bool(np.any(np.all(starts[:, free] == z[free], axis=1))):
        message = (
            "the solver took no step from its start: its values are not an answer. Look for weights or values near 0 "
            "or beyond any unit"
        )
        return [Diagnostic("not_moved", 0.0, message, "error")]
    untold = _untold(problem, z, free)
    values = problem.natural(z)
    found = []
    for index, moved in untold.items():
        name = problem.form.names[index]
        message = (
            f"{name} is told by nothing: the law is the same at every run with other values, and "
            f"{number(float(values[name]))} is where its start left it. Pin it, leave out its term, or train runs "
            "where it matters"
        )
        found.append(Diagnostic("parameter_not_told", moved, message, "error"))
    return found + _together(problem, z, [index for index in free if index not in untold])


def of_values(problem: "Problem") -> list[Diagnostic]:
    """A warning where an input takes too few different values to show how the output falls with it."""
    free = [parameter for parameter in problem.form.parameters if parameter.name in problem.free]
    if not any(parameter.role == "exponent" for parameter in free):
        return []
    levels = any(parameter.role == "asymptote" for parameter in free)
    found = []
    powers = [name for name in problem.form.falling if name in COUNTS or len(problem.form.inputs) == 1]
    for name in powers:
        count = _values(problem.inputs[name])
        if count <= FEW_VALUES - (not levels):
            message = (
                f"{name} takes {count} different values: a power law{' and an asymptote go' if levels else ' goes'} "
                "through so few whatever the truth is. Train more, over a wider range"
            )
            found.append(Diagnostic("few_values", count, message))
    return found


def of_weights(problem: "Problem") -> list[Diagnostic]:
    """Where few rows carry all weight: Kish's effective number of rows, (sum w)^2 / sum w^2."""
    weights = problem.weights / problem.weights.max()
    rows, free = float(np.sum(weights) ** 2 / np.sum(weights**2)), len(problem.free)
    if rows >= min(free + 2, EVEN * len(weights)):
        return []
    message = (
        f"the weights leave {rows:.3g} of {len(weights)} rows for {free} free parameters: the others hardly count. "
        "Give weights that differ less, such as 1 / variance with the run-to-run variance in it"
    )
    return [Diagnostic("few_rows_weigh", rows, message, "error" if rows < free / 2 else "warning")]


def of_explained(problem: "Problem", z: Floats) -> list[Diagnostic]:
    """An error where the law at `z` (parameters,) is no better than a constant, as far as chance goes.

    An F test of its residuals against those about the median, each drawn in to CUT robust standard deviations.
    """
    rows, free = len(problem.target), len(problem.free)
    if rows <= free or free < 2:
        return []
    left, all_of_it = (
        float(np.sum(_drawn_in(residual) ** 2 * problem.weights))
        for residual in (problem.target - problem.fitted(z[None])[0], problem.target - np.median(problem.target))
    )
    f = (all_of_it / max(left, 1e-300) - 1) * (rows - free) / (free - 1)
    chance = float(fdtrc(free - 1, rows - free, f)) if f > 0 else 1.0
    if chance < CHANCE:
        return []
    share = max(1 - left / max(all_of_it, 1e-300), 0.0)
    message = (
        f"the law explains {share:.0%} of how the {problem.form.output} varies, as {free} parameters do by chance "
        f"(p = {chance:.2g}): the runs show no law. Look for a wrong column, or train over a wider range"
    )
    return [Diagnostic("nothing_explained", chance, message, "error")]


def _drawn_in(residual: Floats) -> Floats:
    far = CUT * float(np.median(np.abs(residual))) / 0.6745
    return np.clip(residual, -far, far) if far > 0 else residual


def _values(logs: Floats) -> int:
    """Different ones, beyond 1%."""
    return 1 + int(np.sum(np.diff(np.sort(logs)) > 0.01))


def _untold(problem: "Problem", z: Floats, free: list[int]) -> dict[int, float]:
    """Which coordinates change no prediction, and by how much they do change it, in standard deviations."""
    lower, upper = problem.bounds
    low, high = np.array([parameter.starts(problem.data) for parameter in problem.form.parameters]).T
    width = MOVE * np.maximum(high - low, 1e-3)
    moved = np.repeat(z[None], 2 * len(free), axis=0)
    for place, index in enumerate(free):
        moved[2 * place, index] = min(z[index] + width[index], upper[index])
        moved[2 * place + 1, index] = max(z[index] - width[index], lower[index])
    change = np.abs(problem.fitted(moved) - problem.fitted(z[None]))
    # Where the law has no value any more, it depends on the parameter.
    most = np.max(np.where(np.isfinite(change), change, np.inf), axis=1).reshape(-1, 2).max(axis=1)
    scale = max(float(np.std(problem.target)), 1e-300)
    return {index: float(one / scale) for index, one in zip(free, most, strict=True) if one <= UNTOLD * scale}


def _together(problem: "Problem", z: Floats, told: list[int]) -> list[Diagnostic]:
    """An error where a direction in the parameters that are inside their bounds changes nothing."""
    lower, upper = problem.bounds
    step = SLOPE_STEP * np.maximum(1.0, np.abs(z))
    inside = [index for index in told if lower[index] + step[index] < z[index] < upper[index] - step[index]]
    if len(inside) < 2:
        return []
    moves = np.zeros((len(inside), len(z)))
    moves[np.arange(len(inside)), inside] = step[inside]
    slopes = ((problem.fitted(z + moves) - problem.fitted(z - moves)) / (2 * step[inside, None])).T
    slopes = slopes * np.sqrt(problem.weights)[:, None]
    size = np.linalg.norm(slopes, axis=0)
    if not np.all(np.isfinite(slopes)) or np.any(size == 0):
        return []
    # Of the triangle, as large as the parameters are many: a full decomposition is as wide as the table is long.
    _, singular, directions = np.linalg.svd(np.linalg.qr(slopes / size, mode="r"), full_matrices=True)
    least = singular[-1] / singular[0] if len(singular) == len(inside) else 0.0
    if least > ALIKE:
        return []
    part = np.abs(directions[-1])
    names = [problem.form.names[index] for index, share in zip(inside, part, strict=True) if share > PART * part.max()]
    few = [
        f"{name} takes {_values(values)}" for name, values in problem.inputs.items() if _values(values) <= FEW_VALUES
    ]
    why = f" ({', '.join(few)} different values)" if few else ""
    message = (
        f"{', '.join(names)} cannot be told apart{why}: the law is the same at every run with other values of them. "
        "Pin one, or train runs that differ in more"
    )
    return [Diagnostic("not_told_apart", float(least), message, "error")]
