"""What this machine has for jobs: cores, accelerators, and how many jobs that makes."""

import importlib.util
import math
import os
from pathlib import Path

from scaling.config import EngineConfig

CUDA_PLUGINS = ("jax_cuda13_plugin", "jax_cuda12_plugin")
"""JAX computes on NVIDIA devices where one of these is installed."""


def usable_cores() -> tuple[int, ...]:
    """The cores that this process may use, ascending; where the system does not say, all of them."""
    if hasattr(os, "sched_getaffinity"):
        return tuple(sorted(os.sched_getaffinity(0)))
    return tuple(range(os.cpu_count() or 1))


def usable_accelerators(engine: EngineConfig) -> tuple[int, ...]:
    """Numbers of the accelerators that local jobs share out: engine.accelerators of them, or every NVIDIA device of
    this machine where JAX computes on such."""
    if engine.accelerators is not None:
        return tuple(range(engine.accelerators))
    if not any(importlib.util.find_spec(plugin) for plugin in CUDA_PLUGINS):
        return ()
    found = (path.name.removeprefix("nvidia") for path in Path("/dev").glob("nvidia[0-9]*"))
    return tuple(sorted(int(number) for number in found if number.isdigit()))


def accelerators_of(engine: EngineConfig) -> float:
    """Accelerators of one process of a job: as the study asks, else one a device of its mesh where there are any; 0 for
    those of a JobSet, whose slice says it."""
    if engine.resources.accelerators is not None:
        return engine.resources.accelerators
    if engine.kind == "jobset":
        return 0
    return engine.mesh.devices if usable_accelerators(engine) else 0


def process_count(engine: EngineConfig) -> int:
    """engine.processes, or as many jobs as this machine has accelerators for, or cores where it has none."""
    if engine.processes:
        return engine.processes
    if engine.kind != "local":
        return QUEUED
    each = accelerators_of(engine)
    if each:
        return max(1, math.floor(len(usable_accelerators(engine)) / each + 1e-9))
    return max(1, len(usable_cores()) // (engine.resources.cores or 1))


QUEUED = 64
"""Jobs in a queue at once, where the study does not say."""
