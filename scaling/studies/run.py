"""`scaling run`: plan, train, fit, answer, check, report. The same call again does only what is left."""

import time
from collections.abc import Sequence
from pathlib import Path

from scaling.config import Study, dump_study
from scaling.data import prepare, save
from scaling.engines import EXIT_DISK_FULL, JobResult
from scaling.laws import LawFit
from scaling.planning import left_in, plan, plan_checkpoint_bytes
from scaling.records import Observation, RunDirectory, Trajectory, exclusive, replace
from scaling.studies import check, preflight, report, show, show_compiled
from scaling.studies.answers import MAIN, fit_all, write_observations
from scaling.studies.compiled import examine
from scaling.studies.status import observations
from scaling.studies.sweep import train

DONE, FAILED = 0, 1
"""Exit codes, beside the engine's for a full disk."""


def run(study: Study, root: Path) -> int:
    """Do what is left of `study` in the run directory `root`: 0 all done, 1 a job failed, 4 the disk is full.

    Raises:
      StudyError: bad input, found before anything is trained.
      RecordError: another `scaling run` works in `root`, or a record is damaged.
    """
    started = time.monotonic()
    preflight.check_directory(study, root)
    tokens = prepare(study.data, study.seed)
    planned = plan(study, tokens.record)
    preflight.check_space(root, plan_checkpoint_bytes(planned))
    directory = RunDirectory(root)
    root.mkdir(parents=True, exist_ok=True)
    with exclusive(directory.lock, wait=False, holder="scaling run"):
        save(tokens, directory.data)
        replace(directory.study, dump_study(study).encode())
        show.start(planned, tokens, root)
        code = _train(study, directory, planned.trajectories, "sweep", planned.expected_check)
        if code == DONE:
            code = _conclude(study, directory, planned.trajectories)
    show.end(code, directory, time.monotonic() - started)
    return code


def _conclude(study: Study, directory: RunDirectory, planned: Sequence[Trajectory]) -> int:
    """From observations to the report."""
    rows, diverged = observations(directory)
    for line in diverged:
        show.warn(line)
    write_observations(directory, rows)
    fitted = [row for row in rows if row.role == "fit"]
    laws, problems = fit_all(study, directory, fitted)
    for line in problems:
        show.warn(line)
    show.laws(laws)
    show.answers(study, laws[MAIN], fitted)
    code = _check(study, directory, planned[0], laws[MAIN], fitted) if study.check.enabled else DONE
    rows, _ = observations(directory)
    write_observations(directory, rows)
    report.refresh(directory.root)
    return code


def _check(study: Study, directory: RunDirectory, like: Trajectory, law: LawFit, rows: Sequence[Observation]) -> int:
    """Predict, commit the prediction, train, compare."""
    planned = check.prepare(study, like.data, law, rows)
    show.prediction(planned, *check.commit(directory, planned))
    code = _train(study, directory, planned.trajectories, "check")
    if code != DONE:
        return code
    result = check.compare(directory, planned)
    if result is None:
        show.warn("the check diverged: there is nothing to compare the prediction with")
        return FAILED
    show.check(result)
    return DONE


def _train(
    study: Study,
    directory: RunDirectory,
    trajectories: Sequence[Trajectory],
    title: str,
    later: Sequence[Trajectory] = (),
) -> int:
    """Train what is left of `trajectories`, once its programs and those of `later` are compiled and fit."""
    left = [one for one in trajectories if left_in(directory, one, study.checkpoints.keep_forks)]
    if left:
        found = examine(study, directory, [*left, *later])
        found.refuse()
        show.line(show_compiled.said(found))
    results: list[JobResult] = train(study, directory, trajectories, title)
    for result in results:
        if result.status != "done":
            show.warn(result.message)
    if any(result.status == "disk_full" for result in results):
        return EXIT_DISK_FULL
    return DONE if all(result.status == "done" for result in results) else FAILED
