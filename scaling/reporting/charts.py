"""The charts of a report, each described once; figures.py and interactive.py draw the same description."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import contourpy
import numpy as np
from matplotlib import colormaps
from matplotlib.colors import to_hex

from scaling.laws import Estimate
from scaling.laws.forms import Floats
from scaling.records import Observation
from scaling.reporting.contents import Contents

INK, ACCENT, FAINT = "#1b1b1f", "#c2410c", "#8a8f98"
GRID = 160
"""Points of a drawn law."""
CONTOURS = 14


@dataclass(frozen=True)
class Series:
    """Points, a line, or the band between `y` and `upper`."""

    kind: Literal["points", "line", "band"]
    x: Floats
    y: Floats
    colour: str = INK
    name: str = ""
    """In the legend; empty for none."""
    upper: Floats | None = None
    dashed: bool = False
    symbol: Literal["circle", "star", "diamond", "cross"] = "circle"
    size: float = 6.0
    width: float = 1.6
    hover: tuple[str, ...] = ()
    """A line for each point."""


@dataclass(frozen=True)
class Chart:
    """One figure. `key` names its files."""

    key: str
    title: str
    caption: str
    x_label: str
    y_label: str
    series: tuple[Series, ...]
    x_log: bool = True
    y_log: bool = False


def charts(contents: Contents) -> list[Chart]:
    """Every chart that `contents` allows."""
    drawn = [loss_curves(contents)]
    if "isoflop" in contents.laws:
        drawn += [parabolas(contents), optima(contents)]
    if set(contents.law.inputs) == {"params", "tokens"}:
        drawn += [contour(contents), residuals(contents)]
    return [*drawn, frontier(contents)]


def loss_curves(contents: Contents) -> Chart:
    """Training loss along every trunk and decay, and the held-out loss at each horizon."""
    sizes = sorted({curve.params for curve in contents.curves})
    colour = dict(zip(sizes, shades(len(sizes)), strict=True))
    series: list[Series] = []
    named: set[int] = set()
    for curve in contents.curves:
        first = curve.branch == "trunk" and curve.params not in named
        name = f"N = {curve.params:,}" if first else ""
        named |= {curve.params} if first else set()
        x, y = np.array(curve.flops), np.array(curve.loss)
        width = 1.2 if curve.branch == "trunk" else 0.8
        series.append(Series("line", x, y, colour[curve.params], name, width=width, dashed=curve.branch != "trunk"))
    rows = contents.observations
    series.append(_points(rows, [row.flops for row in rows], [row.loss for row in rows], INK, "held-out loss", size=4))
    return Chart(
        "loss_curves",
        "Loss curves",
        "Training loss of each trunk (solid) and of the decays branched off it (dashed); dots are held-out losses of "
        "the annealed models.",
        "training compute C (FLOPs)",
        "loss (nats a token)",
        tuple(series),
        y_log=True,
    )


def parabolas(contents: Contents) -> Chart:
    """Held-out loss against size at each budget, with approach 2's parabolas and their minima."""
    budgets = contents.laws["isoflop"].details["budgets"]
    series = []
    for detail, colour in zip(budgets, shades(len(budgets)), strict=True):
        rows = [row for row in contents.fitted if row.budget == detail["budget"]]
        params = np.array([row.params for row in rows], float)
        a, b, c = detail["parabola"]["coefficients"]
        x = np.geomspace(params.min() / 1.15, params.max() * 1.15, GRID)
        away = np.log(x) - detail["parabola"]["centre"]
        series.append(Series("line", x, np.exp(a * away**2 + b * away + c), colour))
        name = f"C = {detail['budget']:.3g}"
        series.append(_points(rows, params, [row.loss for row in rows], colour, name))
        if detail["minimum"]:
            best = np.array([detail["minimum"]["params"]]), np.array([detail["minimum"]["loss"]])
            series.append(Series("points", *best, ACCENT, symbol="cross", size=9, hover=("minimum",)))
    return Chart(
        "isoflop",
        "IsoFLOP parabolas",
        "At each compute budget, models of several sizes. The minimum of each parabola (crosses) is the best size for "
        "that budget.",
        f"N ({_convention(contents, 'params')})",
        "held-out loss (nats a token)",
        tuple(series),
    )


