"""Jobs as processes of this machine, each on one core of its own."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from scaling.config import EngineConfig
from scaling.engines.base import EngineState, JobResult, OnTick
from scaling.engines.supervision import supervise
from scaling.planning import process_count, usable_cores
from scaling.records import Job, RunDirectory

JOB_COMMAND = (sys.executable, "-m", "scaling", "job")


COMPILE_COMMAND = (sys.executable, "-m", "scaling", "compile")


def local_engine(config: EngineConfig, command: Sequence[str] = JOB_COMMAND) -> "LocalEngine":
    """The local engine as the study asks for it: engine.processes jobs, or one a usable core."""
    return LocalEngine(processes=process_count(config), retries=config.retries, command=command)


class LocalProcess:
    """One job's process. Its standard input stays open as long as this process lives, and tells it when to end."""

    def __init__(self, command: Sequence[str], core: int, log_file: Path):
        self.command, self.core = tuple(command), core
        with log_file.open("ab") as log:
            # A session of its own: Ctrl-C reaches the sweep only, which then ends its jobs in order.
            self._process = subprocess.Popen(
                self.command, stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )

    @property
    def where(self) -> str:
        return f"core {self.core}"

    @property
    def pid(self) -> int:
        return self._process.pid

    def poll(self) -> int | None:
        status = self._process.poll()
        if status is not None and self._process.stdin is not None:
            self._process.stdin.close()
        return status

    def cancel(self, *, force: bool) -> None:
        if force:
            self._process.kill()
        else:
            self._process.terminate()


class LocalEngine:
    """Starts `COMMAND JOB.json --exit-with-parent --core N`, one job on a core as long as there are cores; with
    `--next JOB.json` where another program follows.

    A job restricts itself to its core before JAX starts, for a result depends on how many cores there are; where the
    system cannot do that, --core is left out. A job ends when its standard input closes, so that it outlives its
    sweep in no case, SIGKILL included.
    """

    def __init__(
        self,
        processes: int,
        retries: int,
        command: Sequence[str] = JOB_COMMAND,
        cores: Sequence[int] | None = None,
    ):
        self.processes, self.retries = processes, retries
        self._command = tuple(command)
        self._cores = tuple(usable_cores() if cores is None else cores)
        self._started: list[LocalProcess] = []

    def submit(self, job_file: Path, log_file: Path, next_file: Path | None = None) -> LocalProcess:
        """Start the job on the least used core."""
        self._started = [process for process in self._started if process.poll() is None]
        taken = [process.core for process in self._started]
        core = min(self._cores, key=taken.count)
        pin = ["--core", str(core)] if hasattr(os, "sched_setaffinity") else []
        following = [] if next_file is None else ["--next", str(next_file)]
        process = LocalProcess([*self._command, str(job_file), "--exit-with-parent", *pin, *following], core, log_file)
        self._started.append(process)
        return process

    def run(
        self, jobs: Sequence[Job], directory: RunDirectory, on_tick: OnTick | None = None, tick_seconds: float = 0.5
    ) -> list[JobResult]:
        """Run every job to its end; one result a job, in the order of `jobs`."""
        return supervise(self, jobs, directory, on_tick or _silent, tick_seconds)


def _silent(_: EngineState) -> None:
    return None
