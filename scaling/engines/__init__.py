"""What starts jobs, each as a fresh process. An engine moves no results: the truth is what jobs committed. No JAX."""

from scaling.engines.base import (
    EXIT_BAD_INPUT,
    EXIT_DISK_FULL,
    EXIT_DONE,
    EXIT_ELSEWHERE,
    EXIT_FAILED,
    EXIT_OUTSIDE,
    EXIT_RESUME,
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
from scaling.engines.choosing import engine_of
from scaling.engines.compiling import compile_programs
from scaling.engines.conditions import Conditions, Spent
from scaling.engines.jobset import JobSetEngine
from scaling.engines.local import COMPILE_COMMAND, LocalEngine, local_engine
from scaling.engines.ray_cluster import RayEngine
from scaling.engines.rules import Rules
from scaling.engines.simulation import Simulation, simulate
from scaling.engines.slurm import SlurmEngine
from scaling.engines.supervision import supervise

__all__ = [
    "COMPILE_COMMAND",
    "EXIT_BAD_INPUT",
    "EXIT_DISK_FULL",
    "EXIT_DONE",
    "EXIT_ELSEWHERE",
    "EXIT_FAILED",
    "EXIT_OUTSIDE",
    "EXIT_RESUME",
    "Conditions",
    "Ended",
    "Engine",
    "EngineState",
    "JobResult",
    "JobSetEngine",
    "LocalEngine",
    "OnTick",
    "Order",
    "RayEngine",
    "Rules",
    "RunningJob",
    "Simulation",
    "SlurmEngine",
    "Spent",
    "Status",
    "Submission",
    "compile_programs",
    "engine_of",
    "local_engine",
    "simulate",
    "supervise",
]
