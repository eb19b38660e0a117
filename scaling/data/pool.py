"""Work on the units of a corpus: in this process, or in several, in order, and with a word on how far it is."""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import connection
from typing import Any, Protocol, Self, TypeVar

from scaling.data.units import Made, Unit

T = TypeVar("T")
AHEAD = 2
"""Units that wait for each process, so that none is idle; results in memory are as few."""
PARALLEL_BYTES = 2**26
"""Less than this is read by this process: others take as long to start."""
PARALLEL_BYTES_SLOW = 2**23
"""The same for work that takes ten times as long."""


class Watching(Protocol):
    """Told how far a stage is."""

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Bytes read of all bytes, in a stage by name."""


def unwatched(stage: str, done: int, total: int) -> None:
    """Nobody watches."""


class Pool:
    """Processes that are started when there is enough to do, and end with this one."""

    def __init__(self, processes: int = 1, watching: Watching = unwatched):
        self._processes, self._watching = processes, watching
        self._executor: ProcessPoolExecutor | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._executor is not None:
            self._executor.shutdown(wait=True, cancel_futures=True)

    def map(
        self,
        stage: str,
        work: Callable[..., T],
        units: Sequence[Unit],
        *shared: Any,
        each: Iterable[Any] | None = None,
        slow: bool = False,
    ) -> Iterator[T]:
        """work(unit, *shared) of every unit, in order; with `each`, work(unit, mine, *shared). `slow`: a few MB/s.

        Raises what `work` raises.
        """
        total, done = sum(unit.size for unit in units), 0
        arguments = iter((unit, *shared) for unit in units)
        if each is not None:
            arguments = iter((unit, mine, *shared) for unit, mine in zip(units, each, strict=True))
        self._watching(stage, 0, total)
        parallel = self._is_parallel(units, total, PARALLEL_BYTES_SLOW if slow else PARALLEL_BYTES)
        for unit, result in zip(units, self._results(work, arguments, parallel), strict=True):
            done += unit.size
            self._watching(stage, done, total)
            yield result

    def _is_parallel(self, units: Sequence[Unit], total: int, least: int) -> bool:
        made = any(isinstance(unit, Made) for unit in units)  # nothing is gained by sending text to another process
        return self._processes > 1 and len(units) > 1 and total >= least and not made

    def _results(self, work: Callable[..., T], arguments: Iterator[tuple[Any, ...]], parallel: bool) -> Iterator[T]:
        if not parallel:
            yield from (work(*mine) for mine in arguments)
            return
        if self._executor is None:
            context = multiprocessing.get_context("spawn")
            self._executor = ProcessPoolExecutor(self._processes, mp_context=context, initializer=_begin)
        waiting: deque[Future[T]] = deque()
        try:
            for mine in arguments:
                waiting.append(self._executor.submit(work, *mine))
                if len(waiting) > AHEAD * self._processes:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool as error:
            raise RuntimeError(
                "a process that read the text was ended from outside, as by a lack of memory; run the study again, "
                "with fewer engine.processes"
            ) from error
        finally:
            for one in waiting:
                one.cancel()


def _begin() -> None:
    """A new process ends with its parent, however that ends; Ctrl-C is the parent's to answer."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # as many processes as cores are at work already
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    connection.wait([sentinel])
    os._exit(1)
