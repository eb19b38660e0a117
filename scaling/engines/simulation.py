"""A sweep over simulated slices: how long, what it wastes, and what the sweep itself takes."""

import resource
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from scaling.engines.base import JobResult
from scaling.engines.clock import VirtualClock
from scaling.engines.conditions import Conditions, Spent
from scaling.engines.rules import USUAL, Rules
from scaling.engines.simulated import SimulatedEngine
from scaling.engines.simulated_jobs import SimulatedRecords
from scaling.engines.supervision import supervise
from scaling.records import Job, RunDirectory


@dataclass(frozen=True)
class Simulation:
    """What came of it."""

    conditions: Conditions
    results: tuple[JobResult, ...]
    makespan_seconds: float
    """Of the simulation's clock."""
    bound_seconds: float
    """No schedule is shorter: the longest job, or all work shared out evenly."""
    spent: Spent
    """Seconds of all slices; they add up to slices x makespan."""
    preemptions: int
    node_losses: int
    cpu_seconds: float
    """Of this machine, for the sweep alone: not for what stands in for jobs."""
    wall_seconds: float
    """The same, waiting for the disk included."""
    peak_bytes: int
    """Most memory that this process has had."""

    @property
    def attempts(self) -> int:
        return sum(result.attempts for result in self.results)

    @property
    def waste(self) -> float:
        """Share of the slices' time that was no work that was kept."""
        return 1.0 - self.spent.work / self.spent.total if self.spent.total else 0.0


def simulate(jobs: Sequence[Job], conditions: Conditions, directory: RunDirectory, rules: Rules = USUAL) -> Simulation:
    """`jobs` under the real `supervise`, with real job files and records, in a folder that only simulations use.

    Raises:
      StudyError: something real was trained in `directory`.
    """
    records = SimulatedRecords(directory)
    records.claim()
    meter = _Meter()
    clock = VirtualClock(aside=meter.aside)
    engine = SimulatedEngine(conditions, records, clock)
    with meter.on(+1):
        results = supervise(engine, jobs, directory, rules=rules, clock=clock)
    engine.close()
    work = engine.work
    return Simulation(
        conditions=conditions,
        results=tuple(results),
        makespan_seconds=clock.now(),
        bound_seconds=max(sum(work) / conditions.slices, max(work, default=0.0)),
        spent=engine.spent,
        preemptions=engine.preemptions,
        node_losses=engine.node_losses,
        cpu_seconds=meter.cpu_seconds,
        wall_seconds=meter.wall_seconds,
        peak_bytes=_peak_bytes(),
    )


@dataclass
class _Meter:
    """CPU and wall time of this process, less what stands in for jobs."""

    cpu_seconds: float = 0.0
    wall_seconds: float = 0.0

    @contextmanager
    def on(self, sign: int) -> Iterator[None]:
        cpu, wall = time.process_time(), time.perf_counter()
        yield
        self.cpu_seconds += sign * (time.process_time() - cpu)
        self.wall_seconds += sign * (time.perf_counter() - wall)

    def aside(self) -> AbstractContextManager[None]:
        return self.on(-1)


def _peak_bytes() -> int:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
