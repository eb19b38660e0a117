"""Charts as files for papers and slides: SVG and PNG, by matplotlib. No display, no global state."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter, NullFormatter

from scaling.records import replace
from scaling.reporting.charts import Chart, Series

SYMBOLS = {"circle": "o", "star": "*", "diamond": "D", "cross": "X"}
DOTS_PER_INCH = 160
LEGEND_COLUMN = 16
"""Entries from which a legend takes two columns."""
FIXED: Any = {"svg.hashsalt": "scaling", "svg.fonttype": "none"}
"""The same chart gives the same bytes, and its text stays text."""


def write_figures(charts: Sequence[Chart], folder: Path) -> None:
    """`folder`/<key>.svg and .png for each chart."""
    for chart in charts:
        with mpl.rc_context(FIXED):
            figure = draw(chart)
            for kind in ("svg", "png"):
                written = BytesIO()
                metadata = {"Date": None} if kind == "svg" else None
                figure.savefig(written, format=kind, dpi=DOTS_PER_INCH, metadata=metadata)
                replace(folder / f"{chart.key}.{kind}", written.getvalue())


def draw(chart: Chart) -> Figure:
    """`chart` as a matplotlib figure."""
    figure = Figure(figsize=(8.4, 5.0), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for series in chart.series:
        _add(axes, series)
    axes.set(xlabel=chart.x_label, ylabel=chart.y_label)
    axes.set_title(chart.title, loc="left", fontweight="bold")
    if chart.x_log:
        axes.set_xscale("log")
    if chart.y_log:
        axes.set_yscale("log")
        low, high = axes.get_ylim()
        few = high / low < 30
        axes.yaxis.set_minor_formatter(
            LogFormatter(labelOnlyBase=False, minor_thresholds=(2, 0.8)) if few else NullFormatter()
        )
    axes.grid(alpha=0.2, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    entries = len(axes.get_legend_handles_labels()[1])
    if entries:
        axes.legend(
            loc="center left",
            bbox_to_anchor=(1.01, 0.5),
            frameon=False,
            fontsize=8,
            ncols=2 if entries > LEGEND_COLUMN else 1,
        )
    return figure


def _add(axes: Any, series: Series) -> None:
    label = series.name or None
    if series.kind == "band":
        axes.fill_between(series.x, series.y, series.upper, color=series.colour, alpha=0.15, linewidth=0, label=label)
    elif series.kind == "line":
        style = (0, (4, 2)) if series.dashed else "-"
        axes.plot(series.x, series.y, color=series.colour, linewidth=series.width, linestyle=style, label=label)
    else:
        axes.plot(
            series.x,
            series.y,
            linestyle="none",
            marker=SYMBOLS[series.symbol],
            markersize=series.size,
            markeredgewidth=0.5,
            markeredgecolor="white",
            color=series.colour,
            label=label,
            zorder=3,
        )
