"""What every engine is: something that starts job files, and says how they ended. Results never pass through it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from scaling.config import Resources
from scaling.records import Job

EXIT_DONE = 0
"""Exit status of a job: every horizon is committed, or its trajectory diverged."""
EXIT_FAILED = 1
"""It failed by something of the user's own: started again, it would fail again."""
EXIT_BAD_INPUT = 2
"""Its job file cannot work."""
EXIT_DISK_FULL = 4
"""No space is left; the whole sweep stops."""
EXIT_OUTSIDE = 71
"""It failed by something outside, such as a file server or a device that is gone (EX_OSERR)."""
EXIT_RESUME = 75
"""It was asked to end, by SIGTERM, and has checkpointed, or another of its processes is gone: started again, it goes on
from its checkpoints (EX_TEMPFAIL)."""
EXIT_ELSEWHERE = 76
"""Another process trains what is left of it."""

NOTHING = Resources()
"""Nothing is asked."""
GRACE_SECONDS = 60.0
"""For the checkpoint of a job that is asked to end, where the study says nothing of it."""
Status = Literal["done", "failed", "lost", "disk_full", "interrupted"]


@dataclass(frozen=True)
class Order:
    """What an engine is handed."""

    name: str
    job_file: Path
    log_file: Path
    """All that the job says is appended to it."""
    resources: Resources = NOTHING
    next_file: Path | None = None
    """A job that comes later and has other programs, which may be compiled beside this one."""


@dataclass(frozen=True)
class Ended:
    """How a submission ended."""

    status: int | None
    """The exit status, negative for a signal; None where nobody saw one."""
    words: str = ""
    """What the engine knows beside it, to follow the job's name: was lost: node n2 is gone."""
    outside: bool = False
    """Whether that is no doing of the job's."""


@dataclass(frozen=True)
class JobResult:
    """How a job ended."""

    job: Job
    status: Status
    """failed: by the user's own cause. lost: from outside, and too often without getting further. interrupted: stopped,
    or never started, because the disk filled up elsewhere."""
    attempts: int
    """How often it was started; 0 too where others did all of it."""
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
    elsewhere: tuple[str, ...] = ()
    """Names of jobs that other sweeps are at."""


OnTick = Callable[[EngineState], None]


class Submission(Protocol):
    """A job that was handed to an engine once."""

    @property
    def where(self) -> str:
        """The core, node or slice that it runs on."""

    @property
    def command(self) -> Sequence[str]:
        """What runs the job alone, word by word."""

    def poll(self) -> Ended | None:
        """How it ended; None while it waits or runs."""

    def cancel(self, *, force: bool) -> None:
        """Ask it to end, or with `force` end it. Nothing happens when it has ended."""


class Engine(Protocol):
    """A back-end. `supervise` gives every engine its retries, order and stops."""

    @property
    def processes(self) -> int:
        """Jobs side by side, or in the queue."""

    @property
    def outlives(self) -> bool:
        """Whether jobs go on when the process that submitted them ends."""

    @property
    def grace_seconds(self) -> float:
        """For a checkpoint, between asking a job to end and ending it."""

    def refuse(self, resources: Resources) -> None:
        """StudyError where nothing of this engine will ever have `resources`: field, value, fix."""

    def room(self, resources: Resources, beside: Sequence[Resources]) -> bool:
        """Whether a job of `resources` may be submitted now, beside those that this process runs."""

    def submit(self, orders: Sequence[Order]) -> Sequence[Submission]:
        """Start each job as a fresh process, or hand all of them to a scheduler at once."""

    def dry_run(self, orders: Sequence[Order]) -> str:
        """What would be submitted, for people and other programs to read."""

    def queued(self, jobs: Path) -> Sequence[Path]:
        """Job files of the folder `jobs` that earlier processes submitted, and that still wait or run."""

    def adopt(self, order: Order) -> Submission | None:
        """The job as an earlier process submitted it, where it still waits or runs."""
