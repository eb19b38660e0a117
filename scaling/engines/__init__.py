"""What starts jobs, each as a fresh process. An engine moves no results: the truth is what jobs committed. No JAX."""

from scaling.engines.base import (
    EXIT_BAD_INPUT,
    EXIT_DISK_FULL,
    EXIT_DONE,
    EXIT_FAILED,
    EXIT_RESUME,
    Engine,
    EngineState,
    JobResult,
    RunningJob,
    Status,
    Submission,
)
from scaling.engines.compiling import compile_programs
from scaling.engines.local import COMPILE_COMMAND, LocalEngine, local_engine
from scaling.engines.supervision import supervise

__all__ = [
    "COMPILE_COMMAND",
    "EXIT_BAD_INPUT",
    "EXIT_DISK_FULL",
    "EXIT_DONE",
    "EXIT_FAILED",
    "EXIT_RESUME",
    "Engine",
    "EngineState",
    "JobResult",
    "LocalEngine",
    "RunningJob",
    "Status",
    "Submission",
    "compile_programs",
    "local_engine",
    "supervise",
]