def optima(contents: Contents) -> Chart:
    """N* and D* against C, by both approaches."""
    isoflop = contents.laws["isoflop"]
    minima = [detail for detail in isoflop.details["budgets"] if detail["minimum"]]
    flops = np.array([detail["flops"] for detail in minima])
    grid = _budgets(contents)
    series = []
    for key, symbol, colour in (("params", "N*", "#1d4ed8"), ("tokens", "D*", "#15803d")):
        values = np.array([detail["minimum"][key] for detail in minima])
        lines = [getattr(isoflop.optimum(flops=c), key) for c in grid]
        series += _estimates(grid, lines, colour, f"{symbol}, parabolas")
        series.append(Series("points", flops, values, colour))
        if contents.law.form == "chinchilla":
            main = np.array([getattr(contents.law.optimum(flops=c), key).value for c in grid])
            series.append(Series("line", grid, main, colour, f"{symbol}, fitted law", dashed=True))
    return Chart(
        "optimum",
        "Compute-optimal size and data",
        "Minima of the parabolas with their power laws and bands, and what the law fitted to all runs says.",
        "training compute C (FLOPs)",
        "parameters, tokens",
        tuple(series),
        y_log=True,
    )


def contour(contents: Contents) -> Chart:
    """Iso-loss lines of the fitted law over C and N, the compute-optimal line and its band."""
    law, grid = contents.law, _budgets(contents)
    best = [law.optimum(flops=c).params for c in grid]
    sizes = [row.params for row in contents.observations]
    low = min(*sizes, *(value.value for value in best)) / 2
    high = max(*sizes, *(value.value for value in best)) * 2
    params = np.geomspace(low, high, GRID)
    x, y = np.meshgrid(grid, params)
    loss = law.loss(params=y, flops=x)
    lowest = float(loss.min())
    levels = np.exp(
        np.linspace(np.log(lowest * 1.01), np.log(max(row.loss for row in contents.fitted) * 1.1), CONTOURS)
    )
    lines = contourpy.contour_generator(np.log(x), np.log(y), loss)
    series = []
    for level, colour in zip(levels, shades(CONTOURS), strict=True):
        for index, line in enumerate(np.asarray(found) for found in lines.lines(level)):
            name = f"loss {level:.3g}" if index == 0 else ""
            series.append(Series("line", np.exp(line[:, 0]), np.exp(line[:, 1]), colour, name, width=1.0))
    series += _estimates(grid, best, ACCENT, "compute-optimal N*")
    fitted = contents.fitted
    series.append(_points(fitted, [r.flops for r in fitted], [r.params for r in fitted], INK, "trained", size=4))
    checked = contents.checked
    if checked:
        at, sizes = [r.flops for r in checked], [r.params for r in checked]
        series.append(_points(checked, at, sizes, ACCENT, "check", symbol="star", size=11))
    return Chart(
        "contour",
        "The fitted law",
        f"Lines of equal loss under {law.equation}, and the size that is best for each budget with its "
        f"{law.level:.0%} band.",
        "training compute C (FLOPs)",
        f"N ({_convention(contents, 'params')})",
        tuple(series),
        y_log=True,
    )


