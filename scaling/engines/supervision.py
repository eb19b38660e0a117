"""A sweep under watch, the same for every engine: longest job first, retries, and an orderly stop.

jobs/<name>.json is what a job reads; all that it says is appended to jobs/<name>.log.
"""

import shlex
import shutil
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import NoReturn

from scaling.engines.base import (
    EXIT_BAD_INPUT,
    EXIT_DISK_FULL,
    EXIT_DONE,
    EXIT_RESUME,
    Engine,
    EngineState,
    JobResult,
    OnTick,
    RunningJob,
    Status,
    Submission,
)
from scaling.planning import left_of, longest_first
from scaling.records import Job, RunDirectory, is_disk_full, pretty_json, replace

POLL_SECONDS = 0.05
GRACE_SECONDS = 5.0
"""Between asking a job to end and ending it."""
TAIL_LINES = 15
TAIL_BYTES = 16_384
NO_SPACE_BYTES = 65_536
"""A job that crashes with less than this free is taken to have died of it, whatever its exit status: with no room
for its last words, Python's own status is another."""


@dataclass(frozen=True, eq=False)
class _Attempt:
    job: Job
    number: int
    submission: Submission
    log: Path
    log_start: int
    """Bytes that were in the log before this attempt."""
    started: float


def supervise(
    engine: Engine, jobs: Sequence[Job], directory: RunDirectory, on_tick: OnTick, tick_seconds: float = 0.5
) -> list[JobResult]:
    """Run `jobs` on `engine`, longest first; one result a job, in the order of `jobs`.

    A job that crashes is started again up to engine.retries times; then it is reported, and the others go on. A full
    disk stops the sweep: nothing more is started, and what runs is ended. However this call ends, by an exception,
    Ctrl-C or SIGTERM too, the jobs that it started end with it.

    Raises:
      SystemExit: SIGTERM came (status 143).
    """
    sweep = _Sweep(engine, directory, longest_first(jobs, directory))
    ticked = -tick_seconds
    try:
        with sigterm_raises():
            while sweep.advance():
                if time.monotonic() - ticked >= tick_seconds:
                    on_tick(sweep.state())
                    ticked = time.monotonic()
                time.sleep(POLL_SECONDS)
            on_tick(sweep.state())
    finally:
        sweep.end_running()
    return [sweep.results[job.name] for job in jobs]


