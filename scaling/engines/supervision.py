"""A sweep under watch, the same for every engine: longest job first, retries, and an orderly stop.

jobs/<name>.json is what a job reads; all that it says is appended to jobs/<name>.log.
"""

import shlex
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from scaling.config import Resources
from scaling.engines.base import (
    EXIT_DISK_FULL,
    EXIT_DONE,
    EXIT_ELSEWHERE,
    NOTHING,
    Ended,
    Engine,
    EngineState,
    JobResult,
    OnTick,
    Order,
    RunningJob,
    Status,
    Submission,
)
from scaling.engines.causes import is_outside, said
from scaling.engines.ending import POLL_SECONDS, end, sigterm_raises, tail
from scaling.planning import left_in, left_of, longest_first, reached
from scaling.records import Cancelled, Failure, Job, RunDirectory, is_disk_full, leases_of, pretty_json, replace

NO_SPACE_BYTES = 65_536
"""A job that crashes with less than this free is taken to have died of it, whatever its exit status: with no room
for its last words, Python's own status is another."""
LOOK_SECONDS = 1.0
"""Between two looks at what other sweeps are at."""


@dataclass(frozen=True)
class Rules:
    """How a sweep deals with jobs that are lost."""

    retries: int = 5
    """How often a job that was lost from outside is started again before it has got any further."""
    backoff_seconds: float = 1.0
    """Pause before the first of those; each is twice the one before."""
    most_seconds: float = 60.0
    """The longest pause."""

    def pause(self, tries: int) -> float:
        """Before the next start, after `tries` that got no further."""
        return min(self.most_seconds, self.backoff_seconds * 2.0 ** (tries - 1)) if tries else 0.0


@dataclass(eq=False)
class _Moving:
    """A job on its way through one sweep."""

    job: Job
    starts: int = 0
    tries: int = 0
    """Starts in a row that got no further."""
    not_before: float = 0.0
    reached: object = None
    """How far it was when it was started last."""
    submission: Submission | None = field(default=None, repr=False)
    log_start: int = 0
    """Bytes that were in the log before this attempt."""
    started: float = 0.0


def supervise(
    engine: Engine,
    jobs: Sequence[Job],
    directory: RunDirectory,
    on_tick: OnTick = lambda _: None,
    *,
    rules: Rules = Rules(),
    resources_of: Callable[[Job], Resources] = lambda _: NOTHING,
    tick_seconds: float = 0.5,
) -> list[JobResult]:
    """Run `jobs` on `engine`, longest first; one result a job, in the order of `jobs`.

    A job that is lost from outside is started again, as `rules` say; one that fails by the user's own cause is
    reported, and the others go on. What other sweeps are at is left to them, and taken over when they leave it. A full
    disk stops the sweep: nothing more is started, and what runs is ended. However this call ends, by an exception,
    Ctrl-C or SIGTERM too, the jobs that it started end with it, unless the engine's jobs outlive it.

    Raises:
      StudyError: the engine will never have what a job asks for.
      Cancelled: somebody asked every sweep of `directory` to end.
      SystemExit: SIGTERM came (status 143).
    """
    for job in jobs:
        engine.refuse(resources_of(job))
    sweep = _Sweep(engine, directory, longest_first(jobs, directory), rules, resources_of)
    ticked = -tick_seconds
    try:
        with sigterm_raises():
            sweep.adopt()
            while sweep.advance():
                if time.monotonic() - ticked >= tick_seconds:
                    on_tick(sweep.state())
                    ticked = time.monotonic()
                time.sleep(POLL_SECONDS)
            on_tick(sweep.state())
    finally:
        sweep.leave()
    return [sweep.results[job.name] for job in jobs]


