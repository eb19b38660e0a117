"""Training curves of several runs on one grid of budgets. Plain NumPy."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from scaling.laws.errors import LawError
from scaling.laws.forms import Floats
from scaling.laws.table import Table


@dataclass(frozen=True)
class Curves:
    """Training curves on one grid of budgets.

    Attributes:
      log_c: (points,)
      log_n: (curves,)
      log_ratio: (curves,) ln of C / D.
      log_l: (curves, points) ln L; infinite outside of a curve's own range.
      reached: (curves, points) share of the run's own training.
      names: numbers of their trajectories.
    """

    log_c: Floats
    log_n: Floats
    log_ratio: Floats
    log_l: Floats
    reached: Floats
    names: np.ndarray[Any, Any]


def curves_of(rows: Table, points: int, smoothing: float) -> tuple[Curves, tuple[str, ...]]:
    size, flops = rows.column("params"), rows.column("flops")
    log_l, parts, excluded = np.log(rows.target), [], []
    for name in np.unique(rows.cluster):
        own = np.flatnonzero(rows.cluster == name)
        own = own[np.argsort(flops[own], kind="stable")]
        if np.ptp(np.log(size[own])) > 1e-6:
            raise LawError(
                f"the trajectory of {rows.labels[own[0]]} has params {size[own].min():g} and {size[own].max():g}; a "
                "trajectory is one model along its training"
            )
        x, first = np.unique(np.log(flops[own]), return_index=True)
        if len(x) < 2:
            excluded += [f"{rows.labels[row]}: its trajectory has one row, no curve" for row in own]
            continue
        y = np.array([np.mean(part) for part in np.split(log_l[own], first[1:])])
        tokens = rows.tokens if len(rows.tokens) else flops / (6 * size)
        ratio = float(np.mean(np.log(flops[own] / tokens[own])))
        parts.append((name, float(np.log(size[own[0]])), ratio, x, _smoothed(x, y, smoothing)))
    if len(parts) < 2:
        raise LawError(
            f"approach 1 needs training curves, at least 2 trajectories of 2 rows or more; the table has {len(parts)}: "
            "give columns={'trajectory': ...} and rows along training"
        )
    log_c = np.linspace(min(part[3][0] for part in parts), max(part[3][-1] for part in parts), points)
    return (
        Curves(
            log_c=log_c,
            log_n=np.array([part[1] for part in parts]),
            log_ratio=np.array([part[2] for part in parts]),
            log_l=np.stack([np.interp(log_c, x, y, left=np.inf, right=np.inf) for *_, x, y in parts]),
            reached=np.stack([np.exp(log_c - x[-1]) for *_, x, _ in parts]),
            names=np.array([part[0] for part in parts]),
        ),
        tuple(excluded),
    )


def _smoothed(x: Floats, y: Floats, width: float) -> Floats:
    """y by a parabola about each x, Gaussian weights in x: no bias from slope or bend, at the ends either."""
    if width == 0:
        return y
    found = np.empty_like(y)
    for index, centre in enumerate(x):
        near = np.abs(x - centre) <= 4 * width
        away = (x[near] - centre) / width
        weight = np.exp(-(away**2) / 4)
        design = np.stack([np.ones_like(away), away, away**2], axis=1)[:, : int(near.sum())]
        found[index] = np.linalg.lstsq(design * weight[:, None], y[near] * weight, rcond=None)[0][0]
    return found
