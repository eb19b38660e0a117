"""Raw sweeps over hyper-parameters, reduced to one row a cell: the loss at the minimum of a fitted bowl.

    ln L = quadratic in the logarithms of the hyper-parameters, in each cell;   loss = exp(its minimum)

The lowest loss of a sweep is that of a lucky run: biased low, the more so the more runs were tried. A bowl's minimum is
read off all runs near it. Plain NumPy.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import narwhals as nw
import numpy as np

from scaling.laws.errors import LawError, nearest
from scaling.laws.forms import Floats
from scaling.laws.numerals import numbers
from scaling.laws.procedures import bowl_noise, bowls
from scaling.laws.procedures.cells import Cell, Rows, cells_of
from scaling.laws.table import frame

APART = ("role", "params_convention", "flops_convention")
"""Columns that no cell mixes, where the table has them."""
TRAJECTORY = "trajectory"


def best_over(
    table: Any,
    over: Sequence[str] = ("learning_rate", "batch_size"),
    cell: Sequence[str] = ("params", "tokens"),
    *,
    columns: Mapping[str, str] | None = None,
    reach: float = bowls.REACH,
) -> Any:
    """One row for each cell of a raw sweep, ready for laws.fit.

    Args:
      table: dataframe, mapping of columns, or path; a row a run. A loss that is empty or not finite is a diverged run:
        its setting was tried, and is not good.
      over: the hyper-parameters that were swept, one or two.
      cell: columns that a cell has in common; numbers agree within steps of 1%.
      columns: params, tokens, loss, learning_rate, trajectory, ... -> the table's own column names.
      reach: settings whose ln L lies farther above their cell's minimum leave its bowl.

    Returns a dataframe of the caller's kind (polars for a mapping or path), sorted by `cell`:
      the cell's columns, and every other column that is constant within each cell;
      loss, loss_se: at the bowl's minimum, and its standard error (named in laws.fit's `columns`, drop weight);
      weight: 1 / (standard error of ln L)^2, of mean 1;
      each of `over`: where the minimum lies; NAME_log_se: standard error of its logarithm;
      NAME_at_edge, at_edge: the minimum lies at an end beyond which nothing was tried: sweep farther;
      regret: the loss of the best measured setting over `loss`, less 1, both by the bowl;
      settings, runs: tried in the cell, diverged ones included;
      trajectory, where the table has it: one name for cells that share a trajectory.

    Raises:
      LawError: a column is missing or no positive number; or nothing shows the noise, as no seed is repeated and every
        bowl goes through all of its points.
    """
    given = frame(table)
    names = dict(columns or {})
    over, cell = tuple(over), tuple(cell)
    _check(over, cell, names, given.columns)
    hyper = np.stack([np.log(_numbers(given, names.get(name, name))) for name in over], axis=1)
    log_loss = _log_losses(given, names.get("loss", "loss"))
    weighted = names.get("weight", "weight")
    weight = _numbers(given, weighted) if weighted in given.columns else np.ones(len(given))
    groups = _groups(given, [names.get(name, name) for name in cell])
    clusters = _clusters(given, names.get(TRAJECTORY, TRAJECTORY))
    cells = [Cell(hyper[rows], log_loss[rows], weight[rows]) for rows in groups]
    _all_trained(cells, groups)
    fitted = bowls.fit(cells, reach)
    noise = bowl_noise.measured(cells, fitted, [clusters[rows] for rows in groups])
    minima = [bowls.minimum(bowl, float(np.hypot(*noise.typical))) for bowl in fitted]
    found = {name: _common(given[names.get(name, name)].to_list(), groups) for name in cell}
    found |= _carried(given, groups, taken={*cell, *over, *names.values(), "loss", "weight", "seed", TRAJECTORY})
    loss, loss_se = np.exp([best.log_loss for best in minima]), np.array([best.log_loss_se for best in minima])
    found |= {"loss": loss.tolist(), "loss_se": (loss * loss_se).tolist()}
    found["weight"] = (loss_se**-2.0 / np.mean(loss_se**-2.0)).tolist()
    for place, name in enumerate(over):
        found[name] = [float(np.exp(best.logs[place])) for best in minima]
        found[f"{name}_log_se"] = [float(best.logs_se[place]) for best in minima]
        found[f"{name}_at_edge"] = [bool(best.at_edge[place]) for best in minima]
    found["at_edge"] = [bool(best.at_edge.any()) for best in minima]
    found["regret"] = [_regret(*both) for both in zip(cells, fitted, strict=True)]
    found["settings"] = [len(np.unique(np.round(one.logs, 9), axis=0)) for one in cells]
    found["runs"] = [len(rows) for rows in groups]
    if names.get(TRAJECTORY, TRAJECTORY) in given.columns:
        found[TRAJECTORY] = _shared(given[names.get(TRAJECTORY, TRAJECTORY)].to_list(), groups)
    return nw.from_dict(found, backend=given.implementation).sort(*cell).to_native()


def _check(over: tuple[str, ...], cell: tuple[str, ...], names: Mapping[str, str], present: Sequence[str]) -> None:
    if not 1 <= len(over) <= 2 or len(set(over)) < len(over):
        raise LawError(f"over is {over}; a bowl is fitted in one or two different hyper-parameters")
    if not cell or set(cell) & set(over):
        raise LawError(f"cell is {cell}; it names at least one column, and none of over {over}")
    known = {*over, *cell, "loss", "weight", TRAJECTORY}
    for name in names:
        if name not in known:
            raise LawError(f"columns names {name!r}; it may name {', '.join(sorted(known))}{nearest(name, known)}")
    for name in (*cell, *over, "loss"):
        column = names.get(name, name)
        if column not in present:
            raise LawError(
                f"the table has no column {column!r}{nearest(column, present)} (columns: {', '.join(present)})"
            )


def _numbers(given: nw.DataFrame[Any], column: str) -> Floats:
    return numbers(given, column, range(len(given)), signed=False)


def _log_losses(given: nw.DataFrame[Any], column: str) -> Floats:
    """ln L; infinite where a run has none."""
    found = np.full(len(given), np.inf)
    for row, value in enumerate(given[column].to_list()):
        try:
            number = np.nan if value is None or value == "" else float(value)
        except (TypeError, ValueError) as error:
            raise LawError(f"row {row + 1}, column {column!r} is {value!r}, not a number") from error
        if number <= 0:
            raise LawError(f"row {row + 1}, column {column!r} is {number:g}; a loss is above 0")
        if np.isfinite(number):
            found[row] = np.log(number)
    return found


def _groups(given: nw.DataFrame[Any], cell: Sequence[str]) -> list[Rows]:
    """Row numbers of each cell."""
    keys: list[Floats] = []
    for column in (*cell, *(name for name in APART if name in given.columns and name not in cell)):
        values = given[column].to_list()
        if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
            keys.append(_numbers(given, column))
        else:
            keys.append(np.unique([str(value) for value in values], return_inverse=True)[1].astype(np.float64) + 1)
    number = cells_of(keys)
    return [np.flatnonzero(number == index) for index in range(number.max() + 1)]


def _all_trained(cells: Sequence[Cell], groups: Sequence[Rows]) -> None:
    for one, rows in zip(cells, groups, strict=True):
        if not np.isfinite(one.settings()[2]).any():
            raise LawError(
                f"the cell of row {rows[0] + 1} has no setting of which every run has a loss; leave its "
                f"{len(rows)} rows out, or sweep settings that train"
            )


def _clusters(given: nw.DataFrame[Any], column: str) -> Rows:
    if column not in given.columns:
        return np.arange(len(given))
    return np.unique([str(name) for name in given[column].to_list()], return_inverse=True)[1]


def _common(values: Sequence[Any], groups: Sequence[Rows]) -> list[Any]:
    """What each cell's rows share; the geometric mean of numbers that differ by little."""
    found = []
    for rows in groups:
        own = [values[row] for row in rows]
        same = all(value == own[0] for value in own)
        found.append(own[0] if same else float(np.exp(np.mean(np.log(own)))))
    mixed = len({type(value) for value in found}) > 1
    return [float(value) for value in found] if mixed else found


