"""What every engine is: something that submits a job file, and says how it ended. Results never pass through it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from scaling.records import Job, RunDirectory

EXIT_DONE = 0
"""Exit status of a job: every horizon is committed, or its trajectory diverged."""
EXIT_FAILED = 1
"""It crashed; started again, it goes on from its checkpoints."""
EXIT_BAD_INPUT = 2
"""Its job file cannot work; starting it again would not help."""
EXIT_DISK_FULL = 4
"""No space is left; the whole sweep stops."""

EXIT_RESUME = 75
"""It was asked to end, by SIGTERM, and has checkpointed, or another of its processes is gone: started again, it goes on
from its checkpoints (EX_TEMPFAIL)."""

Status = Literal["done", "failed", "disk_full", "interrupted"]


@dataclass(frozen=True)
class JobResult:
    """How a job ended."""

    job: Job
    status: Status
    """interrupted: stopped, or never started, because the disk filled up elsewhere."""
    attempts: int
    """How often it was started."""
    message: str
    """Empty when done; otherwise what happened, the log's last lines and the command that runs it alone."""


@dataclass(frozen=True)
class RunningJob:
    """A job that runs now."""

    name: str
    where: str
    """The core, node or slice that it runs on."""
    attempt: int
    seconds: float
    """Since this attempt began."""


@dataclass(frozen=True)
class EngineState:
    """A sweep at one moment, for whoever draws it."""

    waiting: tuple[str, ...]
    """Names, in the order in which they will start."""
    running: tuple[RunningJob, ...]
    finished: tuple[JobResult, ...]


OnTick = Callable[[EngineState], None]


class Submission(Protocol):
    """A job that was handed to an engine once."""

    @property
    def where(self) -> str:
        """The core, node or slice that it runs on."""

    @property
    def command(self) -> Sequence[str]:
        """What runs the job, word by word."""

    def poll(self) -> int | None:
        """The exit status, negative for a signal; None while it runs."""

    def cancel(self, *, force: bool) -> None:
        """Ask it to end, or with `force` end it. Nothing happens when it has ended."""


class Engine(Protocol):
    """A back-end. `supervise` gives every engine its retries, order and stops."""

    @property
    def processes(self) -> int:
        """Jobs side by side."""

    @property
    def retries(self) -> int:
        """How often a job that crashed is started again in one run."""

    def submit(self, job_file: Path, log_file: Path, next_file: Path | None = None) -> Submission:
        """Start the job in `job_file` as a fresh process that appends all it says to `log_file`.

        The programs of the job in `next_file` may be compiled beside it: that job comes later and has others.
        """

    def run(
        self, jobs: Sequence[Job], directory: RunDirectory, on_tick: OnTick | None = ..., tick_seconds: float = ...
    ) -> list[JobResult]:
        """Run every job to its end; one result a job, in the order of `jobs`."""
