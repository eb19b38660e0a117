"""Slices that are not there: jobs that only take time, preemptions and losses drawn from rates.

A sweep goes over it as over any other engine. What is drawn depends on the seed and on names, never on the machine, so
that the same conditions give the same simulation.
"""

import heapq
import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random

from scaling.config import Resources
from scaling.engines.base import EXIT_DONE, EXIT_FAILED, Ended, Order
from scaling.engines.clock import VirtualClock
from scaling.engines.conditions import Conditions, Spent
from scaling.engines.simulated_jobs import Course, Milestone, SimulatedRecords, course_of
from scaling.records import Job, read_job

PREEMPTED = Ended(None, "was lost: its slice was preempted", outside=True)


@dataclass
class _Progress:
    """How far a job is, over all of its attempts."""

    course: Course
    saved: float
    """Seconds of work that it need not do again."""
    done: int
    """Milestones that it has passed."""
    first: int
    """Those that an earlier simulation had passed."""
    starts: int = 0
    running: bool = False

    def kept(self, worked: float, checkpoint_seconds: float) -> float:
        """What is saved when an attempt is lost after `worked` seconds: up to its last checkpoint or horizon."""
        whole = worked // checkpoint_seconds * checkpoint_seconds if math.isfinite(checkpoint_seconds) else 0.0
        return max(self.saved + whole, self.course.before(self.done))


@dataclass(eq=False)
class SimulatedJob:
    """One attempt."""

    order: Order
    job: Job
    progress: _Progress
    draw: Random
    slice: int = -1
    """-1 while it waits for one."""
    began: float = 0.0
    ended: Ended | None = None

    @property
    def where(self) -> str:
        return "waiting" if self.slice < 0 else f"slice {self.slice}"

    @property
    def command(self) -> Sequence[str]:
        return ("scaling", "job", str(self.order.job_file))

    def poll(self) -> Ended | None:
        return self.ended

    def cancel(self, *, force: bool) -> None:
        self.ended = self.ended or Ended(-15)


