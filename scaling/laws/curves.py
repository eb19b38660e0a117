"""A fitted law as curves with their bands, to draw or to keep. No JAX."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scaling.laws import allocation, intervals, prediction
from scaling.laws.forms import Floats
from scaling.laws.surface import PLANE, Surface, typical

if TYPE_CHECKING:
    from scaling.laws.results import LawFit

BEYOND = 100.0
"""How far past the fitted range a curve is drawn, where the output must fall along it."""
POINTS = 41


@dataclass(frozen=True)
class Line:
    """A quantity along x and its band, which is the line itself where the fit has no resamples: arrays (points,)."""

    x: Floats
    y: Floats
    low: Floats
    high: Floats


def frontier(fit: "LawFit", held: Mapping[str, float]) -> dict[str, Line]:
    """The loss, N* and D* along C."""
    surface = Surface.of(fit, held)
    low, high = surface.budgets()
    grid = np.linspace(low, high + np.log(BEYOND), POINTS)
    found = surface.best(fit.params, grid)
    values = {"loss": found.loss, "params": np.exp(found.log_params), "tokens": np.exp(found.log_tokens)}
    if not fit.samples:
        return {name: Line(np.exp(grid), value, value, value) for name, value in values.items()}
    drawn = allocation.draws(fit)
    every = [surface.best(drawn, log_c) for log_c in grid]
    sampled = {
        "loss": np.stack([best.loss for best in every], axis=1),
        "params": np.exp(np.stack([best.log_params for best in every], axis=1)),
        "tokens": np.exp(np.stack([best.log_tokens for best in every], axis=1)),
    }
    return {name: _banded(fit, np.exp(grid), value, sampled[name]) for name, value in values.items()}


def along(fit: "LawFit", name: str, held: Mapping[str, float]) -> Line:
    """The output along the input `name`, the others held or in the middle of what was fitted."""
    low, high = fit.ranges[name]
    if name in fit.law.linear_inputs:
        grid = np.linspace(low, high, POINTS)
    else:
        grid = np.geomspace(low, high * (BEYOND if name in (*PLANE, *fit.law.falling) else 1.0), POINTS)
    point = typical(fit, {other: value for other, value in held.items() if other != name} | {name: grid})
    values = prediction.output(fit, point)
    if not fit.samples:
        return Line(grid, values, values, values)
    return _banded(fit, grid, values, prediction.output(fit, point, prediction.resampled(fit)))


def _banded(fit: "LawFit", x: Floats, y: Floats, sampled: Floats) -> Line:
    usable = sampled[np.all(np.isfinite(sampled), axis=1)]
    low, high = intervals.band(usable, y, fit.level) if len(usable) else (y, y)
    return Line(x, y, low, high)
