"""The end of a sweep's processes: first asked, then forced; and what their logs say last."""

import logging
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn

from scaling.engines.base import Submission

LOG = logging.getLogger(__name__)
POLL_SECONDS = 0.05
QUIET_SECONDS = 2.0
"""After which it is said that jobs are waited for."""
TAIL_LINES = 15
TAIL_BYTES = 16_384


def end(started: Sequence[Submission], grace_seconds: float) -> None:
    """End what still runs of `started`: first asked, then, when `grace_seconds` have passed or this process is asked
    to end once more, forced."""

    def alive() -> list[Submission]:
        return [submission for submission in started if submission.poll() is None]

    for submission in alive():
        submission.cancel(force=False)
    asked = time.monotonic()
    said = False
    try:
        while (left := len(alive())) and (passed := time.monotonic() - asked) < grace_seconds:
            if passed > QUIET_SECONDS and not said:
                LOG.warning(
                    "%d jobs save where they are, for at most %.0f s; interrupt again not to wait", left, grace_seconds
                )
                said = True
            time.sleep(POLL_SECONDS)
    finally:
        for submission in alive():
            submission.cancel(force=True)
        while alive():
            time.sleep(POLL_SECONDS)


def tail(log: Path, start: int) -> str:
    """The last lines of one attempt."""
    try:
        with log.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(start, size - TAIL_BYTES))
            lines = file.read().decode(errors="replace").splitlines()
    except FileNotFoundError:
        lines = []
    return "\n".join(f"    {line}" for line in lines[-TAIL_LINES:]) or "    (it said nothing)"


@contextmanager
def sigterm_raises() -> Iterator[None]:
    """SIGTERM unwinds the stack as Ctrl-C does, while the block runs."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.signal(signal.SIGTERM, _terminated)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL if previous is None else previous)


def _terminated(number: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)
