"""What the terminal says of named held-out sets."""

from collections.abc import Sequence

from rich.markup import escape
from rich.table import Table

from scaling.records import Observation, RunDirectory
from scaling.reporting import measured
from scaling.studies.terminal import console

SHOWN = 3


def everything(directory: RunDirectory, rows: Sequence[Observation]) -> None:
    """A table of the study's own held-out text, and one for each named set."""
    _table(measured.OWN, "", *measured.own_table(measured.largest(rows)))
    named(directory, rows, measured.set_names(rows))


def named(directory: RunDirectory, rows: Sequence[Observation], names: Sequence[str]) -> None:
    """A table for each set: of each size the model of the most tokens."""
    there = [name for name in measured.set_names(rows) if name in names]
    for name in there:
        _table(name, measured.chance(rows, name), *measured.table(measured.largest(rows, name), name))
    if there:
        columns = " and ".join(f"{name}.*" for name in there)
        console().print(f"all horizons: columns {columns} of {directory.observations}", soft_wrap=True)


def _table(name: str, remark: str, heads: Sequence[str], cells: Sequence[Sequence[str]]) -> None:
    out = console()
    out.print(f"\n[bold]{escape(name)}[/]{f' ({remark})' if remark else ''}")
    drawn = Table(box=None, pad_edge=False, header_style="bold")
    for head in heads:
        drawn.add_column(head, justify="left" if head == "trajectory" else "right")
    for row in cells:
        drawn.add_row(*row)
    out.print(drawn)


def missing(horizons: Sequence[str]) -> str:
    """Horizons that cannot be measured, and what to do."""
    shown = ", ".join(horizons[:SHOWN]) + (", ..." if len(horizons) > SHOWN else "")
    return (
        f"{len(horizons)} horizon(s) have no kept model and stay unmeasured: {shown}; they were trained before models "
        "were kept, or under checkpoints.keep_models last or none: train them again under another --out with "
        "keep_models all"
    )
