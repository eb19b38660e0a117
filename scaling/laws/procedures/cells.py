"""The cells of a sweep: runs of one N and D that differ in their hyper-parameters and seed alone. Plain NumPy."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from scaling.laws.forms import Floats

Rows = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Cell:
    """Rows that differ in their hyper-parameters and seed alone: logs (rows, k), log_loss (rows,), weight (rows,).

    ln L is infinite where a run diverged: it says that the setting was tried.
    """

    logs: Floats
    log_loss: Floats
    weight: Floats

    def settings(self) -> tuple[Floats, Rows, Floats]:
        """Different ln h (settings, k), each row's setting, and each setting's mean ln L."""
        found, place = np.unique(np.round(self.logs, 9), axis=0, return_inverse=True)
        place = place.ravel()
        return found, place, np.bincount(place, self.weight * self.log_loss) / np.bincount(place, self.weight)


def cells_of(columns: Sequence[Floats], tolerance: float = 0.01) -> Rows:
    """(rows,) number of each row's cell: rows that agree in every column of positive numbers.

    Values agree where steps of at most `tolerance` chain them: D is a whole number of batches, so it moves a little
    with the batch size.
    """
    parts = []
    for values in columns:
        order = np.argsort(values, kind="stable")
        steps = np.diff(np.log(values[order])) > np.log1p(tolerance)
        part = np.empty(len(values), dtype=int)
        part[order] = np.concatenate([[0], np.cumsum(steps)])
        parts.append(part)
    return np.unique(np.stack(parts, axis=1), axis=0, return_inverse=True)[1].ravel()


def between_seeds(cells: Sequence[Cell]) -> float:
    """Standard deviation of ln L between runs of one cell and one setting; 0 where none is repeated."""
    squares, freedom = 0.0, 0
    for cell in cells:
        _, place, means = cell.settings()
        rows = np.flatnonzero(np.isfinite(means[place]))
        squares += float(np.sum(cell.weight[rows] * (cell.log_loss[rows] - means[place[rows]]) ** 2))
        freedom += len(rows) - int(np.isfinite(means).sum())
    return float(np.sqrt(squares / freedom)) if freedom else 0.0
