"""The verbs: parse, call, print. Each imports its rooms inside the verb, so that help and plans come at once."""

import argparse
import difflib
import json
import os
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from pydantic import ValidationError

from scaling import __version__
from scaling.config import StudyError, explain, fields, override, parse_study, read_study
from scaling.laws import LawError
from scaling.records import Job, RecordError, is_disk_full, read_json

BAD_INPUT = 2
"""Exit code: what was given cannot work; nothing was trained."""
DISK_FULL = 4
"""Exit code: no space is left; what was written stays readable."""

OVERVIEW = """\
A laboratory for scaling laws: plan, train, fit and predict, with honest intervals.

  scaling plan STUDY       what would run, and for how long; writes nothing
  scaling run STUDY        train the sweep, fit the laws, check the prediction, write the report
  scaling status DIR       how far a run is
  scaling fit DIR|TABLE    fit a law to a run, or to any table of runs
  scaling predict LAW      what a fitted law says at a size or a budget
  scaling report DIR       write a run's report again
  scaling schema           the study's JSON schema, for editors

example:
  scaling run configs/quickstart.yaml

`scaling VERB --help` explains one verb.
"""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run one verb and exit: 0 done, 1 something failed, 2 bad input, 4 disk full, 130 interrupted."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    sys.exit(_run(given))


def _run(given: list[str]) -> int:
    if not given or given[0] in ("-h", "--help", "help"):
        print(OVERVIEW, end="")
        return 0 if given else BAD_INPUT
    if given[0] == "--version":
        print(f"scaling {__version__}")
        return 0
    verb, rest = given[0], given[1:]
    if verb not in VERBS:
        close = difflib.get_close_matches(verb, VERBS, n=1)
        hint = f"did you mean {close[0]}?" if close else f"verbs are {', '.join(VERBS)}"
        return _refuse(f"{verb!r} is not a verb; {hint}")
    try:
        return VERBS[verb](rest)
    except (StudyError, RecordError, LawError) as error:
        return _refuse(str(error))
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from here", file=sys.stderr)
        return 130
    except OSError as error:
        if not is_disk_full(error):
            raise
        print(f"scaling: no space is left on the disk: {error}; what was written stays readable", file=sys.stderr)
        return DISK_FULL


def _refuse(message: str) -> int:
    print(f"scaling: {message}", file=sys.stderr)
    return BAD_INPUT


class _Parser(argparse.ArgumentParser):
    """One verb's arguments. Errors come as one line, like every other."""

    def __init__(self, verb: str, description: str, example: str, takes: str = ""):
        super().__init__(
            prog=f"scaling {verb}",
            usage=" ".join(part for part in (f"scaling {verb}", takes, "[options]") if part),
            description=description,
            epilog=f"example:\n  {example}",
            formatter_class=lambda prog: argparse.RawDescriptionHelpFormatter(prog, max_help_position=30, width=120),
            allow_abbrev=False,
        )

    def error(self, message: str) -> NoReturn:
        raise StudyError(f"{message} (see {self.prog} --help)")


def _study_parser(verb: str, description: str, example: str) -> _Parser:
    parser = _Parser(
        verb,
        f"{description}\n\nAny field of the study is an option too: --training.learning-rate 3e-3 (see --help-all).",
        example,
        takes="STUDY",
    )
    parser.add_argument("study", metavar="STUDY", help="YAML file of the study")
    parser.add_argument("--help-all", action=_HelpAll, nargs=0, help="list the study's fields")
    return parser


