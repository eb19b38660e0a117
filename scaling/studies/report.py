"""The report of a run directory, made from its records alone."""

import itertools
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from scaling.config import Study, dump_study, load_study
from scaling.laws import load
from scaling.planning import Plan
from scaling.records import (
    Observation,
    RecordError,
    RunDirectory,
    TrajectoryDirectory,
    content_hash,
    provenance,
    read_json,
)
from scaling.reporting import PAGE, Answer, Bowl, Contents, LossCurve, made_from, write_report
from scaling.studies import known, show, tuned_law
from scaling.studies.answers import MAIN
from scaling.studies.status import check_result, observations, read

CURVE_POINTS = 120
"""Points of a drawn loss curve; more lines of metrics are averaged."""


def write(root: Path) -> Path:
    """Write `root`/report and return its page.

    Raises:
      StudyError: `root` is not a run directory.
      RecordError: nothing was fitted in `root` yet.
    """
    planned = read(root).planned
    directory = RunDirectory(root)
    return write_report(_contents(directory, planned), directory.report, _key(directory))


def refresh(root: Path) -> Path:
    """`write`, unless the report there was made from the very same records."""
    directory = RunDirectory(root)
    page = directory.report / PAGE
    return page if made_from(page) == _key(directory) else write(root)


def _contents(directory: RunDirectory, planned: Plan) -> Contents:
    laws = {path.stem: load(path) for path in sorted(directory.laws.glob("*.json"))}
    if MAIN not in laws:
        raise RecordError(f"{directory.root} has no laws/{MAIN}.json yet; `scaling run` fits it when the sweep is done")
    study = load_study(directory.study)
    rows, diverged = observations(directory, planned)
    fitted = [row for row in rows if row.role == "fit"]
    check = check_result(directory)
    return Contents(
        name=study.name,
        study_yaml=dump_study(study),
        command=f"scaling run {directory.study} --out {directory.root}-again",
        curves=tuple(curve for one in directory.trajectory_directories() for curve in _curves(one)),
        observations=tuple(rows),
        laws=laws,
        main=MAIN,
        answers=tuple(
            Answer(multiple, answer, answer.tokens.value > unique)
            for multiple, answer, unique in show.answered(study, laws[MAIN], fitted)
        ),
        trust=show.trust(study, laws[MAIN], fitted),
        remarks=tuple(diverged),
        check=check,
        known=known.read(directory),
        bowls=tuple(_bowls(directory, study, planned, rows)),
        provenance=provenance(),
    )


def _bowls(directory: RunDirectory, study: Study, planned: Plan, rows: Iterable[Observation]) -> Iterator[Bowl]:
    """Of a tuned ladder, one after another as the study names the cells."""
    if planned.tuning is None:
        return
    losses = {(row.trajectory, row.horizon): row.loss for row in rows}
    law = tuned_law.current(study, directory, planned.tuning)
    for bowl in planned.tuning.bowls:
        batches = {run.trajectory.batch_tokens for run in bowl.runs}
        for batch in sorted(batches):
            found: dict[float, list[float]] = {}
            for run in bowl.runs:
                if run.key in losses and run.trajectory.batch_tokens == batch:
                    found.setdefault(run.trajectory.recipe.learning_rate, []).append(losses[run.key])
            yield Bowl(
                params=bowl.params,
                tokens=bowl.tokens,
                batch_tokens=batch,
                several=len(batches) > 1,
                held=bowl.held,
                learning_rates=tuple(sorted(found)),
                losses=tuple(float(np.mean(found[rate])) for rate in sorted(found)),
                chosen=None if law is None else law.rule(bowl.params, bowl.tokens).learning_rate,
            )


def _key(directory: RunDirectory) -> str:
    """Hash of every record that the report shows, and of the versions that draw it."""
    files = [directory.study, *sorted(directory.laws.glob("*.json")), *sorted(directory.check.glob("*/result.json"))]
    files += sorted(directory.trajectories.glob("*/horizon-*.json"))
    files += [directory.known_entropy] if directory.known_entropy.is_file() else []
    files += sorted(directory.trajectories.glob("*/diverged.json"))
    files += sorted(directory.trajectories.glob("*/stopped.json"))
    files += sorted(directory.tuning.glob("*/law.json"))
    files += sorted(directory.trajectories.glob("*/evaluations/*/*.json"))
    files += [directory.sets_index] if directory.sets_index.is_file() else []
    return content_hash([[str(path.relative_to(directory.root)), path.read_text()] for path in files] + [provenance()])


def _curves(directory: TrajectoryDirectory) -> Iterator[LossCurve]:
    """The trunk and each decay of one trajectory; steps that a resume repeated count once."""
    record = read_json(directory.record)
    params, flops_per_token = int(record["params"]), int(record["flops_per_token"])
    lines = {(line["branch"], line["step"]): line for line in _metrics(directory)}
    for branch, own in itertools.groupby(sorted(lines), key=lambda key: key[0]):
        found = [lines[key] for key in own]
        parts = np.array_split(np.arange(len(found)), min(CURVE_POINTS, len(found)))
        yield LossCurve(
            trajectory=directory.root.name,
            branch=branch,
            params=params,
            flops=tuple(float(found[part[-1]]["tokens"]) * flops_per_token for part in parts),
            loss=tuple(float(np.mean([found[index]["loss"] for index in part])) for part in parts),
        )


def _metrics(directory: TrajectoryDirectory) -> Iterator[dict[str, Any]]:
    """The whole lines of metrics.jsonl; one that a kill cut short is passed over."""
    if not directory.metrics.exists():
        return
    for line in directory.metrics.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            yield json.loads(line)
        except ValueError:
            continue
