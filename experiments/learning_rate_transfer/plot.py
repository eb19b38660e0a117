"""The best learning rate of each width by a bowl, and how it moves with the width: `python plot.py RUNS.csv OUT`.

    in each cell     ln L = ln L* + curvature (ln rate - ln rate*)^2 / 2        over all its seeds, near the minimum
    shift            largest rate* over the widths / smallest
    law              rate* = coefficient width^exponent

Prints them as tables, with 95% intervals, and draws OUT.png.
"""

import sys
from typing import Any

import numpy as np
import polars as pl
from matplotlib.figure import Figure

from scaling import laws

NAMES = {"standard": "standard, one global rate", "mup": "muP"}
Z = 1.96
"""Of a 95% interval."""
RESAMPLES = 1000
"""Behind the law's interval."""
DRAWN = 0.03
"""Bowls are drawn up to this much of ln L above their minimum: as far as they are fitted."""


def main(table_path: str, out: str) -> None:
    """Every rule of the table, in its order."""
    table = pl.read_csv(table_path)
    rules = table["rule"].unique(maintain_order=True).to_list()
    figure = Figure(figsize=(4.6 * len(rules), 4.4), layout="constrained")
    panels = figure.subplots(1, len(rules), sharex=True, sharey=True, squeeze=False)[0]
    for rule, axes in zip(rules, panels, strict=True):
        rows = table.filter(pl.col("rule") == rule)
        fit = best_rates(rows, RESAMPLES)
        tell(rule, rows, fit)
        draw(axes, rule, rows, fit)
    panels[0].set_ylabel("validation loss, nats a token")
    panels[-1].legend(frameon=False, fontsize="small")
    figure.savefig(f"{out}.png", dpi=130)


def best_rates(rows: pl.DataFrame, resamples: int = 0) -> laws.LawFit:
    """The bowls of one rule, in `details["cells"]` by rising width, and the power law of their minima in the width."""
    of = {"params": "width"}
    return laws.fit(rows, "hyperparameters", over="learning_rate", inputs=("params",), columns=of, resamples=resamples)


def shift(rates: np.ndarray[Any, Any]) -> float:
    """Largest over smallest."""
    return float(rates.max() / rates.min())


def tell(rule: str, rows: pl.DataFrame, fit: laws.LawFit) -> None:
    """Best rates, their shift, each seed's own, and the law, in Markdown."""
    cells = fit.details["cells"]
    shared = [seed for (seed,), part in rows.group_by("seed") if part["width"].n_unique() == len(cells)]
    alone = [minima(best_rates(rows.filter(pl.col("seed") == seed))) for seed in sorted(shared)]
    print(f"\n{NAMES.get(rule, rule)}\n\n| width | runs | best rate | 95% interval | each seed alone | lowest loss |")
    print("|---|---|---|---|---|---|")
    for index, cell in enumerate(cells):
        rate, factor = cell["best"]["learning_rate"], np.exp(Z * cell["log_se"]["learning_rate"])
        own = ", ".join(f"{one[index]:.4f}" for one in alone)
        edge = " (at the edge)" if cell["at_edge"]["learning_rate"] else ""
        interval = f"{rate / factor:.4f} to {rate * factor:.4f}"
        print(f"| {cell['params']:.0f} | {cell['runs']} | {rate:.4f}{edge} | {interval} | {own} | {cell['loss']:.3f} |")
    best = minima(fit)
    narrow, wide = (cell["log_se"]["learning_rate"] for cell in (cells[0], cells[-1]))
    ratio, factor = best[0] / best[-1], np.exp(Z * np.hypot(narrow, wide))
    print(f"\nnarrowest over widest {ratio:.2f} ({ratio / factor:.2f} to {ratio * factor:.2f})", end="; ")
    print(f"largest over smallest {shift(best):.2f}, each seed alone {', '.join(f'{shift(one):.2f}' for one in alone)}")
    widest = rows.filter(pl.col("width") == pl.col("width").max())
    means = widest.group_by("learning_rate").agg(pl.col("loss").mean()).drop_nulls()
    near = means.sort((pl.col("learning_rate") / best[0]).log().abs())
    above = near["loss"][0] / means["loss"].min() - 1
    print(
        f"the widest at {near['learning_rate'][0]:.3g}, about the narrowest's best: {above:.1%} above its lowest mean"
    )
    interval = fit.intervals["params_exponent"]
    print(f"rate* ~ width^{fit.params['params_exponent']:.2f} ({interval.low:.2f} to {interval.high:.2f})")


def draw(axes: Any, rule: str, rows: pl.DataFrame, fit: laws.LawFit) -> None:
    """Runs as dots, the means of their seeds as lines, bowls as thick lines, minima as stars."""
    for index, cell in enumerate(fit.details["cells"]):
        color, width = f"C{index}", round(cell["params"])
        own = rows.filter((pl.col("width") == width) & pl.col("loss").is_not_null()).sort("learning_rate")
        means = own.group_by("learning_rate", maintain_order=True).agg(pl.col("loss").mean())
        axes.plot(own["learning_rate"], own["loss"], ".", color=color, markersize=3, alpha=0.6)
        axes.plot(means["learning_rate"], means["loss"], color=color, linewidth=0.7, alpha=0.6)
        rate, curvature = cell["best"]["learning_rate"], cell["curvature"][0][0]
        x = np.linspace(-1, 1, 50) * np.sqrt(2 * DRAWN / curvature)
        x = x[(rate * np.exp(x) >= own["learning_rate"].min()) & (rate * np.exp(x) <= own["learning_rate"].max())]
        axes.plot(rate * np.exp(x), cell["loss"] * np.exp(curvature * x**2 / 2), color=color, linewidth=2)
        axes.plot(rate, cell["loss"], "*", color=color, markersize=13, markeredgecolor="black", label=f"width {width}")
    name, moved = NAMES.get(rule, rule), shift(minima(fit))
    axes.set(xscale="log", xlabel="peak learning rate", title=f"{name}: best rates differ {moved:.2f}x")


def minima(fit: laws.LawFit) -> np.ndarray[Any, Any]:
    """(widths,) the best rate of each, by rising width."""
    return np.array([cell["best"]["learning_rate"] for cell in fit.details["cells"]])


if __name__ == "__main__":
    main(*sys.argv[1:])
