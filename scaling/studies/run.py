"""`scaling run`: plan, train, fit, answer, check, report. The same call again does only what is left."""

import time
from collections.abc import Sequence
from pathlib import Path

from scaling.accounting import Count
from scaling.config import Study
from scaling.laws import LawFit
from scaling.planning import Plan, left_in
from scaling.records import Observation, RunDirectory, Trajectory, exclusive
from scaling.studies import (
    check,
    compiled,
    known,
    report,
    sets,
    show,
    show_compiled,
    show_sets,
    show_status,
    swept,
    terminal,
)
from scaling.studies.answers import MAIN, fit_all, write_observations
from scaling.studies.examined import Examined
from scaling.studies.preparing import prepare
from scaling.studies.status import observations
from scaling.studies.sweep import DONE, FAILED, ended, train


def run(study: Study, root: Path) -> int:
    """Do what is left of `study` in the run directory `root`: 0 all done, 1 a job failed by itself, 3 one was lost from
    outside, 4 the disk is full. Several processes may do so at once, and share the work.

    Raises:
      StudyError: bad input, found before anything is trained.
      RecordError: a record is damaged.
    """
    started = time.monotonic()
    prepared = prepare(study, root)
    prepared.announce()
    directory, planned, keys = prepared.directory, prepared.planned, prepared.keys
    _refuse_what_cannot_fit(study, directory, planned)
    code = _train(study, directory, planned.trajectories, "sweep", keys)
    if code == DONE:
        code = _measure(study, directory, keys)
    if code == DONE:
        code = _conclude(study, directory, planned.trajectories, prepared.count, keys)
    show.end(code, directory, time.monotonic() - started)
    return code


def _conclude(
    study: Study, directory: RunDirectory, planned: Sequence[Trajectory], count: Count, keys: Sequence[str]
) -> int:
    """From observations to the report; where several sweeps are at it, one after another."""
    with exclusive(directory.lock, wait=True, holder="scaling run"):
        rows, diverged = observations(directory)
        for line in diverged:
            terminal.warn(line)
        write_observations(directory, rows)
        fitted = [row for row in rows if row.role == "fit"]
        found = fit_all(study, directory, fitted, count, swept.diverged(directory, planned))
        for line in found.said:
            terminal.line(line)
        for line in found.problems:
            terminal.warn(line)
    laws = found.laws
    show.laws(laws)
    if MAIN not in laws:
        terminal.line(f"no {MAIN} law: nothing to answer, nothing to check; the runs are in {directory.observations}")
        return DONE
    show.answers(study, laws[MAIN], fitted)
    show.entropy(known.read(directory), laws[MAIN])
    show_sets.everything(directory, fitted)
    code = _check(study, directory, planned, laws[MAIN], fitted, count, keys) if study.check.enabled else DONE
    with exclusive(directory.lock, wait=True, holder="scaling run"):
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
        terminal.warn("the check diverged: there is nothing to compare the prediction with")
        return FAILED
    show_status.check(result)
    return DONE


def _refuse_what_cannot_fit(study: Study, directory: RunDirectory, planned: Plan) -> None:
    """Compile the programs of what is left of the sweep, and the expected check's if it may be too large.

    Raises:
      StudyError: names every cell that cannot fit.
    """
    left = [one for one in planned.trajectories if left_in(directory, one, study.checkpoints.keep_forks)]
    if left and study.command is not None:
        terminal.line(f"command {study.command} trains: there is no program to compile ahead")
    if not left or not _compiles_here(study):  # this machine's devices are not those of the jobs
        return
    found = compiled.examine(study, directory, left)
    terminal.line(show_compiled.said(found))
    found.refuse()
    _refuse_large(study, directory, planned.expected_check, found)


def _refuse_large(study: Study, directory: RunDirectory, trajectories: Sequence[Trajectory], like: Examined) -> None:
    """Compile what may not fit, by what is known of models like it; StudyError where it does not."""
    if not _compiles_here(study):
        return
    doubtful = [one for one in trajectories if not like.surely_holds(one)]
    if doubtful:
        compiled.examine(study, directory, doubtful).refuse()


def _compiles_here(study: Study) -> bool:
    """Whether the laboratory's own programs train, on this machine."""
    return study.engine.kind == "local" and study.command is None


def _measure(study: Study, directory: RunDirectory, keys: Sequence[str]) -> int:
    """Measure what was trained before a set was named."""
    if not keys:
        return DONE
    found = sets.measure(study, directory, keys, terminal.line)
    if found.missing:
        terminal.warn(show_sets.missing(found.missing))
    return ended(found.results)


def _train(
    study: Study, directory: RunDirectory, trajectories: Sequence[Trajectory], title: str, keys: Sequence[str]
) -> int:
    return ended(train(study, directory, trajectories, title, keys))
