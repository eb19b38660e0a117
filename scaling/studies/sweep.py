"""Trajectories to observations: jobs for what is left, through the engine, with live progress."""

from collections.abc import Sequence
from pathlib import Path

from scaling.config import Study
from scaling.engines import JobResult, local_engine
from scaling.planning import jobs
from scaling.records import JobSettings, RunDirectory, Trajectory
from scaling.studies.progress import Progress


def train(
    study: Study, directory: RunDirectory, trajectories: Sequence[Trajectory], title: str, sets: Sequence[str] = ()
) -> list[JobResult]:
    """Train every horizon of `trajectories` that is not committed yet, and measure it on `sets` (keys).

    The engine ends early when the disk is full.
    """
    engine = local_engine(study.engine)
    left = jobs(trajectories, settings_of(study, directory, sets), directory=directory, processes=engine.processes)
    if not left:
        return []
    with Progress(directory, trajectories, title) as progress:
        return engine.run(left, directory, on_tick=progress.update)


def settings_of(study: Study, directory: RunDirectory, sets: Sequence[str] = ()) -> JobSettings:
    """How jobs run; nothing in it changes a result."""
    cache = study.engine.compilation_cache
    return JobSettings(
        run_dir=str(directory.root.absolute()),
        tokens_dir=str(directory.data.absolute()),
        steps_per_dispatch=study.training.steps_per_dispatch,
        checkpoint_seconds=study.checkpoints.every_seconds,
        checkpoint_steps=study.checkpoints.every_steps,
        keep_forks=study.checkpoints.keep_forks,
        keep_models=study.checkpoints.keep_models,
        sets=tuple(sets),
        compilation_cache=None if cache is None else str(Path(cache).expanduser()),
        mesh=study.engine.mesh,
        compute=study.engine.compute,
        stack=study.engine.stack,
    )