def _carried(given: nw.DataFrame[Any], groups: Sequence[Rows], taken: set[str]) -> dict[str, list[Any]]:
    """Other columns, as far as each cell has one value."""
    found = {}
    for column in given.columns:
        if column in taken:
            continue
        values = given[column].to_list()
        if all(values[row] == values[rows[0]] for rows in groups for row in rows):
            found[column] = [values[rows[0]] for rows in groups]
    return found


def _regret(one: Cell, bowl: bowls.Bowl) -> float:
    """Of the setting that is best on the mean of its seeds, by the bowl's value there."""
    _, place, means = one.settings()
    rows = np.flatnonzero(place[bowl.rows] == int(np.argmin(np.where(np.isfinite(means), means, np.inf))))
    expected = bowl.fitted[rows[0]] if len(rows) else float(means.min())
    return float(np.expm1(max(expected - float(bowl.lowest(bowl.coefficients)[1]), 0.0)))


def _shared(names: Sequence[Any], groups: Sequence[Rows]) -> list[str]:
    """For each cell the first of the trajectories that it is linked to, through others' cells where need be."""
    linked: list[tuple[set[int], set[str]]] = []
    for index, rows in enumerate(groups):
        cells, own = {index}, {str(names[row]) for row in rows}
        for other in [pair for pair in linked if pair[1] & own]:
            linked.remove(other)
            cells, own = cells | other[0], own | other[1]
        linked.append((cells, own))
    first = {index: min(own) for cells, own in linked for index in cells}
    return [first[index] for index in range(len(groups))]
