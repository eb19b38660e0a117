"""The time that a sweep goes by: that of this machine, or one that a simulation lets jump."""

import heapq
import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
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


class VirtualClock:
    """Jumps from one event to the next: a sweep looks at the very moment when something happens."""

    def __init__(self, aside: Callable[[], AbstractContextManager[None]] = nullcontext) -> None:
        """`aside`: entered around what stands in for machines and jobs, and is no work of the sweep's."""
        self.aside = aside
        self._now, self._count = 0.0, 0
        self._events: list[tuple[float, int, Callable[[], None]]] = []

    def now(self) -> float:
        return self._now

    def at(self, when: float, event: Callable[[], None]) -> None:
        """Let `event` happen; those of one moment in the order in which they were named."""
        self._count += 1
        heapq.heappush(self._events, (when, self._count, event))

    def sleep(self, seconds: float, due: float) -> None:
        upcoming = min(due, self._events[0][0] if self._events else math.inf)
        self._now = max(self._now, upcoming if math.isfinite(upcoming) else self._now + seconds)
        with self.aside():
            while self._events and self._events[0][0] <= self._now:
                heapq.heappop(self._events)[2]()


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
