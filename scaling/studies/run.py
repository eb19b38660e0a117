"""`scaling run`: plan, train, fit, answer, check, report. The same call again does only what is left."""

import time
from collections.abc import Sequence
from pathlib import Path

from scaling.accounting import Count
from scaling.config import Study, dump_study
from scaling.data import save
from scaling.engines import EXIT_DISK_FULL, JobResult
from scaling.laws import LawFit
from scaling.planning import Plan, left_in, plan, plan_checkpoint_bytes, plan_model_bytes
from scaling.records import Observation, RunDirectory, Trajectory, exclusive, replace
from scaling.studies import (
    check,
    compiled,
    known,
    own_parts,
    preflight,
    report,
    sets,
    show,
    show_compiled,
    show_plan,
    show_sets,
    swept,
    text,
)
from scaling.studies.answers import MAIN, fit_all, write_observations
from scaling.studies.examined import Examined
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
    own_parts.check(study)
    tokens = text.tokens_of(study)
    named = sets.read(study, tokens, study.evaluation.sets, "evaluation.sets.")
    count = own_parts.counter(study, RunDirectory(root))
    planned = plan(study, tokens.record, count)
    preflight.check_space(root, plan_checkpoint_bytes(planned), plan_model_bytes(planned))
    directory = RunDirectory(root)
    root.mkdir(parents=True, exist_ok=True)
    with exclusive(directory.lock, wait=False, holder="scaling run"):
        save(tokens, directory.data)
        replace(directory.study, dump_study(study).encode())
        known.keep(study, tokens, directory)
        changed = sets.keep(named, directory)
        own_parts.keep(count, directory)
        show.text(planned, tokens)
        show_plan.totals(planned)
        show_plan.skipped(planned.skipped)
        show.line(f"run directory: {root}")
        for line in (*(sets.said(one.record) for one in named), *changed):
            show.line(line)
        _refuse_what_cannot_fit(study, directory, planned)
        keys = [one.record.key for one in named]
        code = _train(study, directory, planned.trajectories, "sweep", keys)
        if code == DONE:
            code = _measure(study, directory, keys)
        if code == DONE:
            code = _conclude(study, directory, planned.trajectories, count, keys)
    show.end(code, directory, time.monotonic() - started)
    return code


def _conclude(
    study: Study, directory: RunDirectory, planned: Sequence[Trajectory], count: Count, keys: Sequence[str]
) -> int:
    """From observations to the report."""
    rows, diverged = observations(directory)
    for line in diverged:
        show.warn(line)
    write_observations(directory, rows)
    fitted = [row for row in rows if row.role == "fit"]
    found = fit_all(study, directory, fitted, count, swept.diverged(directory, planned))
    for line in found.said:
        show.line(line)
    for line in found.problems:
        show.warn(line)
    laws = found.laws
    show.laws(laws)
    if MAIN not in laws:
        show.line(f"no {MAIN} law: nothing to answer, nothing to check; the runs are in {directory.observations}")
        return DONE
    show.answers(study, laws[MAIN], fitted)
    show.entropy(known.read(directory), laws[MAIN])
    show_sets.everything(directory, fitted)
    code = _check(study, directory, planned, laws[MAIN], fitted, count, keys) if study.check.enabled else DONE
    rows, _ = observations(directory)
    write_observations(directory, rows)
    report.refresh(directory.root)
    return code


def _check(
    study: Study,
    directory: RunDirectory,
    sweep: Sequence[Trajectory],
    law: LawFit,
    rows: Sequence[Observation],
    count: Count,
    keys: Sequence[str],
) -> int:
    """Predict, commit the prediction, train, compare."""
    planned = check.prepare(study, sweep[0].data, law, rows, count)
    show.prediction(planned, *check.commit(directory, planned))
    left = [one for one in planned.trajectories if left_in(directory, one, study.checkpoints.keep_forks)]
    _refuse_large(study, directory, left, compiled.known(study, directory, sweep))
    code = _train(study, directory, planned.trajectories, "check", keys)
    if code != DONE:
        return code
    result = check.compare(directory, planned)
    if result is None:
        show.warn("the check diverged: there is nothing to compare the prediction with")
        return FAILED
    show.check(result)
    return DONE


def _refuse_what_cannot_fit(study: Study, directory: RunDirectory, planned: Plan) -> None:
    """Compile the programs of what is left of the sweep, and the expected check's if it may be too large.

    Raises:
      StudyError: names every cell that cannot fit.
    """
    left = [one for one in planned.trajectories if left_in(directory, one, study.checkpoints.keep_forks)]
    if not left:
        return
    found = compiled.examine(study, directory, left)
    show.line(show_compiled.said(found))
    found.refuse()
    _refuse_large(study, directory, planned.expected_check, found)


def _refuse_large(study: Study, directory: RunDirectory, trajectories: Sequence[Trajectory], like: Examined) -> None:
    """Compile what may not fit, by what is known of models like it; StudyError where it does not."""
    doubtful = [one for one in trajectories if not like.surely_holds(one)]
    if doubtful:
        compiled.examine(study, directory, doubtful).refuse()


def _measure(study: Study, directory: RunDirectory, keys: Sequence[str]) -> int:
    """Measure what was trained before a set was named."""
    if not keys:
        return DONE
    found = sets.measure(study, directory, keys, show.line)
    if found.missing:
        show.warn(show_sets.missing(found.missing))
    return _ended(found.results)


def _train(
    study: Study, directory: RunDirectory, trajectories: Sequence[Trajectory], title: str, keys: Sequence[str]
) -> int:
    return _ended(train(study, directory, trajectories, title, keys))


def _ended(results: Sequence[JobResult]) -> int:
    for result in results:
        if result.status != "done":
            show.warn(result.message)
    if any(result.status == "disk_full" for result in results):
        return EXIT_DISK_FULL
    return DONE if all(result.status == "done" for result in results) else FAILED
