"""Trajectories to observations: jobs for what is left, through the engine, with live progress."""

from collections.abc import Callable, Sequence

from scaling.config import Resources, Study
from scaling.engines import EXIT_DISK_FULL, Engine, JobResult, OnTick, Rules, engine_of, supervise
from scaling.planning import accelerators_of, jobs
from scaling.records import Job, JobSettings, RunDirectory, Trajectory, read_job
from scaling.studies import compiled, terminal
from scaling.studies.job_settings import settings_of
from scaling.studies.progress import Progress

DONE, FAILED, LOST = 0, 1, 3
"""Exit codes, beside the engine's for a full disk. FAILED: by the user's own cause. LOST: from outside."""


def train(
    study: Study, directory: RunDirectory, trajectories: Sequence[Trajectory], title: str, sets: Sequence[str] = ()
) -> list[JobResult]:
    """Train every horizon of `trajectories` that is not committed yet, and measure it on `sets` (keys).

    The engine ends early when the disk is full.
    """
    settings = settings_of(study, directory, sets)
    queued, left = left_jobs(engine_of(study.engine), directory, trajectories, settings)
    if not queued and not left:
        return []
    with Progress(directory, trajectories, title) as progress:
        return run_jobs(study, directory, [*queued, *left], progress.update)


def left_jobs(
    engine: Engine, directory: RunDirectory, trajectories: Sequence[Trajectory], settings: JobSettings
) -> tuple[list[Job], list[Job]]:
    """(jobs that earlier processes queued, jobs for all that is left beside them) of `trajectories`."""
    mine = {one.id for one in trajectories}
    found = [read_job(path) for path in engine.queued(directory.jobs)]
    queued = [job for job in found if any(one.id in mine for one in job.trajectories)]
    taken = {one.id for job in queued for one in job.trajectories}
    rest = [one for one in trajectories if one.id not in taken]
    return queued, jobs(rest, settings, directory=directory, processes=engine.processes)


def run_jobs(
    study: Study, directory: RunDirectory, left: Sequence[Job], on_tick: OnTick | None = None
) -> list[JobResult]:
    """Run `left` on the engine of `study`."""
    return supervise(
        engine_of(study.engine),
        left,
        directory,
        on_tick,
        rules=Rules(study.engine.retries),
        resources_of=resources_for(study, directory),
    )


def check_engine(study: Study) -> None:
    """StudyError where the engine will never have what the study's jobs ask for, or cannot be reached."""
    engine_of(study.engine).refuse(_asked(study))


def _asked(study: Study) -> Resources:
    return study.engine.resources.model_copy(update={"accelerators": accelerators_of(study.engine)})


def resources_for(study: Study, directory: RunDirectory) -> Callable[[Job], Resources]:
    """What each job takes: as the study says, and the memory that compiling ahead measured."""
    asked = _asked(study)
    if asked.memory_bytes or study.engine.kind != "local" or study.command is not None:
        return lambda _: asked

    measured = compiled.memory_of(study, directory)
    return lambda job: asked.model_copy(update={"memory_bytes": measured(job.trajectories[0])})


def ended(results: Sequence[JobResult]) -> int:
    """Say what became of each job that is not done; the exit code."""
    bad = [result for result in results if result.status != "done"]
    for result in bad:
        terminal.warn(result.message)
    found = {result.status for result in bad}
    if len(bad) > 1:
        how_many = {said: sum(one.status == name for one in bad) for name, said in SAID.items() if name in found}
        counted = ", ".join(f"{number} {said}" for said, number in how_many.items())
        terminal.warn(
            f"of {len(results)} jobs: {counted}; `scaling retry {bad[0].job.settings.run_dir}` starts them again"
        )
    if "disk_full" in found:
        return EXIT_DISK_FULL
    return FAILED if "failed" in found else LOST if bad else DONE


SAID = {
    "failed": "failed by themselves",
    "lost": "were lost from outside",
    "disk_full": "found the disk full",
    "interrupted": "were stopped for that",
}
