"""Jobs that wait, in the order in which they start, whatever their number: no step looks at all of them."""

import heapq
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from operator import itemgetter

from scaling.config import Resources
from scaling.engines.base import Submission
from scaling.records import Job


@dataclass(eq=False)
class Moving:
    """A job on its way through one sweep."""

    job: Job
    resources: Resources
    starts: int = 0
    tries: int = 0
    """Starts in a row that got no further."""
    reached: object = None
    """How far it was when it was started last."""
    submission: Submission | None = field(default=None, repr=False)
    log_start: int = 0
    """Bytes that were in the log before this attempt."""
    started: float = 0.0

    @cached_property
    def kind(self) -> str:
        """Equal for jobs of equal resources."""
        return self.resources.model_dump_json()


class Waiting:
    """A queue with a lane for each kind of resources: where there is no room for one, its whole lane is passed over."""

    def __init__(self, ordered: Sequence[Moving]):
        self._lanes: dict[str, list[tuple[int, Moving]]] = {}
        self._paused: list[tuple[float, int, Moving]] = []
        self._first, self._last = 0, -1
        """Places of the queue's two ends."""
        self._count = 0
        for moving in ordered:
            self.append(moving)

    def __len__(self) -> int:
        """Paused ones too."""
        return self._count + len(self._paused)

    def __iter__(self) -> Iterator[Moving]:
        """In the order in which they will start, as far as is known."""
        places = [(place, moving) for _, place, moving in self._paused]
        for lane in self._lanes.values():
            places += lane
        return iter([moving for _, moving in sorted(places, key=itemgetter(0))])

    @property
    def due(self) -> float:
        """When the first pause ends; infinity where there is none."""
        return self._paused[0][0] if self._paused else math.inf

    def append(self, moving: Moving) -> None:
        """Behind all others."""
        self._last += 1
        self._put(self._last, moving)

    def push(self, moving: Moving, not_before: float) -> None:
        """Before all others, when `not_before` has come."""
        self._first -= 1
        heapq.heappush(self._paused, (not_before, self._first, moving))

    def take(self, now: float, room: Callable[[Resources], bool]) -> Iterator[Moving]:
        """Those that there is room for, one after another, each taken out; `room` is asked before each, and may only
        become less on the way."""
        while self._paused and self._paused[0][0] <= now:
            _, place, moving = heapq.heappop(self._paused)
            self._put(place, moving)
        heads = [(lane[0][0], kind) for kind, lane in self._lanes.items()]
        heapq.heapify(heads)
        while heads:
            _, kind = heapq.heappop(heads)
            lane = self._lanes[kind]
            if not room(lane[0][1].resources):
                continue
            _, moving = heapq.heappop(lane)
            self._count -= 1
            if lane:
                heapq.heappush(heads, (lane[0][0], kind))
            else:
                del self._lanes[kind]
            yield moving

    def clear(self) -> None:
        self._lanes.clear()
        self._paused.clear()
        self._count = 0

    def _put(self, place: int, moving: Moving) -> None:
        heapq.heappush(self._lanes.setdefault(moving.kind, []), (place, moving))
        self._count += 1
