"""A sweep under watch, the same for every engine: longest job first, retries, and an orderly stop.

jobs/<name>.json is what a job reads; all that it says is appended to jobs/<name>.log.
"""

import math
import shutil
from collections.abc import Callable, Sequence

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
    RunningJob,
    Submission,
)
from scaling.engines.causes import is_outside
from scaling.engines.clock import REAL, Clock, Paced
from scaling.engines.ending import POLL_SECONDS, end, sigterm_raises
from scaling.engines.job_files import JobFiles
from scaling.engines.outcomes import Outcomes
from scaling.engines.rules import USUAL, Rules
from scaling.engines.waiting import Moving, Waiting
from scaling.planning import left_in, left_of, longest_first, reached
from scaling.records import Cancelled, Job, RunDirectory, is_disk_full, leases_of

NO_SPACE_BYTES = 65_536
"""A job that crashes with less than this free is taken to have died of it, whatever its exit status: with no room
for its last words, Python's own status is another."""
LOOK_SECONDS = 1.0
"""Between two looks at what other sweeps are at."""


def supervise(
    engine: Engine,
    jobs: Sequence[Job],
    directory: RunDirectory,
    on_tick: OnTick | None = None,
    *,
    rules: Rules = USUAL,
    resources_of: Callable[[Job], Resources] = lambda _: NOTHING,
    tick_seconds: float = 0.5,
    clock: Clock = REAL,
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
    ordered = [Moving(job, resources_of(job)) for job in longest_first(jobs, directory)]
    for resources in {moving.kind: moving.resources for moving in ordered}.values():
        engine.refuse(resources)
    sweep = _Sweep(engine, directory, ordered, rules, clock)
    ticks = Paced(tick_seconds, clock)
    try:
        with sigterm_raises():
            sweep.adopt()
            while sweep.advance():
                if on_tick is not None and ticks.due:
                    with ticks.turn():
                        on_tick(sweep.state())
                clock.sleep(POLL_SECONDS, sweep.due)
            if on_tick is not None:
                on_tick(sweep.state())
    finally:
        sweep.leave()
    return [sweep.outcomes.results[job.name] for job in jobs]


class _Sweep:
    """The moving parts of one call of `supervise`."""

    def __init__(self, engine: Engine, directory: RunDirectory, ordered: Sequence[Moving], rules: Rules, clock: Clock):
        self.engine, self.directory, self.rules, self.clock = engine, directory, rules, clock
        self.files = JobFiles(directory, [moving.job for moving in ordered])
        self.waiting = Waiting(ordered)
        self.running: dict[str, Moving] = {}
        self.elsewhere: dict[str, Moving] = {}
        self.outcomes = Outcomes(directory, self.files)
        self.programs = iter(ordered)
        """Jobs that may be the first of their program."""
        self.handed: set[object] = set()
        """Shapes whose programs some job of this sweep compiles, or was asked to."""
        self.looks = Paced(LOOK_SECONDS, clock)
        self.cancelled = directory.cancelled()
        self.leases = leases_of(ordered[0].job.settings) if ordered else None

    def adopt(self) -> None:
        """Watch what an earlier process submitted and that still waits or runs."""
        if not self.engine.outlives or not self.waiting:
            return
        queued = {path.stem for path in self.engine.queued(self.directory.jobs)}
        everything = list(self.waiting)
        self.waiting.clear()
        for moving in everything:
            submission = None
            if moving.job.name in queued:
                self.files.known(moving.job)
                submission = self.engine.adopt(self.files.order(moving.job, moving.resources))
            if submission is None:
                self.waiting.append(moving)
            else:
                self._begin(moving, submission, self.files.log_size(moving.job))

    def advance(self) -> bool:
        """Collect what ended, start what can start; False when there is nothing left to do."""
        for name, moving in list(self.running.items()):
            ended = moving.submission.poll() if moving.submission else None
            if ended is not None and name in self.running:  # a full disk empties it on the way
                del self.running[name]
                self._ended(moving, ended)
        if self.looks.due:
            with self.looks.turn():
                self._look_around()
        startable = self._startable()
        if startable:
            self._start(startable)
        return bool(self.running or self.waiting or self.elsewhere)

    @property
    def due(self) -> float:
        """When there is something to do, whether or not a job ends."""
        pause = self.waiting.due if len(self.running) < self.engine.processes else math.inf
        return min(pause, self.looks.next) if self.elsewhere else pause

    def state(self) -> EngineState:
        now = self.clock.now()
        return EngineState(
            waiting=tuple(moving.job.name for moving in self.waiting),
            running=tuple(
                RunningJob(name, moving.submission.where, moving.starts, now - moving.started)
                for name, moving in self.running.items()
                if moving.submission
            ),
            finished=tuple(self.outcomes.results.values()),
            elsewhere=tuple(self.elsewhere),
        )

    def leave(self) -> None:
        """End what still runs, first asked, then forced, unless it outlives this process."""
        if not self.engine.outlives:
            self._end_running()

    def _startable(self) -> list[Moving]:
        """What may be submitted now, taken out of the queue."""
        chosen: list[Moving] = []
        free = self.engine.processes - len(self.running) if self.waiting else 0
        if free <= 0:
            return chosen
        beside = [moving.resources for moving in self.running.values()]
        taking = self.waiting.take(self.clock.now(), lambda resources: self.engine.room(resources, beside))
        while len(chosen) < free and (moving := next(taking, None)) is not None:
            if self._held_by_others(moving.job):
                self.elsewhere[moving.job.name] = moving
            else:
                chosen.append(moving)
                beside.append(moving.resources)
        return chosen

    def _start(self, chosen: Sequence[Moving]) -> None:
        self.handed |= {moving.job.trajectories[0].shape for moving in chosen}
        following = [self._next(moving.job) for moving in chosen]
        try:
            self.files.write([*(moving.job for moving in chosen), *filter(None, following)])
            sizes = [self.files.log_size(moving.job) for moving in chosen]
            orders = [
                self.files.order(one.job, one.resources, after) for one, after in zip(chosen, following, strict=True)
            ]
            submissions = self.engine.submit(orders)
        except OSError as error:
            if not is_disk_full(error):
                raise
            first, *rest = chosen
            self.outcomes.finish(first, "disk_full", f"no space is left to write {self.files.file(first.job)}")
            for moving in rest:
                self.waiting.append(moving)
            self._stop(first.job)
            return
        for moving, submission, size in zip(chosen, submissions, sizes, strict=True):
            self._begin(moving, submission, size)

    def _begin(self, moving: Moving, submission: Submission, log_start: int) -> None:
        self.directory.failure(moving.job.name).unlink(missing_ok=True)
        self.handed.add(moving.job.trajectories[0].shape)
        moving.submission, moving.log_start, moving.started = submission, log_start, self.clock.now()
        moving.starts += 1
        moving.reached = reached(moving.job, self.directory)
        self.running[moving.job.name] = moving

    def _next(self, job: Job) -> Job | None:
        """The first job of a program that none of this sweep compiles yet."""
        if job.task == "evaluate" or job.command is not None:
            return None
        for other in self.programs:
            shape, name = other.job.trajectories[0].shape, other.job.name
            if shape not in self.handed and name not in self.elsewhere and name not in self.outcomes.results:
                self.handed.add(shape)
                return other.job
        return None

    def _ended(self, moving: Moving, ended: Ended) -> None:
        job = moving.job
        if ended.status == EXIT_DONE and self._complete(job):
            self.outcomes.finish(moving, "done", "")
        elif ended.status == EXIT_DISK_FULL or (ended.status != EXIT_DONE and self._no_space()):
            self.outcomes.finish(moving, "disk_full", f"no space is left in {self.directory.root}")
            self._stop(job)
        elif ended.status == EXIT_ELSEWHERE:
            self.elsewhere[job.name] = moving
        elif not is_outside(ended):
            self.outcomes.finish(moving, "failed", self.outcomes.failure(moving, ended))
        else:
            further = reached(job, self.directory) != moving.reached
            moving.tries = 0 if further else moving.tries + 1
            if moving.tries > self.rules.retries:
                self.outcomes.finish(moving, "lost", self.outcomes.failure(moving, ended))
            else:
                self.waiting.push(moving, self.clock.now() + self.rules.pause(moving.tries))

    def _look_around(self) -> None:
        """End where somebody asks for it; take back what other sweeps have finished or left."""
        if self.directory.cancelled() != self.cancelled:
            self._end_running()
            raise Cancelled(f"asked to end by scaling cancel {self.directory.root}; the same command goes on from here")
        for name, moving in list(self.elsewhere.items()):
            if self._complete(moving.job):
                del self.elsewhere[name]
                self.outcomes.finish(moving, "done", "")
            elif not self._held_by_others(moving.job):
                del self.elsewhere[name]
                self.waiting.append(moving)

    def _held_by_others(self, job: Job) -> bool:
        """Whether all that is left of `job` is in the hands of others."""
        leases = self.leases
        if leases is None or job.task == "evaluate":
            return False
        found = False
        for one in job.trajectories:
            if left_in(self.directory, one, job.settings.keep_forks):
                if not leases.held(self.directory.trajectory(one.id).lease):
                    return False
                found = True
        return found

    def _stop(self, cause: Job) -> None:
        """The disk is full: start nothing more, end what runs."""
        self._end_running()
        for moving in self.running.values():
            ended = moving.submission.poll() if moving.submission else None
            if ended is not None and ended.status == EXIT_DONE and self._complete(moving.job):
                self.outcomes.finish(moving, "done", "")
                continue
            message = f"stopped, because {cause.name} found no space on the disk; it goes on from its checkpoints"
            self.outcomes.finish(moving, "interrupted", message)
        for moving in (*self.waiting, *self.elsewhere.values()):
            self.outcomes.finish(moving, "interrupted", f"not started, because {cause.name} found no space on the disk")
        self.running.clear()
        self.waiting.clear()
        self.elsewhere.clear()

    def _end_running(self) -> None:
        submissions = [moving.submission for moving in self.running.values() if moving.submission]
        end(submissions, self.engine.grace_seconds)

    def _complete(self, job: Job) -> bool:
        """Whether the records say so too."""
        return not left_of(job, self.directory)

    def _no_space(self) -> bool:
        return shutil.disk_usage(self.directory.root).free < NO_SPACE_BYTES
