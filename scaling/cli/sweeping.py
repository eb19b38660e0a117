"""Verbs of a sweep that goes on elsewhere: launch, cancel, retry. Each imports its rooms inside."""

from pathlib import Path

from scaling.cli.parsing import Parser, study, study_parser
from scaling.cli.studies import check_local, run_directories


def launch(arguments: list[str]) -> int:
    from scaling.studies import arms, launching

    parser = study_parser(
        "launch",
        "Hand all jobs that are left to a queue, and leave them there. Again, it hands over only what is not queued.\n"
        "scaling status says how far they are; scaling run collects them, fits and reports.",
        "scaling launch configs/quickstart.yaml --engine slurm --dry-run",
    )
    parser.add_argument("--out", metavar="DIR", help="run directory (default: runs/<study's name>)")
    parser.add_argument("--engine", metavar="KIND", help="slurm or jobset (default: the study's)")
    parser.add_argument("--dry-run", action="store_true", help="print what would be submitted, and submit nothing")
    options, rest = parser.parse_known_args(arguments)
    kind = [] if options.engine is None else ["--engine.kind", options.engine]
    check_local(options.out)
    asked = study(options.study, [*rest, *kind])
    root = Path(options.out or f"runs/{asked.name}")
    if not asked.arms:
        return launching.launch(asked, root, dry_run=options.dry_run)
    arms.prepare(asked, root)
    return max(launching.launch(own, folder, dry_run=options.dry_run) for _, own, folder in arms.each(asked, root))


def cancel(arguments: list[str]) -> int:
    from scaling.studies import launching

    parser = Parser(
        "cancel",
        "Ask every sweep of a run, and every job of it in a queue, to checkpoint and end. What was done stays.",
        "scaling cancel runs/quickstart",
        takes="DIR",
    )
    parser.add_argument("directory", metavar="DIR", help="run directory")
    root = Path(parser.parse_args(arguments).directory)
    return max(launching.cancel(folder) for _, folder in run_directories(root))


def retry(arguments: list[str]) -> int:
    from scaling.studies import launching

    parser = Parser(
        "retry",
        "Start jobs that failed again; scaling run would start everything that is left.",
        "scaling retry runs/quickstart",
        takes="DIR [JOB ...]",
    )
    parser.add_argument("directory", metavar="DIR", help="run directory")
    parser.add_argument("jobs", metavar="JOB", nargs="*", help="only these (default: all that failed)")
    options = parser.parse_args(arguments)
    return max(launching.retry(folder, options.jobs) for _, folder in run_directories(Path(options.directory)))
