"""The study's text: tokenised on as many processes as the study has, kept for other studies, with a line on stderr."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from scaling.config import Study
from scaling.data import Tokens, prepare
from scaling.planning import process_count

QUIET_SECONDS = 1.0
"""What is done sooner is not worth a line."""
PLAIN_SECONDS = 15.0
"""Between two plain lines, where no terminal shows a bar."""


def tokens_of(study: Study) -> Tokens:
    """The study's tokens, made or found.

    Raises:
      StudyError: the text cannot be read as told, or is too short for what is to be held out.
      OSError: no space is left.
    """
    cache = study.engine.token_cache
    with _watched() as watch:
        return prepare(
            study.data,
            study.seed,
            cache=None if cache is None else Path(cache).expanduser(),
            processes=process_count(study.engine),
            watching=watch.update,
        )


@contextmanager
def _watched() -> Iterator["_Watch"]:
    watch = _Watch()
    try:
        yield watch
    finally:
        watch.close()


class _Watch:
    """A bar on a terminal, plain lines elsewhere; nothing for what takes no time."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._stage, self._started, self._said = "", time.monotonic(), time.monotonic()

    def update(self, stage: str, done: int, total: int) -> None:
        """Told by whoever reads the text."""
        now = time.monotonic()
        if stage != self._stage:
            self._stage, self._started, self._task = stage, now, None
        if now - self._started < QUIET_SECONDS and self._bar is None:
            return
        if self._console.is_terminal:
            self._draw(done, total)
        elif now - self._said >= PLAIN_SECONDS:
            self._said = now
            rate = done / max(now - self._started, 1e-9)
            self._console.print(
                f"text: {self._stage} {done / 1e6:,.0f} of {total / 1e6:,.0f} MB ({rate / 1e6:,.0f} MB/s)",
                soft_wrap=True,
                highlight=False,
            )

    def _draw(self, done: int, total: int) -> None:
        if self._bar is None:
            columns = (TextColumn("text: {task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
            self._bar = Progress(*columns, console=self._console, transient=True)
            self._bar.start()
        if self._task is None:
            self._task = self._bar.add_task(self._stage, total=total)
        self._bar.update(self._task, completed=done)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
