"""Trajectories to observations: jobs for what is left, through the engine, with live progress."""

from collections.abc import Sequence
from functools import cache

from scaling.config import Resources, Study
from scaling.engines import JobResult, OnTick, Rules, engine_of, supervise
from scaling.planning import accelerators_of, jobs
from scaling.records import Compiled, Job, RunDirectory, Trajectory
from scaling.studies import compiled
from scaling.studies.job_settings import settings_of
from scaling.studies.progress import Progress


def train(
    study: Study, directory: RunDirectory, trajectories: Sequence[Trajectory], title: str, sets: Sequence[str] = ()
) -> list[JobResult]:
    """Train every horizon of `trajectories` that is not committed yet, and measure it on `sets` (keys).

    The engine ends early when the disk is full.
    """
    settings = settings_of(study, directory, sets)
    left = jobs(trajectories, settings, directory=directory, processes=engine_of(study.engine).processes)
    if not left:
        return []
    with Progress(directory, trajectories, title) as progress:
        return run_jobs(study, directory, left, progress.update)


def run_jobs(study: Study, directory: RunDirectory, left: Sequence[Job], on_tick: OnTick) -> list[JobResult]:
    """Run `left` on the engine of `study`, each with the memory that compiling ahead measured."""

    def resources_of(job: Job) -> Resources:
        asked = study.engine.resources
        memory = asked.memory_bytes or _memory(study, directory, job)
        return asked.model_copy(update={"accelerators": accelerators_of(study.engine), "memory_bytes": memory})

    return supervise(
        engine_of(study.engine),
        left,
        directory,
        on_tick,
        rules=Rules(study.engine.retries),
        resources_of=cache(resources_of),
    )


def _memory(study: Study, directory: RunDirectory, job: Job) -> float | None:
    """Host memory of a job on CPUs, where its program was compiled ahead; None where nothing is known."""
    found = compiled.known(study, directory, job.trajectories[:1]).cells
    reports = [cell.report for cell in found if isinstance(cell.report, Compiled)]
    return max((one.memory_bytes for one in reports if one.limit_bytes is None), default=None)