def residuals(contents: Contents) -> Chart:
    """How far each run lies from the fitted law."""
    rows, law = contents.fitted, contents.law
    predicted = law.loss(
        params=np.array([row.params for row in rows], float), tokens=np.array([row.tokens for row in rows], float)
    )
    away = 100 * (np.array([row.loss for row in rows]) / predicted - 1)
    budgets = sorted({row.budget for row in rows})
    series = []
    for budget, colour in zip(budgets, shades(len(budgets)), strict=True):
        own = [index for index, row in enumerate(rows) if row.budget == budget]
        x = [rows[index].tokens / rows[index].params for index in own]
        series.append(_points([rows[index] for index in own], x, away[own], colour, f"C = {budget:.3g}"))
    ratios = [row.tokens / row.params for row in rows]
    ends = np.array([min(ratios) / 1.1, max(ratios) * 1.1])
    series.append(Series("line", ends, np.zeros(2), FAINT, width=1.0))
    return Chart(
        "residuals",
        "Residuals of the fitted law",
        "Each run's held-out loss against the law's. A pattern rather than a cloud means that the form is wrong there.",
        "tokens per parameter D/N",
        "measured over fitted loss, less 1 (%)",
        tuple(series),
    )


def frontier(contents: Contents) -> Chart:
    """Loss against compute: each budget's best, the law's frontier with its band, the check and the baselines."""
    law, fitted = contents.law, contents.fitted
    grid = _budgets(contents)
    series = _estimates(grid, [law.optimum(flops=c).loss for c in grid], ACCENT, "best loss under the law")
    series.append(_points(fitted, [r.flops for r in fitted], [r.loss for r in fitted], FAINT, "fitted runs", size=4))
    check = contents.check
    if check is not None:
        said = check["prediction"]
        at = np.array([said["flops"]])
        interval = np.array([said["interval"]["low"], said["interval"]["high"]])
        series.append(Series("line", np.repeat(at, 2), interval, INK, "predicted interval", width=3.0))
        series.append(Series("points", at, np.array([said["loss"]]), INK, "predicted", symbol="diamond", size=8))
        losses = np.array(check["measured"]["losses"])
        series.append(Series("points", np.repeat(at, len(losses)), losses, ACCENT, "measured", symbol="star", size=11))
        for (name, value), colour in zip(said["baselines"].items(), ("#1d4ed8", "#15803d"), strict=False):
            label = name.replace("_", " ")
            series.append(Series("points", at, np.array([value]), colour, label, symbol="cross", size=8))
    return Chart(
        "frontier",
        "The check" if check else "Loss against compute",
        "The compute-optimal frontier of the law with its band. The check's model was predicted first and trained "
        "afterwards; the fit never saw it."
        if check
        else "The compute-optimal frontier of the law with its band.",
        "training compute C (FLOPs)",
        "held-out loss (nats a token)",
        tuple(series),
        y_log=True,
    )


def _budgets(contents: Contents) -> Floats:
    """C from the least that was trained to a little above the check, or ten times the largest."""
    flops = [row.flops for row in contents.observations]
    return np.geomspace(min(flops) / 1.5, max(flops) * (2.0 if contents.checked else 10.0), 48)


def _estimates(x: Floats, values: Sequence[Estimate], colour: str, name: str) -> list[Series]:
    low, middle, high = (np.array([getattr(value, key) for value in values]) for key in ("low", "value", "high"))
    return [
        Series("band", x, low, colour, upper=high),
        Series("line", x, middle, colour, name, width=2.2),
    ]


def _points(
    rows: Sequence[Observation],
    x: Sequence[float] | Floats,
    y: Sequence[float] | Floats,
    colour: str,
    name: str,
    symbol: Literal["circle", "star", "diamond", "cross"] = "circle",
    size: float = 6.0,
) -> Series:
    hover = tuple(
        f"{row.trajectory}<br>N {row.params:,}, D {row.tokens:,}<br>C {row.flops:.3g}, loss {row.loss:.4f}"
        for row in rows
    )
    return Series("points", np.array(x, float), np.array(y, float), colour, name, symbol=symbol, size=size, hover=hover)


def shades(count: int) -> list[str]:
    """So many colours that can be told apart, dark to light."""
    return [to_hex(colormaps["viridis"](place)) for place in np.linspace(0.05, 0.88, count)]


def _convention(contents: Contents, name: str) -> str:
    return contents.law.conventions.get(name, "").replace("_", " ")
