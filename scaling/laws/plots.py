"""Figures of a fitted law: matplotlib, imported when one is drawn. No JAX.

A law with an optimum: L*(C), N*(C) and D*(C) with their bands, over the fitted budgets and 100 times beyond. Any other:
the output along each input, the others held. With a table also its rows and their residuals.
"""

import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from scaling.laws import asymptote, prediction
from scaling.laws.curves import BEYOND, Line, along, frontier
from scaling.laws.errors import LawError, nearest
from scaling.laws.forms import Floats
from scaling.laws.forms.inputs import symbol
from scaling.laws.surface import PLANE, typical
from scaling.laws.ticks import round_ticks, words
from scaling.laws.values import count, number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from scaling.laws.results import LawFit
    from scaling.laws.table import Table

BLUE, GREEN, RED, INK, GREY = "#0072b2", "#00795c", "#c8501e", "#1b1b1f", "#6d727a"
STYLE: dict[Any, Any] = {
    "font.size": 9.0,
    "axes.labelsize": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#55585e",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e7e8ea",
    "grid.linewidth": 0.6,
    "legend.fontsize": 8.0,
    "legend.facecolor": "white",
    "legend.edgecolor": "none",
    "legend.framealpha": 0.75,
}


def plot(
    fit: "LawFit",
    rows: Any = None,
    columns: Mapping[str, str] | None = None,
    held: Mapping[str, float] | None = None,
) -> "Figure":
    """What the law says, as a Figure to show or to save: `figure.savefig("law.pdf")`.

    `held`: the law's further inputs, the middle of what was fitted where not given. `rows` (with `columns`, as `fit`
    takes them): a table to draw beside the law, the fitted one or another.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    # A dataframe library, which a law that is only read has no use for.
    from scaling.laws import table

    given = _held(fit, held or {})
    # Named only where it is another: then a table of D and C alone still tells N.
    cost = None if fit.cost["rule"] == "6N" else fit.cost
    runs = None if rows is None else table.read(rows, columns, cost, 0, fit.law)
    panels = 2 if fit.has_optimum else len(fit.law.inputs)
    # A law of the frontier alone says nothing of a single run.
    with_residuals = runs is not None and fit.law.frontier is None
    total = panels + with_residuals
    across = 2 if total == 4 else min(total, 3)
    down = -(-total // across)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(3.9 * across + 0.5, 3.3 * down + 0.6), dpi=150, layout="constrained")
        figure.get_layout_engine().set(w_pad=0.09, h_pad=0.06)  # type: ignore[union-attr,call-arg]
        axes = list(figure.subplots(down, across, squeeze=False).ravel())
        for spare in axes[total:]:
            spare.remove()
        if fit.has_optimum:
            lines = frontier(fit, given)
            drawn = _loss(fit, axes[0], lines["loss"], runs)
            if runs is not None and drawn is not None and not with_residuals:
                _key(figure, axes[0], drawn, runs)
            _sizes(axes[1], lines)
        else:
            for axis, name in zip(axes, fit.law.inputs, strict=False):
                _curve(fit, axis, name, held or {}, runs)
        if runs is not None and with_residuals:
            _residuals(fit, figure, axes[panels], runs)
        figure.suptitle(_title(fit, given, 52 * across), fontsize=9.5, x=0.008, ha="left", color=INK)
    return figure


def _held(fit: "LawFit", held: Mapping[str, float]) -> dict[str, float]:
    """A value for every input that is not an axis of the figure."""
    law = fit.law
    inputs = [name for name in law.inputs if not (fit.has_optimum and name in PLANE)]
    for name in held:
        if name not in inputs:
            raise LawError(
                f"{name!r} cannot be held in this figure: {', '.join(inputs) or 'nothing'} can{nearest(name, inputs)}"
            )
    return {name: float(value) for name, value in typical(fit, held).items() if name in inputs}


def _title(fit: "LawFit", held: Mapping[str, float], width: int) -> str:
    about = [f"{fit.form}: {fit.equation}"]
    if fit.has_optimum or len(fit.law.inputs) > 1:
        about += [f"{name} = {count(value)}" for name, value in held.items()]
    if fit.samples:
        about.append(f"{fit.level:.0%} bands")
    lines = [""]
    for part in about:
        whole = f"{lines[-1]}; {part}" if lines[-1] else part
        lines[-1:] = (
            [whole] if len(whole) <= width else [*([lines[-1]] if lines[-1] else []), *textwrap.wrap(part, width)]
        )
    return "\n".join(lines)


def _loss(fit: "LawFit", axis: "Axes", line: Line, runs: "Table | None") -> Any:
    """L*(C), with the rows' losses, which are returned as drawn."""
    fitted_to = _fitted_range(axis, line.x[0], line.x[-1] / BEYOND)
    seen_x, seen_y, drawn = [line.x], [line.low, line.high], None
    if runs is not None and len(runs.flops):
        drawn = axis.scatter(runs.flops, runs.target, s=11, lw=0, alpha=0.85, zorder=2, label="runs", **_colours(runs))
        seen_x.append(runs.flops)
        seen_y.append(runs.target)
    _draw(axis, line, BLUE, f"best {words(fit.output)} for C", fitted_to)
    round_ticks(axis, "x", np.concatenate(seen_x), "flops")
    level = _asymptote(fit, axis)
    if fit.objective["space"] == "log":
        round_ticks(axis, "y", np.concatenate([*seen_y, level]), fit.output)
    axis.set(xlabel=words("flops"), ylabel=words(fit.output))
    axis.legend(loc="best")
    return drawn


