"""What the terminal says of named held-out sets."""

from collections.abc import Sequence

from rich.markup import escape
from rich.table import Table

from scaling.records import Observation, RunDirectory
from scaling.reporting import measured
from scaling.studies.show import console

SHOWN = 3


def tables(directory: RunDirectory, rows: Sequence[Observation], names: Sequence[str] | None = None) -> None:
    """A table for each set, or each of `names`: of each size the model of the most tokens."""
    out = console()
    shown = [name for name in measured.set_names(rows) if names is None or name in names]
    for name in shown:
        heads, cells = measured.table(measured.largest(rows, name), name)
        chance = measured.chance(rows, name)
        out.print(f"\n[bold]{escape(name)}[/]{f' ({chance})' if chance else ''}")
        drawn = Table(box=None, pad_edge=False, header_style="bold")
        for head in heads:
            drawn.add_column(head, justify="left" if head == "trajectory" else "right")
        for row in cells:
            drawn.add_row(*row)
        out.print(drawn)
    if shown:
        columns = " and ".join(f"{name}.*" for name in shown)
        out.print(f"all horizons: columns {columns} of {directory.observations}", soft_wrap=True)


def missing(horizons: Sequence[str]) -> str:
    """Horizons that cannot be measured, and what to do."""
    shown = ", ".join(horizons[:SHOWN]) + (", ..." if len(horizons) > SHOWN else "")
    return (
        f"{len(horizons)} horizon(s) have no kept model and stay unmeasured: {shown}; they were trained before models "
        "were kept, or under checkpoints.keep_models last or none: train them again under another --out with "
        "keep_models all"
    )
