"""Verbs of a study: plan, preflight, run, status, report, schema. Each imports its rooms inside."""

import json
from pathlib import Path
from typing import Any

from scaling.cli.parsing import Parser, study, study_parser
from scaling.config import Study, StudyError
from scaling.records import RunDirectory


def plan(arguments: list[str]) -> int:
    from scaling.studies import done, own_parts, sets, show, show_plan, staged, text

    parser = study_parser(
        "plan",
        "Print what would run, how long it takes and what it costs; train nothing.",
        "scaling plan configs/quickstart.yaml",
    )
    parser.add_argument("--out", metavar="DIR", help="run directory: say what of the plan is done there")
    parser.add_argument("--json", action="store_true", help="as JSON")
    options, rest = parser.parse_known_args(arguments)
    asked = study(options.study, rest)
    directory = _run_directory(options.out, asked)
    own_parts.check(asked)
    tokens = text.tokens_of(asked)
    named = [one.record for one in sets.read(asked, tokens, asked.evaluation.sets, "evaluation.sets.")]
    planned = staged.planned(asked, tokens.record, own_parts.counter(asked, directory), directory)
    if options.json:
        finished = None if directory is None else done.done(planned, directory)
        also: dict[str, Any] = {"sets": [one.model_dump(mode="json") for one in named]} if named else {}
        also |= {} if finished is None else {"done": finished.as_json()}
        print(json.dumps(planned.as_json() | also, indent=2))
        return 0
    show_plan.staged_plan(planned, directory)
    for one in named:
        show.line(sets.said(one))
    return 0


def preflight(arguments: list[str]) -> int:
    from scaling.studies import compiled, examined, own_parts, show_compiled, staged, text

    parser = study_parser(
        "preflight",
        "Compile every cell of the plan ahead of time: memory, FLOPs, expected time, and whether it fits.\n"
        "For this machine, or for the devices that engine.target describes. `scaling run` does it by itself.",
        "scaling preflight configs/quickstart.yaml",
    )
    parser.add_argument("--out", metavar="DIR", help="run directory that keeps what is found (default: none)")
    parser.add_argument("--json", action="store_true", help="as JSON")
    options, rest = parser.parse_known_args(arguments)
    asked = study(options.study, rest)
    directory = _run_directory(options.out, asked)
    own_parts.check(asked)
    planned = staged.planned(asked, text.tokens_of(asked).record, own_parts.counter(asked), directory)
    trajectories = [one for stage in planned.stages for one in (*stage.trajectories, *stage.expected_check)]
    found = compiled.examine(asked, directory, trajectories, described=asked.engine.target.described)
    print(json.dumps(examined.as_json(found), indent=2)) if options.json else show_compiled.table(found)
    found.refuse()
    return 0


def run(arguments: list[str]) -> int:
    from scaling.studies import run as runs

    parser = study_parser(
        "run",
        "Train the sweep, fit the laws, answer, check the answer on a larger model, report.\n"
        "The same command again goes on from wherever it was stopped.",
        "scaling run configs/quickstart.yaml --out runs/quickstart",
    )
    parser.add_argument("--out", metavar="DIR", help="run directory (default: runs/<study's name>)")
    options, rest = parser.parse_known_args(arguments)
    asked = study(options.study, rest)
    return runs.run(asked, local_folder(options.out, asked.name))


def local_folder(out: str | None, name: str) -> Path:
    """The run directory of --out, or the study's own."""
    if out and "://" in out:  # a Path would drop a slash and make a folder of that name
        raise StudyError(f"--out is {out}; a run directory is a local folder: hard links keep its records whole")
    return Path(out) if out else Path("runs") / name


def status(arguments: list[str]) -> int:
    from scaling.studies import show
    from scaling.studies import status as statuses

    parser = Parser("status", "How far a run is, from its files alone.", "scaling status runs/quickstart", takes="DIR")
    parser.add_argument("directory", metavar="DIR", help="run directory")
    parser.add_argument("--json", action="store_true", help="as JSON")
    options = parser.parse_args(arguments)
    found = statuses.read(Path(options.directory))
    print(json.dumps(statuses.as_json(found), indent=2)) if options.json else show.status(found)
    return 0


def report(arguments: list[str]) -> int:
    from scaling.studies import report as reports

    parser = Parser("report", "Write DIR/report again from the records.", "scaling report runs/quickstart", takes="DIR")
    parser.add_argument("directory", metavar="DIR", help="run directory")
    print(reports.write(Path(parser.parse_args(arguments).directory)))
    return 0


def schema(arguments: list[str]) -> int:
    parser = Parser("schema", "The study's JSON schema.", "scaling schema > study.schema.json")
    parser.parse_args(arguments)
    print(json.dumps(Study.model_json_schema(), indent=2))
    return 0


def _run_directory(out: str | None, asked: Study) -> RunDirectory | None:
    """The run directory that --out names.

    Raises:
      StudyError: it is none, or belongs to another study.
    """
    from scaling.studies.preflight import check_directory

    if not out:
        return None
    check_directory(asked, Path(out))
    directory = RunDirectory(out)
    if not directory.study.is_file():
        raise StudyError(f"--out is {out}, no run directory yet; leave --out out, or `scaling run` first")
    return directory