class _HelpAll(argparse.Action):
    """Lists every field of the study with its default and meaning."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> NoReturn:
        for option, field in fields():
            default = "required" if field.is_required() else json.dumps(field.default)
            print(f"--{option}  ({default})\n    {field.description}")
        parser.exit()


def _plan(arguments: list[str]) -> int:
    from scaling.data import prepare
    from scaling.planning import plan
    from scaling.studies import show

    parser = _study_parser("plan", "Print what would run; write nothing.", "scaling plan configs/quickstart.yaml")
    parser.add_argument("--json", action="store_true", help="as JSON")
    options, rest = parser.parse_known_args(arguments)
    study = _study(options.study, rest)
    planned = plan(study, prepare(study.data, study.seed).record)
    print(json.dumps(planned.as_json(), indent=2)) if options.json else show.plan(planned)
    return 0


def _train(arguments: list[str]) -> int:
    from scaling.studies import run

    parser = _study_parser(
        "run",
        "Train the sweep, fit the laws, answer, check the answer on a larger model, report.\n"
        "The same command again goes on from wherever it was stopped.",
        "scaling run configs/quickstart.yaml --out runs/quickstart",
    )
    parser.add_argument("--out", metavar="DIR", help="run directory (default: runs/<study's name>)")
    options, rest = parser.parse_known_args(arguments)
    if options.out and "://" in options.out:  # a Path would drop a slash and make a folder of that name
        raise StudyError(
            f"--out is {options.out}; a run directory is a local folder: hard links keep its records whole"
        )
    study = _study(options.study, rest)
    return run.run(study, Path(options.out) if options.out else Path("runs") / study.name)


def _status(arguments: list[str]) -> int:
    from scaling.studies import show, status

    parser = _Parser("status", "How far a run is, from its files alone.", "scaling status runs/quickstart", takes="DIR")
    parser.add_argument("directory", metavar="DIR", help="run directory")
    parser.add_argument("--json", action="store_true", help="as JSON")
    options = parser.parse_args(arguments)
    found = status.read(Path(options.directory))
    print(json.dumps(status.as_json(found), indent=2)) if options.json else show.status(found)
    return 0


def _fit(arguments: list[str]) -> int:
    from scaling.studies import fitting

    parser = _Parser(
        "fit",
        "Fit a law to a run directory, or to a table of anybody's runs (CSV, JSON lines, Parquet).",
        'scaling fit runs.csv --form chinchilla --columns params="Model Size" flops="Training FLOP" --json',
        takes="DIR|TABLE",
    )
    parser.add_argument("source", metavar="DIR|TABLE", help="run directory or table")
    parser.add_argument("--form", default="chinchilla", metavar="NAME", help="chinchilla, power or isoflop")
    parser.add_argument(
        "--x",
        choices=["params", "tokens", "flops"],
        default="params",
        metavar="INPUT",
        help="input of form power: params (default), tokens or flops",
    )
    parser.add_argument(
        "--columns",
        nargs="+",
        default=[],
        metavar="NAME=COLUMN",
        help="where the table's names differ: params, tokens, flops, loss, ...",
    )
    parser.add_argument("--pin", nargs="+", default=[], metavar="NAME=VALUE", help="hold parameters, as E=0")
    parser.add_argument(
        "--delta", type=float, metavar="X", help="Huber threshold on residuals of ln L (default: 1e-3, or the study's)"
    )
    parser.add_argument("--drop-highest-loss", type=int, default=0, metavar="K", help="leave out the K worst rows")
    parser.add_argument(
        "--resamples", type=int, metavar="K", help="resamples behind the intervals (default: 1000, or the study's)"
    )
    parser.add_argument(
        "--level", type=float, metavar="X", help="level of the intervals (default: 0.95, or the study's)"
    )
    parser.add_argument("--seed", type=int, metavar="K", help="of the resampling (default: 0, or the study's)")
    parser.add_argument("--out", metavar="FILE", help="write the law here (default: DIR/laws, or nowhere)")
    parser.add_argument("--json", action="store_true", help="print the law as JSON")
    return fitting.fit(parser.parse_args(arguments))


def _predict(arguments: list[str]) -> int:
    from scaling.studies import fitting

    parser = _Parser(
        "predict",
        "What a fitted law says: the loss of a model, or the best model for a budget, with intervals.",
        "scaling predict runs/quickstart/laws/chinchilla.json --flops 1e13",
        takes="LAW",
    )
    parser.add_argument("law", metavar="LAW", help="a law's JSON file, or a run directory (its chinchilla law)")
    parser.add_argument("--params", type=float, metavar="N", help="N, under the law's convention; with --tokens")
    parser.add_argument("--tokens", type=float, metavar="D", help="D; with --params")
    parser.add_argument(
        "--flops", type=float, metavar="C", help="C, under the law's convention: the best N and D for it"
    )
    parser.add_argument("--json", action="store_true", help="as JSON")
    return fitting.predict(parser.parse_args(arguments))


def _report(arguments: list[str]) -> int:
    from scaling.studies import report

    parser = _Parser(
        "report", "Write DIR/report again from the records.", "scaling report runs/quickstart", takes="DIR"
    )
    parser.add_argument("directory", metavar="DIR", help="run directory")
    print(report.write(Path(parser.parse_args(arguments).directory)))
    return 0


def _schema(arguments: list[str]) -> int:
    from scaling.config import Study

    parser = _Parser("schema", "The study's JSON schema.", "scaling schema > study.schema.json")
    parser.parse_args(arguments)
    print(json.dumps(Study.model_json_schema(), indent=2))
    return 0


def _job(arguments: list[str]) -> int:
    parser = _Parser(
        "job",
        "Train the trajectories of one job file. Engines call this.",
        "scaling job runs/x/jobs/w64.json --core 0",
        takes="JOB",
    )
    parser.add_argument("job", metavar="JOB", help="job file, as an engine wrote it")
    parser.add_argument("--core", type=int, metavar="K", help="the one core to run on")
    parser.add_argument("--exit-with-parent", action="store_true", help="end when standard input closes")
    options = parser.parse_args(arguments)
    if options.exit_with_parent:
        threading.Thread(target=_end_with_parent, daemon=True).start()
    if options.core is not None:
        os.sched_setaffinity(0, {options.core})  # before JAX starts: it counts cores once, and results depend on it
    from scaling.training import job

    try:
        given = Job.model_validate(read_json(Path(options.job)))
    except ValidationError as error:
        raise StudyError(f"{options.job}: {explain(error, Job)}") from None
    job.run(given)
    return 0


def _end_with_parent() -> None:
    while os.read(0, 1):  # not sys.stdin: its lock, held at interpreter shutdown, aborts the process
        pass
    os._exit(1)


def _study(path: str, overrides: list[str]) -> Any:
    return parse_study(override(read_study(path), overrides), source=path)


VERBS: dict[str, Callable[[list[str]], int]] = {
    "plan": _plan,
    "run": _train,
    "status": _status,
    "fit": _fit,
    "predict": _predict,
    "report": _report,
    "schema": _schema,
    "job": _job,
}
