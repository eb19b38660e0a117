"""What a hyper-parameter off its optimum costs the runs of a table: where a law of the best one is known. No JAX.

    cost = exp(h x^2 / 2) - 1,   x = ln(eta / eta*(N, D)),   h = curvature of ln L in ln eta

eta* is a fitted `hyperparameters` law and h the median curvature of its bowls. A law of the loss takes each run for as
good as its N and D allow: a cost that differs between the corners of a plan bends the exponents.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from scaling.laws import intervals, prediction
from scaling.laws.errors import LawError
from scaling.laws.forms import Floats
from scaling.laws.numerals import numbers
from scaling.laws.sources import frame
from scaling.laws.values import Diagnostic, Interval, number

if TYPE_CHECKING:
    from scaling.laws.results import LawFit

WORTH = 1e-3
"""Cost at a corner, as a part of the loss, that is worth a word."""


@dataclass(frozen=True)
class Tuned:
    """How far runs are from their best hyper-parameter.

    Attributes:
      target: the hyper-parameter.
      labels: what its rows are called.
      factors: (rows,) value over the best one.
      costs: (rows,) part of the loss that this costs.
      intervals: of each cost.
      corners: the rows nearest to the four corners of ln N and ln D.
      diagnostics: a warning for each corner with a cost.
    """

    target: str
    labels: tuple[str, ...]
    factors: Floats
    costs: Floats
    intervals: tuple[Interval, ...]
    corners: tuple[int, ...]
    diagnostics: tuple[Diagnostic, ...]


def off_optimum(runs: Any, best: "LawFit", columns: Mapping[str, str] | None = None) -> Tuned:
    """What each of `runs` loses by its value of the hyper-parameter that `best` is a law of.

    `runs`: any table with params, tokens and the hyper-parameter; `columns` as in laws.fit. Far from the optimum, and
    near divergence, a run costs more than the bowl says. LawError where `best` is no law of a swept hyper-parameter.
    """
    cells = best.details.get("cells")
    if not cells or best.output not in cells[0].get("best", {}):
        raise LawError(f"form {best.form} is no law of a swept hyper-parameter; fit form hyperparameters to a sweep")
    target = best.output
    values = _columns(runs, ("params", "tokens", target), columns or {})
    bend = _curvature(cells, target)
    inputs = {name: values[name] for name in best.law.inputs}
    off = np.log(values[target] / prediction.output(best, inputs))
    found = np.expm1(bend * off**2 / 2)
    between = []
    if best.samples:
        drawn = np.log(prediction.output(best, inputs, prediction.resampled(best)))
        moved = np.expm1(bend * (np.log(values[target]) - drawn) ** 2 / 2)
        between = [intervals.interval(moved[:, row], float(found[row]), best.level) for row in range(len(found))]
    corners = _corners(np.log(values["params"]), np.log(values["tokens"]))
    labels = tuple(f"row {row + 1}" for row in range(len(found)))
    noted = tuple(
        _corner(target, labels[row], {n: float(v[row]) for n, v in values.items()}, float(off[row]), float(found[row]))
        for row in corners
        if found[row] > WORTH
    )
    return Tuned(target, labels, np.exp(off), found, tuple(between), corners, noted)


def _columns(runs: Any, names: tuple[str, ...], columns: Mapping[str, str]) -> dict[str, Floats]:
    from_table = frame(runs)
    found = {}
    for name in names:
        column = columns.get(name, name)
        if column not in from_table.columns:
            raise LawError(f"the table has no column {column!r}; off_optimum reads {', '.join(names)}")
        found[name] = numbers(from_table, column, range(len(from_table)), signed=False)
    return found


def _curvature(cells: list[dict[str, Any]], target: str) -> float:
    """Median over the cells whose bowl opens upwards; other hyper-parameters held at their best."""
    place = list(cells[0]["best"]).index(target)
    found = [float(cell["curvature"][place][place]) for cell in cells if cell["used"]]
    found = [value for value in found if value > 0]
    if not found:
        raise LawError(f"no bowl of the sweep opens upwards in {target}: what being off its optimum costs is unknown")
    return float(np.median(found))


def _corners(log_n: Floats, log_d: Floats) -> tuple[int, ...]:
    """The rows nearest to the four corners of the plan, each once."""
    x, y = ((one - one.min()) / max(float(np.ptp(one)), 1e-12) for one in (log_n, log_d))
    nearest = [int(np.argmin((x - i) ** 2 + (y - j) ** 2)) for i in (0, 1) for j in (0, 1)]
    return tuple(dict.fromkeys(nearest))


def _corner(target: str, label: str, values: Mapping[str, float], off: float, cost: float) -> Diagnostic:
    message = (
        f"{label}, a corner of the plan (params {number(values['params'])}, tokens {number(values['tokens'])}): "
        f"{target} {number(values[target])} is {np.exp(off):.2g} times its best there and costs {cost:.2%} of the "
        f"loss. Train it again near {number(values[target] * float(np.exp(-off)))}"
    )
    return Diagnostic("off_optimum", cost, message)
