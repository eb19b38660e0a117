"""Jobs of a study handed to a queue and left there; asked to end; or started again where they failed."""

import secrets
import time
from collections.abc import Sequence
from pathlib import Path

from scaling.config import Study, StudyError, load_study
from scaling.engines import Order, engine_of
from scaling.planning import left_of
from scaling.records import (
    Job,
    RunDirectory,
    Trajectory,
    pretty_json,
    read_job,
    replace,
    replace_all,
)
from scaling.studies import staged, terminal, tuning
from scaling.studies.job_settings import settings_of
from scaling.studies.preparing import Prepared, prepare
from scaling.studies.sweep import ended, left_jobs, resources_for, run_jobs

DONE = 0


def launch(study: Study, root: Path, *, dry_run: bool) -> int:
    """Hand all that is left of `study` and is not queued yet to its engine, and leave it there: 0.

    With `dry_run` print what would be submitted, and submit nothing.

    Raises:
      StudyError: the engine's jobs end with the process that started them; or bad input.
    """
    engine = engine_of(study.engine)
    if not engine.outlives:
        raise StudyError(
            f"engine.kind is {study.engine.kind}, whose jobs end with the process that started them; use scaling run, "
            "or --engine slurm or jobset"
        )
    prepared = prepare(study, root)
    directory = prepared.directory
    settings = settings_of(study, directory, prepared.keys)
    stage, trajectories = _stage(study, prepared, dry_run)
    queued, left = left_jobs(engine, directory, trajectories, settings)
    orders = _orders(study, directory, left)
    for order in orders:
        engine.refuse(order.resources)
    if dry_run:
        print(engine.dry_run(orders), end="")
        return DONE
    prepared.announce()
    if orders:
        engine.submit(orders)
    already = f"; {len(queued)} were queued already" if queued else ""
    terminal.line(f"submitted {len(orders)} jobs{stage}{already}")
    terminal.line(f"scaling status {root} says how far they are; scaling run collects them, fits and reports")
    return DONE


def _stage(study: Study, prepared: Prepared, dry_run: bool) -> tuple[str, Sequence[Trajectory]]:
    """(what to say of it, what to submit): of a tuned ladder the stage that it is at, its law fitted as soon as it can
    be; the sweep of other studies."""
    found = staged.current_stage(prepared.planned, prepared.directory)
    if found is None:
        return "", prepared.planned.trajectories
    if found.name == staged.LAW and not dry_run:
        found = staged.current_stage(tuning.with_law(study, prepared).planned, prepared.directory)
        assert found is not None
    terminal.warn(f"{found} of a tuned ladder; launch again when it is done, or scaling run")
    return f" of {found}", found.trajectories


def cancel(root: Path) -> int:
    """Ask every sweep of `root`, and every job of it in a queue, to end; what was done stays: 0."""
    directory = _existing(root)
    study = load_study(directory.study)
    engine = engine_of(study.engine)
    replace(directory.cancel, secrets.token_hex(8).encode())
    paths = engine.queued(directory.jobs) if engine.outlives else []
    resources_of = resources_for(study, directory)
    for path in paths:
        submission = engine.adopt(Order(path.stem, path, path.with_suffix(".log"), resources_of(read_job(path))))
        if submission is not None:
            submission.cancel(force=False)
    deadline = time.monotonic() + engine.grace_seconds
    while paths and time.monotonic() < deadline:
        time.sleep(1.0)
        paths = engine.queued(directory.jobs)
    terminal.line(f"asked everything of {root} to end" + (f"; {len(paths)} jobs have not yet" if paths else ""))
    return DONE


def retry(root: Path, names: Sequence[str]) -> int:
    """Start the jobs of `root` that failed again, or those of them that are named; exit code as of a run.

    Raises:
      StudyError: a name is not that of a job that failed.
    """
    directory = _existing(root)
    study = load_study(directory.study)
    failed = {one.job: one for one in directory.failures()}
    unknown = [name for name in names if name not in failed]
    if unknown:
        known = ", ".join(failed) or "none did"
        raise StudyError(f"{unknown[0]} is not a job that failed in {root}; those that did: {known}")
    jobs = [read_job(directory.jobs / f"{name}.json") for name in names or failed]
    left = [job for job in jobs if left_of(job, directory)]
    for job in jobs:
        if job not in left:
            directory.failure(job.name).unlink(missing_ok=True)
    if not left:
        terminal.line(f"no job of {root} is left that failed")
        return DONE
    return ended(run_jobs(study, directory, left))


def _orders(study: Study, directory: RunDirectory, jobs: Sequence[Job]) -> list[Order]:
    resources_of = resources_for(study, directory)
    paths = {job.name: directory.jobs / f"{job.name}.json" for job in jobs}
    replace_all({paths[job.name]: pretty_json(job.model_dump(mode="json")) for job in jobs})
    return [Order(job.name, paths[job.name], paths[job.name].with_suffix(".log"), resources_of(job)) for job in jobs]


def _existing(root: Path) -> RunDirectory:
    directory = RunDirectory(root)
    if not directory.study.is_file():
        raise StudyError(f"{root} is not a run directory: it has no study.yaml; give a folder of `scaling run`")
    return directory