class _Sweep:
    """The moving parts of one call of `supervise`."""

    def __init__(self, engine: Engine, directory: RunDirectory, ordered: Sequence[Job]):
        self.engine, self.directory = engine, directory
        self.waiting = list(ordered)
        self.running: list[_Attempt] = []
        self.results: dict[str, JobResult] = {}
        self.handed: set[object] = set()
        """Shapes whose programs a running job was asked to compile."""

    def advance(self) -> bool:
        """Collect what ended, start what can start; False when there is nothing left to do."""
        for attempt in list(self.running):
            status = attempt.submission.poll()
            if status is not None and attempt in self.running:  # a full disk empties the list on the way
                self.running.remove(attempt)
                self._ended(attempt, status)
        while self.waiting and len(self.running) < self.engine.processes:
            self._start(self.waiting.pop(0), number=1)
        return bool(self.running)

    def state(self) -> EngineState:
        now = time.monotonic()
        return EngineState(
            waiting=tuple(job.name for job in self.waiting),
            running=tuple(
                RunningJob(attempt.job.name, attempt.submission.where, attempt.number, now - attempt.started)
                for attempt in self.running
            ),
            finished=tuple(self.results.values()),
        )

    def end_running(self) -> None:
        """End what still runs: first asked, then forced."""
        end([attempt.submission for attempt in self.running])

    def _start(self, job: Job, number: int) -> None:
        log = self.directory.jobs / f"{job.name}.log"
        try:
            job_file, following = self._written(job), self._next(job)
            log_start = log.stat().st_size if log.exists() else 0
            submission = self.engine.submit(job_file, log, None if following is None else self._written(following))
        except OSError as error:
            if not is_disk_full(error):
                raise
            self._finish(job, "disk_full", number - 1, f"no space is left to write {self._file(job)}")
            self._stop(job)
            return
        self.running.append(_Attempt(job, number, submission, log, log_start, time.monotonic()))

    def _file(self, job: Job) -> Path:
        return self.directory.jobs / f"{job.name}.json"

    def _written(self, job: Job) -> Path:
        replace(self._file(job), pretty_json(job.model_dump(mode="json")))
        return self._file(job)

    def _next(self, job: Job) -> Job | None:
        """The first waiting job of another program, that no job beside this one compiles already."""
        if job.task == "evaluate":
            return None
        running = {attempt.job.trajectories[0].shape for attempt in self.running}
        for other in self.waiting:
            shape = other.trajectories[0].shape
            if shape not in running | self.handed | {job.trajectories[0].shape}:
                self.handed.add(shape)
                return other
        return None

    def _ended(self, attempt: _Attempt, status: int) -> None:
        job = attempt.job
        if status == EXIT_DONE and self._complete(job):
            self._finish(job, "done", attempt.number, "")
        elif status == EXIT_DISK_FULL or (status != EXIT_DONE and self._no_space()):
            self._finish(job, "disk_full", attempt.number, f"no space is left in {self.directory.root}")
            self._stop(job)
        elif status == EXIT_RESUME:
            # Preempted: no crash, so that it does not count as one.
            self._start(job, attempt.number)
        elif status == EXIT_BAD_INPUT or attempt.number > self.engine.retries:
            self._finish(job, "failed", attempt.number, _failure(attempt, status))
        else:
            self._start(job, attempt.number + 1)

    def _stop(self, cause: Job) -> None:
        """The disk is full: start nothing more, end what runs."""
        self.end_running()
        for attempt in self.running:
            message = f"stopped, because {cause.name} found no space on the disk; it goes on from its checkpoints"
            done = attempt.submission.poll() == EXIT_DONE and self._complete(attempt.job)
            self._finish(attempt.job, "done" if done else "interrupted", attempt.number, "" if done else message)
        self.running.clear()
        for job in self.waiting:
            self._finish(job, "interrupted", 0, f"not started, because {cause.name} found no space on the disk")
        self.waiting.clear()

    def _finish(self, job: Job, status: Status, attempts: int, message: str) -> None:
        self.results[job.name] = JobResult(job, status, attempts, message)

    def _complete(self, job: Job) -> bool:
        """Whether the records say so too."""
        return not left_of(job, self.directory)

    def _no_space(self) -> bool:
        return shutil.disk_usage(self.directory.root).free < NO_SPACE_BYTES


def end(started: Sequence[Submission]) -> None:
    """End what still runs of `started`: first asked, then forced."""

    def alive() -> list[Submission]:
        return [submission for submission in started if submission.poll() is None]

    for submission in alive():
        submission.cancel(force=False)
    deadline = time.monotonic() + GRACE_SECONDS
    while alive() and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    for submission in alive():
        submission.cancel(force=True)
    while alive():
        time.sleep(POLL_SECONDS)


def _failure(attempt: _Attempt, status: int) -> str:
    times = f" (started {attempt.number} times)" if attempt.number > 1 else ""
    return (
        f"job {attempt.job.name} {_how(status)}{times}; the last lines of {attempt.log}:\n"
        f"{tail(attempt.log, attempt.log_start)}\n"
        f"it alone, again: {shlex.join(attempt.submission.command)}"
    )


def _how(status: int) -> str:
    if status == EXIT_DONE:
        return "ended as done, but not all of its results are committed"
    if status < 0:
        return f"was ended by {signal.Signals(-status).name}"
    return f"ended with exit status {status}"


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
