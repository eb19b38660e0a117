"""Programs compiled ahead of their jobs: fresh processes, as many side by side as jobs, each with its share of them."""

import errno
import os
import shlex
import time
from collections.abc import Sequence
from pathlib import Path

from scaling.config import StudyError, TargetConfig
from scaling.engines.base import EXIT_BAD_INPUT, EXIT_DISK_FULL, EXIT_DONE, Engine, Order, Submission
from scaling.engines.ending import POLL_SECONDS, end, sigterm_raises, tail
from scaling.records import CompileRequest, ProgramRequest, pretty_json, replace

GRACE_SECONDS = 5.0
"""There is nothing to save but an entry of the cache that is being written."""


def compile_programs(engine: Engine, programs: Sequence[ProgramRequest], target: TargetConfig, folder: Path) -> None:
    """Have `programs` compiled; each one's report is in its files afterwards.

    Requests and logs lie in `folder` until all went well. However this call ends, the processes that it started end
    with it.

    Raises:
      StudyError: one of them failed; what it said.
      OSError: no space is left.
    """
    shares = [share for share in (programs[k :: engine.processes] for k in range(engine.processes)) if share]
    started: list[tuple[Submission, Path]] = []
    try:
        with sigterm_raises():
            for number, share in enumerate(shares):
                request = folder / f"request-{os.getpid()}-{number}.json"
                log = request.with_suffix(".log")
                asked = CompileRequest(target=target, programs=tuple(share))
                replace(request, pretty_json(asked.model_dump(mode="json")))
                order = Order(name=request.stem, job_file=request, log_file=log)
                started.append((engine.submit([order])[0], log))
            while any(submission.poll() is None for submission, _ in started):
                time.sleep(POLL_SECONDS)
    finally:
        end([submission for submission, _ in started], GRACE_SECONDS)
    for submission, log in started:
        ended = submission.poll()
        status = None if ended is None else ended.status
        if status == EXIT_DISK_FULL:
            raise OSError(errno.ENOSPC, f"{log.parent} has no room for what programs take")
        if status == EXIT_BAD_INPUT:
            raise StudyError(tail(log, 0).strip().removeprefix("scaling: "))
        if status != EXIT_DONE:
            raise StudyError(
                f"compiling ahead failed (status {status}) before anything was trained; the last lines of {log}:\n"
                f"{tail(log, 0)}\nit alone, again: {shlex.join(submission.command)}"
            )
    for _, log in started:
        log.with_suffix(".json").unlink(missing_ok=True)
        log.unlink(missing_ok=True)