class _Sweep:
    """The moving parts of one call of `supervise`."""

    def __init__(
        self,
        engine: Engine,
        directory: RunDirectory,
        ordered: Sequence[Job],
        rules: Rules,
        resources_of: Callable[[Job], Resources],
    ):
        self.engine, self.directory, self.rules, self.resources_of = engine, directory, rules, resources_of
        self.waiting = [_Moving(job) for job in ordered]
        self.running: list[_Moving] = []
        self.elsewhere: list[_Moving] = []
        self.results: dict[str, JobResult] = {}
        self.handed: set[object] = set()
        """Shapes whose programs a running job was asked to compile."""
        self.looked = 0.0
        self.cancelled = directory.cancelled()
        self.leases = leases_of(ordered[0].settings) if ordered else None

    def adopt(self) -> None:
        """Watch what an earlier process submitted and that still waits or runs."""
        for moving in list(self.waiting) if self.engine.outlives else ():
            submission = self.engine.adopt(self._order(moving.job, self._file(moving.job)))
            if submission is not None:
                self.waiting.remove(moving)
                self._begin(moving, submission, _size(self._log(moving.job)))

    def advance(self) -> bool:
        """Collect what ended, start what can start; False when there is nothing left to do."""
        for moving in list(self.running):
            ended = moving.submission.poll() if moving.submission else None
            if ended is not None and moving in self.running:  # a full disk empties the list on the way
                self.running.remove(moving)
                self._ended(moving, ended)
        if time.monotonic() - self.looked >= LOOK_SECONDS:
            self.looked = time.monotonic()
            self._look_around()
        startable = self._startable()
        if startable:
            self._start(startable)
        return bool(self.running or self.waiting or self.elsewhere)

    def state(self) -> EngineState:
        now = time.monotonic()
        return EngineState(
            waiting=tuple(moving.job.name for moving in self.waiting),
            running=tuple(
                RunningJob(moving.job.name, moving.submission.where, moving.starts, now - moving.started)
                for moving in self.running
                if moving.submission
            ),
            finished=tuple(self.results.values()),
            elsewhere=tuple(moving.job.name for moving in self.elsewhere),
        )

    def leave(self) -> None:
        """End what still runs, first asked, then forced, unless it outlives this process."""
        if not self.engine.outlives:
            self._end_running()

    def _startable(self) -> list[_Moving]:
        """What may be submitted now, taken out of the queue."""
        chosen: list[_Moving] = []
        for moving in list(self.waiting):
            if len(self.running) + len(chosen) >= self.engine.processes:
                break
            beside = [self.resources_of(other.job) for other in (*self.running, *chosen)]
            if moving.not_before > time.monotonic() or not self.engine.room(self.resources_of(moving.job), beside):
                continue
            self.waiting.remove(moving)
            (self.elsewhere if self._held_by_others(moving.job) else chosen).append(moving)
        return chosen

    def _start(self, chosen: Sequence[_Moving]) -> None:
        try:
            sizes = [_size(self._log(moving.job)) for moving in chosen]
            orders = [self._order(one.job, self._written(one.job), self._next(one.job)) for one in chosen]
            submissions = self.engine.submit(orders)
        except OSError as error:
            if not is_disk_full(error):
                raise
            first, *rest = chosen
            self._finish(first, "disk_full", f"no space is left to write {self._file(first.job)}")
            self.waiting[:0] = rest
            self._stop(first.job)
            return
        for moving, submission, size in zip(chosen, submissions, sizes, strict=True):
            self._begin(moving, submission, size)

    def _begin(self, moving: _Moving, submission: Submission, log_start: int) -> None:
        self.directory.failure(moving.job.name).unlink(missing_ok=True)
        moving.submission, moving.log_start, moving.started = submission, log_start, time.monotonic()
        moving.starts += 1
        moving.reached = reached(moving.job, self.directory)
        self.running.append(moving)

    def _order(self, job: Job, file: Path, following: Job | None = None) -> Order:
        return Order(
            name=job.name,
            job_file=file,
            log_file=self._log(job),
            resources=self.resources_of(job),
            next_file=None if following is None else self._written(following),
        )

    def _log(self, job: Job) -> Path:
        return self.directory.jobs / f"{job.name}.log"

    def _file(self, job: Job) -> Path:
        return self.directory.jobs / f"{job.name}.json"

    def _written(self, job: Job) -> Path:
        replace(self._file(job), pretty_json(job.model_dump(mode="json")))
        return self._file(job)

    def _next(self, job: Job) -> Job | None:
        """The first waiting job of another program, that no job beside this one compiles already."""
        if job.task == "evaluate" or job.command is not None:
            return None
        running = {moving.job.trajectories[0].shape for moving in self.running}
        for other in self.waiting:
            shape = other.job.trajectories[0].shape
            if shape not in running | self.handed | {job.trajectories[0].shape}:
                self.handed.add(shape)
                return other.job
        return None

    def _ended(self, moving: _Moving, ended: Ended) -> None:
        job = moving.job
        if ended.status == EXIT_DONE and self._complete(job):
            self._finish(moving, "done", "")
        elif ended.status == EXIT_DISK_FULL or (ended.status != EXIT_DONE and self._no_space()):
            self._finish(moving, "disk_full", f"no space is left in {self.directory.root}")
            self._stop(job)
        elif ended.status == EXIT_ELSEWHERE:
            self.elsewhere.append(moving)
        elif not is_outside(ended):
            self._finish(moving, "failed", self._failure(moving, ended))
        else:
            further = reached(job, self.directory) != moving.reached
            moving.tries = 0 if further else moving.tries + 1
            moving.not_before = time.monotonic() + self.rules.pause(moving.tries)
            if moving.tries > self.rules.retries:
                self._finish(moving, "lost", self._failure(moving, ended))
            else:
                self.waiting.insert(0, moving)

    def _look_around(self) -> None:
        """End where somebody asks for it; take back what other sweeps have finished or left."""
        if self.directory.cancelled() != self.cancelled:
            self._end_running()
            raise Cancelled(f"asked to end by scaling cancel {self.directory.root}; the same command goes on from here")
        for moving in list(self.elsewhere):
            if self._complete(moving.job):
                self.elsewhere.remove(moving)
                self._finish(moving, "done", "")
            elif not self._held_by_others(moving.job):
                self.elsewhere.remove(moving)
                self.waiting.append(moving)

    def _held_by_others(self, job: Job) -> bool:
        """Whether all that is left of `job` is in the hands of others."""
        leases = self.leases
        if leases is None or job.task == "evaluate":
            return False
        left = [one for one in job.trajectories if left_in(self.directory, one, job.settings.keep_forks)]
        return bool(left) and all(leases.held(self.directory.trajectory(one.id).lease) for one in left)

    def _stop(self, cause: Job) -> None:
        """The disk is full: start nothing more, end what runs."""
        self._end_running()
        for moving in self.running:
            ended = moving.submission.poll() if moving.submission else None
            if ended is not None and ended.status == EXIT_DONE and self._complete(moving.job):
                self._finish(moving, "done", "")
                continue
            message = f"stopped, because {cause.name} found no space on the disk; it goes on from its checkpoints"
            self._finish(moving, "interrupted", message)
        for moving in (*self.waiting, *self.elsewhere):
            self._finish(moving, "interrupted", f"not started, because {cause.name} found no space on the disk")
        self.running.clear()
        self.waiting.clear()
        self.elsewhere.clear()

    def _end_running(self) -> None:
        end([moving.submission for moving in self.running if moving.submission])

    def _finish(self, moving: _Moving, status: Status, message: str) -> None:
        name = moving.job.name
        self.results[name] = JobResult(moving.job, status, moving.starts, message)
        if status in ("failed", "lost"):
            cause: Literal["yours", "outside"] = "yours" if status == "failed" else "outside"
            at = datetime.now(UTC).isoformat(timespec="seconds")
            failure = Failure(job=name, cause=cause, message=message, attempts=moving.starts, at=at)
            replace(self.directory.failure(name), pretty_json(failure.model_dump(mode="json")))

    def _failure(self, moving: _Moving, ended: Ended) -> str:
        job, log, submission = moving.job, self._log(moving.job), moving.submission
        times = f" (started {moving.starts} times)" if moving.starts > 1 else ""
        alone = shlex.join(submission.command) if submission else ""
        return (
            f"job {job.name} {said(ended)}{times}; the last lines of {log}:\n{tail(log, moving.log_start)}\n"
            f"it alone, again: {alone}"
        )

    def _complete(self, job: Job) -> bool:
        """Whether the records say so too."""
        return not left_of(job, self.directory)

    def _no_space(self) -> bool:
        return shutil.disk_usage(self.directory.root).free < NO_SPACE_BYTES


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
