"""The verbs that engines call: `job`, alone or as one of several processes, and `compile`. Rooms: inside the verbs."""

import argparse
import os
import signal
import sys
import threading
import traceback
from pathlib import Path

from pydantic import ValidationError

from scaling.cli.parsing import Parser, stand_here
from scaling.config import StudyError, explain
from scaling.records import CompileRequest, Job, is_outside, read_job, read_json


def job(arguments: list[str]) -> int:
    parser = Parser(
        "job",
        "Train the trajectories of one job file, or measure their models. Engines call this.",
        "scaling job runs/x/jobs/w64.json --cores 0",
        takes="JOB",
    )
    parser.add_argument("job", metavar="JOB", help="job file, as an engine wrote it")
    _add_place(parser)
    parser.add_argument("--next", metavar="JOB", help="compile this job's programs beside the training")
    parser.add_argument(
        "--distributed", action="store_true", help="one of several processes, as Slurm, Open MPI or a TPU slice says"
    )
    parser.add_argument("--coordinator", metavar="HOST:PORT", help="or meet here: process 0's address")
    parser.add_argument("--processes", type=int, metavar="N", help="with --coordinator: how many they are")
    parser.add_argument("--process", type=int, metavar="K", help="with --coordinator: which this one is, from 0")
    options = parser.parse_args(arguments)
    _take_place(options)
    given = read_job(Path(options.job))
    following = None if options.next is None else read_job(Path(options.next))
    if given.command is not None:
        return _run_command(given)
    if any(trajectory.own for trajectory in given.trajectories):
        stand_here()
    meeting = (options.coordinator, options.processes, options.process)
    if options.distributed or any(value is not None for value in meeting):
        from scaling.training import distributed

        distributed.join(distributed.Group(*meeting))
    return _run(given, following)


def compile_ahead(arguments: list[str]) -> int:
    parser = Parser(
        "compile",
        "Compile programs ahead of their jobs, and write what each takes. Engines call this.",
        "scaling compile runs/x/compiled/request-7-0.json --cores 0",
        takes="REQUEST",
    )
    parser.add_argument("request", metavar="REQUEST", help="request file, as an engine wrote it")
    _add_place(parser)
    options = parser.parse_args(arguments)
    _take_place(options)
    try:
        given = CompileRequest.model_validate(read_json(Path(options.request)))
    except ValidationError as error:
        raise StudyError(f"{options.request}: {explain(error, CompileRequest)}") from None
    if any(trajectory.own for one in given.programs for trajectory in one.job.trajectories):
        stand_here()
    from scaling.training.preflight import compile_all

    compile_all(given)
    return 0


def _add_place(parser: Parser) -> None:
    parser.add_argument("--cores", type=_cores, metavar="K,...", help="the cores to run on")
    parser.add_argument("--core-count", type=int, metavar="N", help="or so many of the cores that it may use")
    parser.add_argument("--exit-with-parent", action="store_true", help="end when standard input closes")


def _take_place(options: argparse.Namespace) -> None:
    if options.exit_with_parent:
        threading.Thread(target=_end_with_parent, daemon=True).start()
    if options.cores is not None:
        os.sched_setaffinity(0, options.cores)  # before JAX starts: it counts cores once, and results depend on it
    elif options.core_count is not None and hasattr(os, "sched_setaffinity"):
        from scaling.planning import take_cores, usable_cores

        os.sched_setaffinity(0, take_cores(options.core_count, usable_cores()))


def _cores(text: str) -> set[int]:
    try:
        return {int(one) for one in text.split(",")}
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no list of cores; write 0 or 0,1") from None


def _run_command(given: Job) -> int:
    """The exit status of a job that a command of the user's own trains. No JAX."""
    from scaling import external
    from scaling.engines import EXIT_DONE, EXIT_ELSEWHERE, EXIT_FAILED, EXIT_OUTSIDE, EXIT_RESUME
    from scaling.planning import Elsewhere, Interrupted

    asked = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: asked.set())
    try:
        external.run(given, asked.is_set)
    except Interrupted as interrupted:
        return _ends(given, f"{interrupted}; started again, it goes on from there", EXIT_RESUME)
    except Elsewhere as elsewhere:
        return _ends(given, str(elsewhere), EXIT_ELSEWHERE)
    except external.TrainerError as error:
        return _ends(given, str(error), EXIT_FAILED)
    except external.Signalled as signalled:
        _ends(given, str(signalled), EXIT_FAILED)
        if signalled.number != signal.SIGKILL:
            signal.signal(signalled.number, signal.SIG_DFL)
        os.kill(os.getpid(), signalled.number)  # engines tell a signal from a failure
        return EXIT_FAILED
    except OSError as error:
        if not is_outside(error):
            raise
        traceback.print_exc()
        return EXIT_OUTSIDE
    return EXIT_DONE


def _ends(given: Job, why: str, status: int) -> int:
    print(f"{given.name}: {why}", file=sys.stderr, flush=True)
    return status


def _run(given: Job, following: Job | None) -> int:
    """The job's exit status."""
    from jax.errors import JaxRuntimeError

    from scaling.engines import EXIT_DONE, EXIT_ELSEWHERE, EXIT_OUTSIDE, EXIT_RESUME
    from scaling.planning import Elsewhere, Interrupted
    from scaling.training import evaluating
    from scaling.training import job as jobs
    from scaling.training.ahead import Beside
    from scaling.training.distributed import peer_is_gone

    asked = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: asked.set())
    beside = None if following is None else Beside(following, asked.is_set, after=len(given.trajectories))
    try:
        if given.task == "evaluate":
            evaluating.run(given, asked.is_set)
        else:
            jobs.run(given, beside or asked.is_set)
    except Interrupted as interrupted:
        print(f"{given.name}: {interrupted}; started again, it goes on from there", file=sys.stderr, flush=True)
        if beside is not None and beside.busy:
            os._exit(EXIT_RESUME)  # a compilation cannot be stopped, and the grace period is short
        return EXIT_RESUME
    except Elsewhere as elsewhere:
        return _ends(given, str(elsewhere), EXIT_ELSEWHERE)
    except OSError as error:
        if not is_outside(error):
            raise
        traceback.print_exc()
        return EXIT_OUTSIDE
    except JaxRuntimeError as error:
        if not peer_is_gone(error):
            raise
        reason = str(error).splitlines()[0][:300]
        said = f"{given.name}: another of this job's processes is gone ({reason}); started again, it goes on"
        print(f"{said} from the last checkpoint", file=sys.stderr, flush=True)
        os._exit(EXIT_RESUME)  # an orderly end would wait for the one that is gone
    if beside is not None:
        beside.wait()
    return EXIT_DONE


def _end_with_parent() -> None:
    while os.read(0, 1):  # not sys.stdin: its lock, held at interpreter shutdown, aborts the process
        pass
    os._exit(1)
