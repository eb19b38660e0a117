"""What the terminal says of a tuned ladder: its law, the rates that it gives, what was measured of it."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from scaling.laws import LawFit, number
from scaling.planning import Plan
from scaling.records import read_json
from scaling.reporting import tuned
from scaling.studies import show, terminal
from scaling.studies.tuned_law import TunedLaw

MOST_NAMED = 8


def law(found: TunedLaw, planned: Plan, path: Path) -> None:
    """The laws of the bowls, what they leave out, and the settings of each size with their intervals."""
    show.laws(dict(found.laws))
    for line in found.left_out:
        terminal.line(f"left out of that law: {line}")
    drawn = Table(box=None, pad_edge=False, header_style="bold")
    drawn.add_column("read off it")
    names = list(found.laws)
    for name in ("width", "N", "D", *(one.replace("_", " ") for one in names)):
        drawn.add_column(name, justify="right")
    for row in read_json(path):
        cells = [_between(row[name]) for name in names]
        drawn.add_row(row["of"], f"{row['width']}", f"{row['params']:,}", f"{row['tokens']:,.0f}", *map(escape, cells))
    terminal.console().print(drawn)
    terminal.line(f"committed to {path.parent} before the ladder; {len(planned.trajectories)} trajectories follow it")


def moved(found: TunedLaw, names: Sequence[str]) -> str:
    """That another law took the place of an earlier one."""
    if not names:
        return f"the bowls have another law than before, tuning/{found.key}; nothing was trained at other rates"
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return (
        f"the ladder's rates moved: the bowls have another law than before, tuning/{found.key}. {len(names)} "
        f"trajectories at earlier rates stay on disk, and no law sees them: {', '.join(names[:MOST_NAMED])}{more}"
    )


def measured(found: LawFit) -> None:
    """Regret, corners, and what they did to the intervals of the law that answers."""
    lines = tuned.lines(found)
    if lines:
        terminal.console().print("\n[bold]tuning[/]")
    for line in lines:
        terminal.line(f"  {line}")


def _between(value: Mapping[str, float]) -> str:
    return f"{number(value['value'])} [{number(value['low'])}, {number(value['high'])}]"
