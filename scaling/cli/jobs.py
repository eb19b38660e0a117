"""The verb `job`, which engines call: one job file, alone or as one of several processes. Rooms are imported inside."""

import os
import signal
import sys
import threading
from pathlib import Path

from pydantic import ValidationError

from scaling.cli.parsing import Parser, stand_here
from scaling.config import StudyError, explain
from scaling.records import Job, read_json


def job(arguments: list[str]) -> int:
    parser = Parser(
        "job",
        "Train the trajectories of one job file. Engines call this.",
        "scaling job runs/x/jobs/w64.json --core 0",
        takes="JOB",
    )
    parser.add_argument("job", metavar="JOB", help="job file, as an engine wrote it")
    parser.add_argument("--core", type=int, metavar="K", help="the one core to run on")
    parser.add_argument("--exit-with-parent", action="store_true", help="end when standard input closes")
    parser.add_argument(
        "--distributed", action="store_true", help="one of several processes, as Slurm, Open MPI or a TPU slice says"
    )
    parser.add_argument("--coordinator", metavar="HOST:PORT", help="or meet here: process 0's address")
    parser.add_argument("--processes", type=int, metavar="N", help="with --coordinator: how many they are")
    parser.add_argument("--process", type=int, metavar="K", help="with --coordinator: which this one is, from 0")
    options = parser.parse_args(arguments)
    if options.exit_with_parent:
        threading.Thread(target=_end_with_parent, daemon=True).start()
    if options.core is not None:
        os.sched_setaffinity(0, {options.core})  # before JAX starts: it counts cores once, and results depend on it
    try:
        given = Job.model_validate(read_json(Path(options.job)))
    except ValidationError as error:
        raise StudyError(f"{options.job}: {explain(error, Job)}") from None
    if any(trajectory.own for trajectory in given.trajectories):
        stand_here()
    meeting = (options.coordinator, options.processes, options.process)
    if options.distributed or any(value is not None for value in meeting):
        from scaling.training import distributed

        distributed.join(distributed.Group(*meeting))
    return _run(given)


def _run(given: Job) -> int:
    """The job's exit status."""
    from jax.errors import JaxRuntimeError

    from scaling.engines import EXIT_DONE, EXIT_RESUME
    from scaling.training import job as jobs
    from scaling.training.distributed import peer_is_gone
    from scaling.training.loop import Interrupted

    asked = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: asked.set())
    try:
        jobs.run(given, asked.is_set)
    except Interrupted as interrupted:
        print(f"{given.name}: {interrupted}; started again, it goes on from there", file=sys.stderr)
        return EXIT_RESUME
    except JaxRuntimeError as error:
        if not peer_is_gone(error):
            raise
        reason = str(error).splitlines()[0][:300]
        said = f"{given.name}: another of this job's processes is gone ({reason}); started again, it goes on"
        print(f"{said} from the last checkpoint", file=sys.stderr, flush=True)
        os._exit(EXIT_RESUME)  # an orderly end would wait for the one that is gone
    return EXIT_DONE


def _end_with_parent() -> None:
    while os.read(0, 1):  # not sys.stdin: its lock, held at interpreter shutdown, aborts the process
        pass
    os._exit(1)