def _sizes(axis: "Axes", lines: Mapping[str, Line]) -> None:
    """N*(C) and D*(C)."""
    x = lines["params"].x
    fitted_to = _fitted_range(axis, x[0], x[-1] / BEYOND)
    inside = x <= fitted_to * 1.001
    for name, colour in (("tokens", GREEN), ("params", RED)):
        slope = np.polyfit(np.log(x[inside]), np.log(lines[name].y[inside]), 1)[0]
        _draw(axis, lines[name], colour, f"{symbol(name)}*, about C$^{{{slope:.2f}}}$", fitted_to)
    round_ticks(axis, "x", x, "flops")
    ends = [end for line in lines.values() for end in (line.low, line.high) if line is not lines["loss"]]
    round_ticks(axis, "y", np.concatenate(ends), "params")
    axis.set(xlabel=words("flops"), ylabel="parameters N*, tokens D*")
    axis.legend(loc="upper left")


def _curve(fit: "LawFit", axis: "Axes", name: str, held: Mapping[str, float], runs: "Table | None") -> None:
    """The output along one input, with the rows' own."""
    line = along(fit, name, held)
    low, high = fit.ranges[name]
    if line.x[-1] > high * 1.01:
        _fitted_range(axis, low, high)
    seen_x, seen_y = [line.x], [line.low, line.high]
    if runs is not None:
        # Rows differ in the other inputs too: they lie on the curve only where there are none.
        colour = INK if len(fit.law.inputs) == 1 else "#b4b7bc"
        axis.scatter(runs.column(name), runs.target, s=14, lw=0, zorder=2, color=colour, label="runs")
        seen_x.append(runs.column(name))
        seen_y.append(runs.target)
    _draw(axis, line, BLUE, "the law", high)
    level = _asymptote(fit, axis)
    if name not in fit.law.linear_inputs:
        round_ticks(axis, "x", np.concatenate(seen_x), name)
    if fit.objective["space"] == "log":
        round_ticks(axis, "y", np.concatenate([*seen_y, level]), fit.output)
    axis.set(xlabel=words(name), ylabel=words(fit.output))
    axis.legend(loc="best")


def _residuals(fit: "LawFit", figure: "Figure", axis: "Axes", runs: "Table") -> None:
    """What the rows lie above the law: in percent where residuals are logarithms."""
    said = prediction.output(fit, {name: runs.column(name) for name in fit.law.inputs})
    logarithms = fit.objective["space"] == "log"
    away = 100 * np.log(runs.target / said) if logarithms else runs.target - said
    half = 1.96 * fit.noise.get("run", 0.0) * (100 if logarithms else 1)
    name = "flops" if len(runs.flops) else fit.law.inputs[0]
    x = runs.column(name)
    axis.axhspan(-half, half, fc="#f1f2f4", ec="#d3d6da", lw=0.6, zorder=0, label="95% of new runs")
    axis.axhline(0, color=INK, lw=0.8)
    drawn = axis.scatter(x, away, s=14, lw=0, alpha=0.9, zorder=2, **_colours(runs))
    _key(figure, axis, drawn, runs)
    if name not in fit.law.linear_inputs:
        round_ticks(axis, "x", x, name)
    what = "run above law (%)" if logarithms else f"{words(fit.output)}, run minus law"
    axis.set(xlabel=words(name), ylabel=what)
    axis.margins(y=0.12)
    axis.legend(loc="best", handlelength=1.2)


def _draw(axis: "Axes", line: Line, colour: str, label: str, fitted_to: float) -> None:
    """Solid where fitted, dashed beyond."""
    axis.fill_between(line.x, line.low, line.high, color=colour, alpha=0.18, lw=0, zorder=1)
    inside = line.x <= fitted_to * 1.001
    axis.plot(line.x[inside], line.y[inside], color=colour, lw=1.7, label=label, zorder=3)
    last = max(int(inside.sum()) - 1, 0)
    axis.plot(line.x[last:], line.y[last:], color=colour, lw=1.5, ls=(0, (4, 2)), zorder=3)


def _fitted_range(axis: "Axes", low: float, high: float) -> float:
    axis.axvspan(low, high, fc="#f1f2f4", ec="#d3d6da", lw=0.6, zorder=0, label="fitted range")
    return high


def _asymptote(fit: "LawFit", axis: "Axes") -> Floats:
    """Where the law levels off, with its interval, drawn; its values for the axis to show."""
    name = asymptote.level(fit)
    if name is None or fit.params[name] <= 0:
        return np.array([])
    if name in fit.intervals:
        axis.axhspan(fit.intervals[name].low, fit.intervals[name].high, color=GREY, alpha=0.13, lw=0, zorder=0)
    label = f"{name} = {number(fit.params[name])}" + (" (held)" if name in fit.pinned else "")
    axis.axhline(fit.params[name], color=GREY, lw=1.1, ls=(0, (1, 1.5)), zorder=1, label=label)
    return np.array([fit.params[name]])


def _colours(runs: "Table") -> dict[str, Any]:
    """By N, where the table has it."""
    from matplotlib import colormaps
    from matplotlib.colors import ListedColormap, LogNorm

    if len(runs.params) == 0 or np.ptp(runs.params) == 0:
        return {"color": INK}
    # Without the palest tenth, which white paper swallows.
    shades = ListedColormap(colormaps["viridis_r"](np.linspace(0.1, 1.0, 256)))
    return {"c": runs.params, "cmap": shades, "norm": LogNorm(runs.params.min(), runs.params.max())}


def _key(figure: "Figure", axis: "Axes", drawn: Any, runs: "Table") -> None:
    """What the colours of the rows mean."""
    if len(runs.params) and np.ptp(runs.params) > 0:
        bar = figure.colorbar(drawn, ax=axis, aspect=30, pad=0.02, label=words("params"))
        bar.outline.set_visible(False)
        round_ticks(bar.ax, "y", runs.params, "params")
        bar.ax.set_ylim(runs.params.min(), runs.params.max())
