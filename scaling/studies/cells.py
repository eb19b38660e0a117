"""What a reduced sweep looks like on the terminal: its cells, and where the best lies at an edge of what was tried."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.markup import escape
from rich.table import Table

from scaling.laws import count, number
from scaling.laws.columns import LETTERS
from scaling.laws.forms.inputs import symbol
from scaling.studies.reduction import Reduced
from scaling.studies.terminal import console

MOST_CELLS = 40
"""Cells that are listed."""
MOST_EDGES = 6
"""Cells that are named where their best lies at an edge."""


def show(found: Reduced, name: str = "") -> None:
    """What a raw sweep was reduced to, and where its best lies at an edge of what was tried."""
    out = console()
    lost = f", {found.diverged} without a loss" if found.diverged else ""
    left = f", {found.checks} of role check left out" if found.checks else ""
    out.print(
        f"{escape(name)}{': ' if name else ''}{found.runs} runs{lost}{left}; the best of {len(found.table)} cells over "
        f"{' and '.join(found.over)}, by bowls of the settings within {found.reach:.3g} of their least ln loss"
    )
    drawn = Table(box=None, pad_edge=False, header_style="bold")
    heads = [symbol(one) for one in found.cell]
    for head in (*heads, "loss", "its se", "regret", *found.over, "settings", "runs"):
        drawn.add_column(head, justify="right")
    at_edge = {(row, one): end for (one, end), rows in found.edges.items() for row in rows}
    for index, row in enumerate(found.table.iter_rows(named=True)):
        if index == MOST_CELLS:
            break
        best = [f"{number(row[one])}{'*' if (index, one) in at_edge else ''}" for one in found.over]
        drawn.add_row(
            *(_shown(row[one], one) for one in found.cell),
            f"{row['loss']:.5g}",
            f"{row['loss_se']:.2g}",
            f"{row['regret']:.2%}",
            *best,
            str(row["settings"]),
            str(row["runs"]),
        )
    out.print(drawn)
    if len(found.table) > MOST_CELLS:
        out.print(f"and {len(found.table) - MOST_CELLS} more, all of them in --json")
    for line in edges(found):
        out.print(escape(f"* {line}"))


def edges(found: Reduced) -> list[str]:
    """A line for each end of what was tried at which the best of some cells lies."""
    lines = []
    for (one, end), rows in found.edges.items():
        where = "; ".join(_place(found.table.row(row, named=True), found.cell) for row in rows[:MOST_EDGES])
        more = f"; and {len(rows) - MOST_EDGES} more" if len(rows) > MOST_EDGES else ""
        lines.append(
            f"{one} is best at the {end} tried in {len(rows)} of {len(found.table)} cells ({where}{more}): the loss "
            "there is no minimum; sweep farther, or leave these cells out"
        )
    return lines


def _shown(value: Any, name: str) -> str:
    if name == "flops":
        return number(value)
    return count(value) if name in LETTERS else str(value)


def _place(row: Mapping[str, Any], cell: Sequence[str]) -> str:
    """How people call a cell: N 100M, D 2B."""
    return ", ".join(f"{symbol(name)} {_shown(row[name], name)}" for name in cell)