@dataclass
class SimulatedEngine:
    """`conditions.slices` jobs at once; one whose slice has gone waits for another."""

    conditions: Conditions
    records: SimulatedRecords
    clock: VirtualClock
    spent: Spent = field(default_factory=Spent)
    preemptions: int = 0
    node_losses: int = 0
    outlives, grace_seconds = False, 0.0

    def __post_init__(self) -> None:
        self._free = list(range(self.conditions.slices))
        self._since = [0.0] * self.conditions.slices
        """When each slice became what it is: free, or away."""
        self._on: list[SimulatedJob | None] = [None] * self.conditions.slices
        self._away = [False] * self.conditions.slices
        self._queue: deque[SimulatedJob] = deque()
        self._progress: dict[str, _Progress] = {}
        self._nodes = Random(f"{self.conditions.seed} nodes")
        self._await_node_loss()

    @property
    def processes(self) -> int:
        return self.conditions.slices

    def refuse(self, resources: Resources) -> None:
        """A slice has whatever a job asks for."""

    def room(self, resources: Resources, beside: Sequence[Resources]) -> bool:
        return True

    def submit(self, orders: Sequence[Order]) -> list[SimulatedJob]:
        """Read each job file, and give the job a slice."""
        with self.clock.aside():
            submitted = [self._submission(order) for order in orders]
            self._queue.extend(submitted)
            self._place()
        return submitted

    def dry_run(self, orders: Sequence[Order]) -> str:
        """The command of each job."""
        return "".join(f"scaling job {order.job_file}\n" for order in orders)

    def queued(self, jobs: Path) -> list[Path]:
        """Nothing outlives its sweep."""
        return []

    def adopt(self, order: Order) -> None:
        return None

    @property
    def work(self) -> list[float]:
        """Seconds of each job that was started, until it is done or fails, without any that were done before."""
        return [
            progress.course.seconds - progress.course.before(progress.first) for progress in self._progress.values()
        ]

    def close(self) -> None:
        """The simulation is over: what is free or away was so until now."""
        for number, since in enumerate(self._since):
            if self._away[number]:
                self.spent.gone += self.clock.now() - since
            elif self._on[number] is None:
                self.spent.idle += self.clock.now() - since

    def _submission(self, order: Order) -> SimulatedJob:
        job = read_job(order.job_file)
        progress = self._progress.get(job.name)
        if progress is None:
            draw = Random(f"{self.conditions.seed} {job.name}")
            fails = draw.random() < self.conditions.failure_probability
            course = course_of(job, self.conditions.flops_per_second, draw.random() if fails else math.inf)
            done = self.records.committed(course)
            progress = self._progress[job.name] = _Progress(course, course.before(done), done, done)
        assert not progress.running, f"{job.name} was started twice"
        progress.running, progress.starts = True, progress.starts + 1
        return SimulatedJob(order, job, progress, Random(f"{self.conditions.seed} {job.name} {progress.starts}"))

    def _place(self) -> None:
        """Jobs that wait, on slices that are free, lowest number first."""
        while self._queue and self._free:
            number = heapq.heappop(self._free)
            if not self._away[number] and self._on[number] is None:
                self._begin(self._queue.popleft(), number)

    def _begin(self, attempt: SimulatedJob, number: int) -> None:
        now, progress = self.clock.now(), attempt.progress
        self.spent.idle += now - self._since[number]
        attempt.slice, attempt.began, self._on[number] = number, now, attempt
        first_step = now + self.conditions.start_seconds
        end = first_step + (progress.course.seconds - progress.saved)
        preempted = now + _exponential(attempt.draw, self.conditions.preemption_seconds)
        for milestone in progress.course.milestones[progress.done :]:
            when = first_step + (milestone.seconds - progress.saved)
            if milestone.seconds <= progress.course.seconds and when < preempted:
                self.clock.at(when, partial(self._commit, attempt, milestone))
        if preempted < end:
            self.clock.at(preempted, partial(self._preempt, attempt))
        else:
            self.clock.at(end, partial(self._finish, attempt))

    def _commit(self, attempt: SimulatedJob, milestone: Milestone) -> None:
        if attempt.ended is None:
            self.records.commit(attempt.job, milestone, self.clock.now())
            attempt.progress.done += 1

    def _finish(self, attempt: SimulatedJob) -> None:
        if attempt.ended is not None:
            return
        progress = attempt.progress
        kept = progress.course.before(progress.done)
        self.spent.starting += self.conditions.start_seconds
        self.spent.work += kept - progress.saved
        self.spent.failed += progress.course.seconds - kept
        progress.saved = kept
        if progress.course.fails:
            with attempt.order.log_file.open("a") as log:
                log.write("simulated: it fails by itself\n")
        self._end(attempt, Ended(EXIT_FAILED if progress.course.fails else EXIT_DONE))
        self._free_again(attempt.slice)

    def _preempt(self, attempt: SimulatedJob) -> None:
        if attempt.ended is None:
            self.preemptions += 1
            self._lose(attempt, PREEMPTED)
            self._take_away(attempt.slice)

    def _lose_node(self) -> None:
        each = self.conditions.slices_per_node
        node = self._nodes.randrange(math.ceil(self.conditions.slices / each))
        self.node_losses += 1
        for number in range(node * each, min((node + 1) * each, self.conditions.slices)):
            attempt = self._on[number]
            if attempt is not None:
                self._lose(attempt, Ended(None, f"was lost: node {node} is gone", outside=True))
            if not self._away[number]:
                self.spent.idle += 0.0 if attempt else self.clock.now() - self._since[number]
                self._take_away(number)
        self._await_node_loss()

    def _await_node_loss(self) -> None:
        wait = _exponential(self._nodes, self.conditions.node_loss_seconds)
        if math.isfinite(wait):
            self.clock.at(self.clock.now() + wait, self._lose_node)

    def _lose(self, attempt: SimulatedJob, ended: Ended) -> None:
        """It goes on from what it has saved."""
        progress, passed = attempt.progress, self.clock.now() - attempt.began
        worked = max(0.0, passed - self.conditions.start_seconds)
        kept = progress.kept(worked, self.conditions.checkpoint_seconds)
        self.spent.starting += passed - worked
        self.spent.work += kept - progress.saved
        self.spent.repeated += progress.saved + worked - kept
        if kept > progress.saved:
            self.records.checkpoint(progress.course, progress.done, kept)
        progress.saved = kept
        self._end(attempt, ended)

    def _end(self, attempt: SimulatedJob, ended: Ended) -> None:
        attempt.ended, attempt.progress.running, self._on[attempt.slice] = ended, False, None

    def _take_away(self, number: int) -> None:
        self._since[number], self._away[number] = self.clock.now(), True
        if self.conditions.gone_seconds:
            self.clock.at(self.clock.now() + self.conditions.gone_seconds, partial(self._give_back, number))
        else:
            self._give_back(number)

    def _give_back(self, number: int) -> None:
        self.spent.gone += self.clock.now() - self._since[number]
        self._away[number] = False
        self._free_again(number)

    def _free_again(self, number: int) -> None:
        self._since[number] = self.clock.now()
        heapq.heappush(self._free, number)
        self._place()


def _exponential(draw: Random, mean: float) -> float:
    return draw.expovariate(1.0 / mean) if math.isfinite(mean) else math.inf
