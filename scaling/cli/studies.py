"""Verbs of a study: plan, run, status, report, schema; and the one that engines call. Each imports its rooms inside."""

import json
import os
import signal
import sys
import threading
from pathlib import Path

from pydantic import ValidationError

from scaling.cli.parsing import Parser, study, study_parser
from scaling.config import StudyError, explain
from scaling.records import Job, read_json


def plan(arguments: list[str]) -> int:
    from scaling import planning
    from scaling.data import prepare
    from scaling.studies import show

    parser = study_parser("plan", "Print what would run; write nothing.", "scaling plan configs/quickstart.yaml")
    parser.add_argument("--json", action="store_true", help="as JSON")
    options, rest = parser.parse_known_args(arguments)
    asked = study(options.study, rest)
    planned = planning.plan(asked, prepare(asked.data, asked.seed).record)
    print(json.dumps(planned.as_json(), indent=2)) if options.json else show.plan(planned)
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
    if options.out and "://" in options.out:  # a Path would drop a slash and make a folder of that name
        raise StudyError(
            f"--out is {options.out}; a run directory is a local folder: hard links keep its records whole"
        )
    asked = study(options.study, rest)
    return runs.run(asked, Path(options.out) if options.out else Path("runs") / asked.name)


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
    from scaling.config import Study

    parser = Parser("schema", "The study's JSON schema.", "scaling schema > study.schema.json")
    parser.parse_args(arguments)
    print(json.dumps(Study.model_json_schema(), indent=2))
    return 0


def job(arguments: list[str]) -> int:
    parser = Parser(
        "job",
        "Train the trajectories of one job file. Engines call this.",
        "scaling job runs/x/jobs/w64.json --core 0",
        takes="JOB",
    )
    parser.add_argument("job", metavar="JOB", help="job file, as an engine wrote it")
    parser.add_argument("--core", type=int, metavar="K", help="the one core to run on")
    parser.add_argument(
        "--distributed", action="store_true", help="one of several processes, as Slurm, Open MPI or a TPU slice says"
    )
    parser.add_argument("--coordinator", metavar="HOST:PORT", help="or meet here: process 0's address")
    parser.add_argument("--processes", type=int, metavar="N", help="with --coordinator: how many they are")
    parser.add_argument("--process", type=int, metavar="K", help="with --coordinator: which this one is, from 0")
    parser.add_argument("--exit-with-parent", action="store_true", help="end when standard input closes")
    options = parser.parse_args(arguments)
    if options.exit_with_parent:
        threading.Thread(target=_end_with_parent, daemon=True).start()
    if options.core is not None:
        os.sched_setaffinity(0, {options.core})  # before JAX starts: it counts cores once, and results depend on it
    group = (options.coordinator, options.processes, options.process)
    from jax.errors import JaxRuntimeError

    from scaling.training import distributed

    if options.distributed or any(value is not None for value in group):
        distributed.join(distributed.Group(*group))
    from scaling.engines import EXIT_RESUME
    from scaling.training import job as jobs
    from scaling.training.loop import Interrupted

    try:
        given = Job.model_validate(read_json(Path(options.job)))
    except ValidationError as error:
        raise StudyError(f"{options.job}: {explain(error, Job)}") from None
    asked = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: asked.set())
    try:
        jobs.run(given, asked.is_set)
    except Interrupted as interrupted:
        print(f"{given.name}: {interrupted}; started again, it goes on from there", file=sys.stderr)
        return EXIT_RESUME
    except JaxRuntimeError as error:
        if not distributed.peer_is_gone(error):
            raise
        reason = str(error).splitlines()[0][:300]
        print(
            f"{given.name}: another process of this job is gone ({reason}); started again, it goes on from the last "
            "checkpoint",
            file=sys.stderr,
            flush=True,
        )
        os._exit(EXIT_RESUME)  # an orderly end would wait for the one that is gone
    return 0


def _end_with_parent() -> None:
    while os.read(0, 1):  # not sys.stdin: its lock, held at interpreter shutdown, aborts the process
        pass
    os._exit(1)
