"""Verbs of a study: plan, preflight, run, status, report, schema. Each imports its rooms inside."""

import json
from pathlib import Path
from typing import Any

from scaling.cli.parsing import Parser, study, study_parser
from scaling.config import Study, StudyError, arm_studies
from scaling.records import RunDirectory, Task, result_schema


def plan(arguments: list[str]) -> int:
    from scaling.planning import no_collection

    parser = study_parser(
        "plan",
        "Print what would run, how long it takes and what it costs; train nothing.",
        "scaling plan configs/quickstart.yaml",
    )
    parser.add_argument("--out", metavar="DIR", help="run directory: say what of the plan is done there")
    parser.add_argument("--json", action="store_true", help="as JSON")
    options, rest = parser.parse_known_args(arguments)
    with no_collection():
        _plan(study(options.study, rest), options.out, options.json)
    return 0


def _plan(whole: Study, out: str | None, json_wanted: bool) -> None:
    from scaling.studies import done, own_parts, sets, show_plan, staged, terminal, text

    plain = {}
    for arm, asked, own_out in _arms(whole, out):
        directory = _run_directory(own_out, asked)
        own_parts.check(asked)
        tokens = text.tokens_of(asked)
        named = [one.record for one in sets.read(asked, tokens, asked.evaluation.sets, "evaluation.sets.")]
        planned = staged.planned(asked, tokens.record, own_parts.counter(asked, directory), directory)
        if json_wanted:
            finished = None if directory is None else done.done(planned, directory)
            also: dict[str, Any] = {"sets": [one.model_dump(mode="json") for one in named]} if named else {}
            also |= {} if finished is None else {"done": finished.as_json()}
            plain[arm] = planned.as_json() | also
            continue
        if arm:
            terminal.heading(f"arm {arm}")
        show_plan.staged_plan(planned, directory)
        for one in named:
            terminal.line(sets.said(one))
    if json_wanted:
        print(json.dumps(plain.get("", {"arms": plain}), indent=2))


def preflight(arguments: list[str]) -> int:
    from scaling.studies import compiled, examined, own_parts, show_compiled, staged, terminal, text

    parser = study_parser(
        "preflight",
        "Compile every cell of the plan ahead of time: memory, FLOPs, expected time, and whether it fits.\n"
        "For this machine, or for the devices that engine.target describes. `scaling run` does it by itself.",
        "scaling preflight configs/quickstart.yaml",
    )
    parser.add_argument("--out", metavar="DIR", help="run directory that keeps what is found (default: none)")
    parser.add_argument("--json", action="store_true", help="as JSON")
    options, rest = parser.parse_known_args(arguments)
    plain, every = {}, []
    for arm, asked, out in _arms(study(options.study, rest), options.out):
        directory = _run_directory(out, asked)
        own_parts.check(asked)
        if asked.command is not None:
            terminal.line(f"command {asked.command} trains: there is no program to compile ahead")
            continue
        planned = staged.planned(asked, text.tokens_of(asked).record, own_parts.counter(asked), directory)
        trajectories = [one for stage in planned.stages for one in (*stage.trajectories, *stage.expected_check)]
        found = compiled.examine(asked, directory, trajectories, described=asked.engine.target.described)
        if options.json:
            plain[arm] = examined.as_json(found)
        else:
            if arm:
                terminal.heading(f"arm {arm}")
            show_compiled.table(found)
        every.append(found)
    if options.json:
        print(json.dumps(plain.get("", {"arms": plain}), indent=2))
    for found in every:
        found.refuse()
    return 0


def run(arguments: list[str]) -> int:
    from scaling.studies import arms
    from scaling.studies import run as runs

    parser = study_parser(
        "run",
        "Train the sweep, fit the laws, answer, check the answer on a larger model, report.\n"
        "The same command again goes on from wherever it was stopped.",
        "scaling run configs/quickstart.yaml --out runs/quickstart",
    )
    parser.add_argument("--out", metavar="DIR", help="run directory (default: runs/<study's name>)")
    options, rest = parser.parse_known_args(arguments)
    check_local(options.out)
    asked = study(options.study, rest)
    root = Path(options.out or f"runs/{asked.name}")
    return arms.run(asked, root) if asked.arms else runs.run(asked, root)


def check_local(out: str | None) -> None:
    """StudyError where --out is no folder of this machine."""
    if out and "://" in out:  # a Path would drop a slash and make a folder of that name
        raise StudyError(f"--out is {out}; a run directory is a local folder: hard links keep its records whole")


def status(arguments: list[str]) -> int:
    from scaling.studies import show_status, terminal
    from scaling.studies import status as statuses

    parser = Parser("status", "How far a run is, from its files alone.", "scaling status runs/quickstart", takes="DIR")
    parser.add_argument("directory", metavar="DIR", help="run directory")
    parser.add_argument("--json", action="store_true", help="as JSON")
    options = parser.parse_args(arguments)
    plain = {}
    for arm, folder in run_directories(Path(options.directory)):
        found = statuses.read(folder)
        if options.json:
            plain[arm] = statuses.as_json(found)
            continue
        if arm:
            terminal.heading(f"arm {arm}")
        show_status.status(found)
    if options.json:
        print(json.dumps(plain.get("", {"arms": plain}), indent=2))
    return 0


def run_directories(root: Path) -> list[tuple[str, Path]]:
    """(arm, run directory) of each begun arm of `root`; ("", root) where it has none."""
    found = sorted(path for path in (root / "arms").glob("*") if (path / "study.yaml").is_file())
    return [(path.name, path) for path in found] or [("", root)]


def _arms(asked: Study, out: str | None) -> list[tuple[str, Study, str | None]]:
    """(arm, its study, its --out); ("", asked, out) of a study without arms."""
    if not asked.arms:
        return [("", asked, out)]
    folder = None if out is None else Path(out) / "arms"
    return [(arm, own, None if folder is None else str(folder / arm)) for arm, own in arm_studies(asked).items()]


def report(arguments: list[str]) -> int:
    from scaling.studies import report as reports

    parser = Parser("report", "Write DIR/report again from the records.", "scaling report runs/quickstart", takes="DIR")
    parser.add_argument("directory", metavar="DIR", help="run directory")
    print(reports.write(Path(parser.parse_args(arguments).directory)))
    return 0


def schema(arguments: list[str]) -> int:
    parser = Parser(
        "schema", "The study's JSON schema, or that of a trainer's files.", "scaling schema > study.schema.json"
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--task", action="store_true", help="of the task file that a command of your own is handed")
    which.add_argument("--result", action="store_true", help="of the result files that it writes")
    options = parser.parse_args(arguments)
    model = Task if options.task else Study
    print(json.dumps(result_schema() if options.result else model.model_json_schema(), indent=2))
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
