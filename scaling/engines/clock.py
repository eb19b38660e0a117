"""The time that a sweep goes by: that of this machine, or one that a simulation lets jump."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

SHARE = 0.05
"""Of a sweep's time that something paced may take."""


class Clock(Protocol):
    """Seconds from a start of its own, never falling."""

    def now(self) -> float: ...

    def sleep(self, seconds: float, due: float) -> None:
        """Let `seconds` go by. At `due` the caller has something to do by itself, and until then only a job's end
        concerns it: a clock that knows those may go on to whichever comes first."""


class RealClock:
    """That of this machine."""

    def now(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float, due: float) -> None:
        time.sleep(seconds)


REAL = RealClock()


class Paced:
    """Something that is done now and then, and the more rarely the longer it takes."""

    def __init__(self, seconds: float, clock: Clock):
        self._seconds, self._clock, self.next = seconds, clock, clock.now()

    @property
    def due(self) -> bool:
        return self._clock.now() >= self.next

    @contextmanager
    def turn(self) -> Iterator[None]:
        started = self._clock.now()
        yield
        ended = self._clock.now()
        self.next = ended + max(self._seconds, (ended - started) / SHARE)
