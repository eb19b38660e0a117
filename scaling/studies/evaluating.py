"""`scaling evaluate`: kept models of a run directory measured on a set, without training again."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from scaling.config import SetConfig, StudyError, override, parse_study, read_study
from scaling.data import load
from scaling.engines import EXIT_DISK_FULL
from scaling.records import Observation, RecordError, RunDirectory, exclusive
from scaling.studies import report, sets, show_sets, terminal
from scaling.studies.answers import MAIN, write_observations
from scaling.studies.status import observations, read

DONE, FAILED = 0, 1


def evaluate(root: Path, asked: Mapping[str, SetConfig], engine: Sequence[str] = (), *, as_json: bool = False) -> int:
    """Measure every committed horizon of `root` on the sets `asked`, or on those of its study: 0 done, 1 a job failed.

    `engine` are options of the study's engine, for a machine that is not the one that trained: --engine.mesh.data 1.

    A run that goes on in `root` is not disturbed: results are files of their own, and it will show them.

    Raises:
      StudyError: `root` is no run directory, nothing in it can be measured, or a set cannot be read as told.
    """
    directory = RunDirectory(root)
    if not directory.study.is_file():
        raise StudyError(f"{root} is not a run directory: it has no study.yaml; give a folder of `scaling run`")
    study = parse_study(override(read_study(directory.study), engine), source=str(directory.study))
    if study.command is not None:
        raise StudyError(
            f"{root} was trained by command {str(study.command)!r}, whose models cannot be read here; have it report "
            "metrics in its result files"
        )
    wanted = asked or study.evaluation.sets
    if not wanted:
        raise StudyError(f"nothing to evaluate on: the study of {root} names no sets; give --set NAME=PATH")
    tokens = load(directory.data)
    if tokens.tokenizer.identity != tokens.record.tokenizer:
        raise StudyError(
            f"data.tokenizer is {tokens.tokenizer.identity} here and {tokens.record.tokenizer} in {root}; "
            "use the version of scaling that trained it"
        )
    named = sets.read(study, tokens, wanted, "--set " if asked else "evaluation.sets.")
    if not sets.trained(directory):
        raise StudyError(f"{root} has no committed horizon yet; evaluate it when `scaling run` has trained some")
    changed = sets.keep(named, directory)
    for line in (*(sets.said(one.record) for one in named), *changed):
        terminal.warn(line) if as_json else terminal.line(line)
    found = sets.measure(
        study, directory, [one.record.key for one in named], terminal.warn if as_json else terminal.line
    )
    if found.missing:
        terminal.warn(show_sets.missing(found.missing))
    for result in found.results:
        if result.status != "done":
            terminal.warn(result.message)
    names = [one.record.name for one in named]
    rows, _ = observations(directory, read(root).planned)
    if as_json:
        print(json.dumps(_as_json(rows, names), indent=2))
    else:
        show_sets.named(directory, [row for row in rows if row.role == "fit"], names)
    _refresh(directory, rows)
    if any(result.status == "disk_full" for result in found.results):
        return EXIT_DISK_FULL
    return DONE if all(result.status == "done" for result in found.results) else FAILED


def _as_json(rows: list[Observation], names: list[str]) -> list[dict[str, object]]:
    return [
        {
            "trajectory": row.trajectory,
            "horizon": row.horizon,
            "role": row.role,
            "params": row.params,
            "tokens": row.tokens,
            "flops": row.flops,
            "sets": {name: row.sets[name].model_dump(mode="json") for name in names if name in row.sets},
        }
        for row in rows
    ]


def _refresh(directory: RunDirectory, rows: list[Observation]) -> None:
    """Show the results in the table and the report, unless a run goes on, which will do so at its end."""
    try:
        with exclusive(directory.lock, wait=False, holder="scaling run"):
            write_observations(directory, rows)
            if (directory.laws / f"{MAIN}.json").is_file():
                report.refresh(directory.root)
    except RecordError:
        terminal.warn(
            f"{directory.root} is being run: its observations.csv and report will show this when the run is done"
        )
