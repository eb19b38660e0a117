"""Draws the learning-rate bowls: `python plot.py LEARNING_RATE.csv OUT` writes OUT.png."""

import sys

import numpy as np
import polars as pl
from matplotlib.figure import Figure


def main(table_path: str, out: str) -> None:
    """Loss over the width's lowest, against the rate; a parabola in ln rate through each width's means."""
    table = pl.read_csv(table_path).group_by("width", "learning_rate").agg(pl.col("loss").mean(), pl.len())
    figure = Figure(figsize=(7, 4.4), layout="constrained")
    axes = figure.add_subplot()
    for (width,), rows in sorted(table.group_by("width"), key=lambda pair: pair[0]):
        rows = rows.sort("learning_rate")
        rate, loss = rows["learning_rate"].to_numpy(), rows["loss"].to_numpy()
        bowl = np.polynomial.Polynomial.fit(np.log(rate), loss, 2)
        grid = np.geomspace(rate.min(), rate.max(), 100)
        (line,) = axes.plot(grid, bowl(np.log(grid)) / loss.min(), linewidth=1)
        axes.plot(rate, loss / loss.min(), "o", color=line.get_color(), label=f"width {width}")
        best = float(np.exp(bowl.deriv().roots()[0]))
        print(f"width {width}: best rate {best:.3g}")
    axes.set(xscale="log", xlabel="peak learning rate", ylabel="loss over the width's lowest")
    axes.legend(frameon=False)
    figure.savefig(f"{out}.png", dpi=140)


if __name__ == "__main__":
    main(*sys.argv[1:])
