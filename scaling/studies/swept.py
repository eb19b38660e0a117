"""What a law is fitted to where runs of one N and D were trained in several ways: the best of each, by bowls.

Rows that differ in their seed alone stay as they are.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import polars as pl

from scaling import laws
from scaling.laws import LawError
from scaling.laws.procedures.cells import cells_of
from scaling.records import RunDirectory, Trajectory, planned_of

OVER = ("learning_rate", "batch_tokens")
"""What may be swept at one N and D."""
SETTINGS = (*OVER, "batch_size")
"""Columns of a form that reads raw sweeps."""
CELL = ("params", "tokens", "flops")


@dataclass(frozen=True)
class Rows:
    """The rows of a law, and what there is to say about them.

    Attributes:
      over: what was swept; nothing where the rows are the runs.
    """

    table: pl.DataFrame
    over: tuple[str, ...] = ()
    said: tuple[str, ...] = ()


def rows_of(table: pl.DataFrame, diverged: pl.DataFrame | None = None) -> Rows:
    """One row of each (N, D) whose runs differ in learning rate or batch size; else the runs themselves.

    `diverged` has a row of no loss for each run that ended early: its setting was tried.
    """
    over = swept(table)
    if not over:
        return Rows(table)
    tried = table if diverged is None or not len(diverged) else pl.concat([table, diverged], how="diagonal_relaxed")
    tried = _with_a_loss(tried)
    what = " and ".join(over)
    try:
        best = laws.best_over(tried, over, CELL)
    except LawError as error:
        lowest = _lowest(table)
        return Rows(
            lowest,
            over,
            (
                f"{what} differ between runs of one N and D, and no bowls can be fitted ({error}): the laws see the "
                f"lowest loss of each of {len(lowest)} (N, D), which is biased low; sweep more values, or repeat seeds",
            ),
        )
    lost = len(tried) - len(table)
    said = (
        f"the laws see the best of each (N, D) over {what}, by bowls: {len(best)} rows of {len(tried)} runs"
        f"{f', {lost} of them diverged' if lost else ''}"
    )
    return Rows(best, over, (said, *_edges(best, over)))


def swept(table: pl.DataFrame) -> tuple[str, ...]:
    """Of OVER, what differs between rows of some (N, D)."""
    if not len(table):
        return ()
    place = _cells(table)
    return tuple(name for name in OVER if table.group_by(place).agg(pl.col(name).n_unique())[name].max() != 1)


def diverged(directory: RunDirectory, trajectories: Iterable[Trajectory]) -> pl.DataFrame:
    """A row of no loss for each horizon of the fit's trajectories that diverged."""
    gone = [one for one in trajectories if one.role == "fit" and directory.trajectory(one.id).diverged.exists()]
    return pl.DataFrame([planned_of(one, horizon) | {"loss": None} for one in gone for horizon in one.horizons])


def _cells(table: pl.DataFrame) -> pl.Series:
    numbers = [table[name].cast(pl.Float64).to_numpy() for name in ("params", "tokens")]
    return pl.Series("cell", cells_of(numbers))


def _with_a_loss(table: pl.DataFrame) -> pl.DataFrame:
    """Without cells of which no run has a loss."""
    place = _cells(table)
    return table.with_columns(place).filter(pl.col("loss").is_not_null().any().over("cell")).drop("cell")


def _lowest(table: pl.DataFrame) -> pl.DataFrame:
    place = _cells(table)
    return table.with_columns(place).sort("loss").unique("cell", keep="first", maintain_order=True).drop("cell")


def _edges(best: pl.DataFrame, over: Sequence[str]) -> Iterable[str]:
    for name in over:
        count = int(best[f"{name}_at_edge"].sum())
        if count:
            yield (
                f"{name} is best at an end of what was tried in {count} of {len(best)} (N, D): the loss there is no "
                "minimum; sweep farther"
            )
