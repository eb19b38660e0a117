"""`scaling run`: plan, train, fit, answer, check, report. The same call again does only what is left."""

import time
from collections.abc import Sequence
from pathlib import Path

from scaling.config import Study
from scaling.laws import LawFit
from scaling.planning import Plan, left_in
from scaling.records import Observation, RunDirectory, Trajectory, exclusive
from scaling.studies import (
    answers,
    check,
    compiled,
    known,
    report,
    sets,
    show,
    show_compiled,
    show_sets,
    show_status,
    show_tuning,
    swept,
    terminal,
    tuning,
)
from scaling.studies.answers import MAIN, fit_all, write_observations
from scaling.studies.examined import Examined
from scaling.studies.preparing import Prepared, prepare
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
    directory, keys = prepared.directory, prepared.keys
    _refuse_what_cannot_fit(study, directory, prepared.planned)
    code, prepared = tuning.tune(study, prepared)
    if code == DONE:
        code = _sweep(study, prepared)
    if code == DONE:
        code = _measure(study, directory, keys)
    if code == DONE:
        code = _conclude(study, prepared)
    show.end(code, directory, time.monotonic() - started)
    return code


def _sweep(study: Study, prepared: Prepared) -> int:
    """Train the sweep, and what a tuned one is judged by."""
    directory, planned, keys = prepared.directory, prepared.planned, prepared.keys
    beside = () if planned.tuning is None or planned.tuning.beside is None else planned.tuning.beside.trajectories
    if beside:
        _refuse_what_cannot_fit(study, directory, planned)
    code = _train(study, directory, planned.trajectories, "sweep", keys)
    return code if code != DONE or not beside else _train(study, directory, beside, "regret", keys)


def _conclude(study: Study, prepared: Prepared) -> int:
    """From observations to the report; where several sweeps are at it, one after another."""
    directory, planned, count = prepared.directory, prepared.planned, prepared.count
    with exclusive(directory.lock, wait=True, holder="scaling run"):
        rows, diverged = observations(directory, planned)
        for line in diverged:
            terminal.warn(line)
        write_observations(directory, rows)
        fitted = [row for row in rows if row.role == "fit"]
        judged = tuning.judge(directory, planned, prepared.law)
        lost = swept.diverged(directory, planned.trajectories)
        found = fit_all(study, directory, fitted, count, lost, answers.tuned(judged, prepared.law))
        for line in found.said:
            terminal.line(line)
        for line in found.problems:
            terminal.warn(line)
    laws = found.laws
    show.laws(laws)
    if MAIN not in laws:
        terminal.line(f"no {MAIN} law: nothing to answer, nothing to check; the runs are in {directory.observations}")
        return DONE
    show_tuning.measured(laws[MAIN])
    show.answers(study, laws[MAIN], fitted)
    show.entropy(known.read(directory), laws[MAIN])
    show_sets.everything(directory, fitted)
    code = _check(study, prepared, laws[MAIN], fitted) if study.check.enabled else DONE
    with exclusive(directory.lock, wait=True, holder="scaling run"):
        rows, _ = observations(directory, planned)
        write_observations(directory, rows)
        report.refresh(directory.root)
    return code


def _check(study: Study, prepared: Prepared, law: LawFit, rows: Sequence[Observation]) -> int:
    """Predict, commit the prediction, train, compare."""
    directory, sweep, keys = prepared.directory, prepared.planned.trajectories, prepared.keys
    rule = None if prepared.law is None else prepared.law.rule
    planned = check.prepare(study, prepared.planned.data, law, rows, prepared.count, rule)
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
    every = [one for stage in planned.stages for one in stage.trajectories]
    left = [one for one in every if left_in(directory, one, study.checkpoints.keep_forks)]
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
