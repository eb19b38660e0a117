"""Live progress: every trajectory and the whole sweep on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from scaling.records import RunDirectory, Trajectory
from scaling.studies.status import State, TrajectoryStatus, progress

PLAIN_SECONDS = 15.0
"""Between two plain lines."""
LIVE_SECONDS = 1.0
"""Between two looks at the files."""
BAR = 20
LINES = 60
"""Trajectories of which each has a line."""
STATES: tuple[State, ...] = ("waiting", "training", "done", "diverged", "stopped", "failed")
STYLES: dict[State, str] = {
    "waiting": "dim",
    "training": "",
    "done": "green",
    "diverged": "red",
    "stopped": "yellow",
    "failed": "red",
}


class Progress:
    """Reads the run directory, now and then, and draws how far it is."""

    def __init__(self, directory: RunDirectory, trajectories: Sequence[Trajectory], title: str):
        self._directory, self._trajectories, self._title = directory, trajectories, title
        self._console = Console()
        self._live = Live(console=self._console, auto_refresh=False) if sys.stdout.isatty() else None
        self._started = time.monotonic()
        self._looked = 0.0
        self._ended: dict[str, TrajectoryStatus] = {}
        """By id, what will not change any more, and is not read again."""
        self._done_before = self._done(self._read())

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.update(force=True)
        if self._live is not None:
            self._live.stop()

    def update(self, *_: Any, force: bool = False) -> None:
        """Draw, unless it was drawn a moment ago."""
        pause = PLAIN_SECONDS if self._live is None else LIVE_SECONDS
        if not force and time.monotonic() - self._looked < pause:
            return
        self._looked = time.monotonic()
        found = self._read()
        if self._live is None:
            print(self._line(found), flush=True)
        else:
            self._live.update(Group(drawn(found), Text(self._line(found))), refresh=True)

    def _read(self) -> tuple[TrajectoryStatus, ...]:
        left = [one for one in self._trajectories if one.id not in self._ended]
        found = {one.trajectory.id: one for one in progress(self._directory, left)}
        self._ended |= {id: one for id, one in found.items() if one.state in ("done", "diverged", "stopped")}
        found |= self._ended
        return tuple(found[one.id] for one in self._trajectories)

    def _done(self, found: Sequence[TrajectoryStatus]) -> float:
        return sum(one.done_flops for one in found)

    def _line(self, found: Sequence[TrajectoryStatus]) -> str:
        done, total = self._done(found), sum(one.total_flops for one in found)
        seconds = time.monotonic() - self._started
        rate = (done - self._done_before) / seconds
        horizons = sum(len(one.trajectory.horizons) for one in found)
        finished = sum(one.horizons_done for one in found)
        eta = "done" if done >= total else f"ETA {duration((total - done) / rate)}" if rate > 0 else "ETA ..."
        return (
            f"{self._title}: {done:.2e} of {total:.2e} FLOPs ({done / total:.0%}), {finished}/{horizons} horizons, "
            f"{rate:.1e} FLOP/s, {duration(seconds)} gone, {eta}"
        )


def drawn(found: Sequence[TrajectoryStatus]) -> Group:
    """A line a trajectory; a line a size where there are more than a person reads."""
    if len(found) <= LINES:
        return Group(table(found))
    return Group(sizes_table(found), Text(f"{len(found):,} trajectories by size; scaling status DIR --json has each"))


def sizes_table(found: Sequence[TrajectoryStatus]) -> Table:
    """Every size and role, with how many trajectories are how far."""
    groups: dict[tuple[int, int, int, str], list[TrajectoryStatus]] = {}
    for one in found:
        model = one.trajectory.model
        groups.setdefault((one.trajectory.params, model.width, model.layers, one.trajectory.role), []).append(one)
    drawn = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("size", "N", *STATES, "horizons", "done"):
        drawn.add_column(name, justify="left" if name == "size" else "right")
    for (params, width, layers, role), mine in sorted(groups.items()):
        counts = [sum(one.state == state for one in mine) for state in STATES]
        horizons = sum(len(one.trajectory.horizons) for one in mine)
        share = sum(one.done_flops for one in mine) / sum(one.total_flops for one in mine)
        drawn.add_row(
            f"w{width}-l{layers}{'' if role == 'fit' else f' {role}'}",
            f"{params:,}",
            *(str(number or "") for number in counts),
            f"{sum(one.horizons_done for one in mine)}/{horizons}",
            f"{share:.0%}",
        )
    return drawn


def table(found: Sequence[TrajectoryStatus]) -> Table:
    """Every trajectory with its loss, speed and share done."""
    drawn = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("trajectory", "N", "loss", "tokens/s", "horizons", "done"):
        drawn.add_column(name, justify="left" if name in ("trajectory", "done") else "right")
    for one in found:
        filled = round(BAR * one.share)
        bar = "━" * filled + "╌" * (BAR - filled) + f" {one.share:.0%}"
        style = STYLES[one.state]
        drawn.add_row(
            one.trajectory.id,
            f"{one.trajectory.params:,}",
            "" if one.loss is None else f"{one.loss:.4f}",
            "" if one.tokens_per_second is None else f"{one.tokens_per_second:,.0f}",
            f"{one.horizons_done}/{len(one.trajectory.horizons)}",
            one.state if one.state in ("diverged", "stopped", "failed") else bar,
            style=style,
        )
    return drawn


def duration(seconds: float) -> str:
    """Seconds as people say them: 45 s, 3 min 20 s, 2 h 05 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
