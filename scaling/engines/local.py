"""Jobs as processes of this machine, each on cores or devices of its own."""

import math
import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from scaling.config import EngineConfig, Resources, StudyError
from scaling.engines.base import GRACE_SECONDS, Ended, Order
from scaling.planning import available_bytes, process_count, usable_accelerators, usable_cores

JOB_COMMAND = (sys.executable, "-m", "scaling", "job")
COMPILE_COMMAND = (sys.executable, "-m", "scaling", "compile")
SHARE_OF_DEVICE_MEMORY = 0.9
"""Of the part of a device that a job has: the rest is for what JAX does not count."""
SLACK = 1e-9
"""Three thirds are one device."""


def local_engine(config: EngineConfig, command: Sequence[str] = JOB_COMMAND) -> "LocalEngine":
    """The local engine as the study asks for it: engine.processes jobs, or as many as there are devices for."""
    return LocalEngine(
        processes=process_count(config),
        command=command,
        devices=usable_accelerators(config),
        memory_bytes=config.memory_bytes or available_bytes(),
    )


@dataclass(frozen=True)
class Place:
    """What of this machine a job has to itself: cores, devices, and a share of each device."""

    cores: tuple[int, ...]
    devices: tuple[int, ...] = ()
    share: float = 1.0

    def __str__(self) -> str:
        if self.devices:
            return ("device " if len(self.devices) == 1 else "devices ") + ",".join(map(str, self.devices))
        return ("core " if len(self.cores) == 1 else "cores ") + ",".join(map(str, self.cores))

    @property
    def options(self) -> list[str]:
        """Of `scaling job`. Where the system has no affinity, a job is not restricted."""
        return ["--cores", ",".join(map(str, self.cores))] if hasattr(os, "sched_setaffinity") else []

    @property
    def environment(self) -> dict[str, str]:
        """What tells JAX of its devices, and how much of their memory it may have."""
        if not self.devices:
            return {}
        shared = {"XLA_PYTHON_CLIENT_MEM_FRACTION": f"{self.share * SHARE_OF_DEVICE_MEMORY:.3f}"}
        return {"CUDA_VISIBLE_DEVICES": ",".join(map(str, self.devices))} | (shared if self.share < 1 else {})


class LocalProcess:
    """One job's process. Its standard input stays open as long as this process lives, and tells it when to end."""

    def __init__(self, command: Sequence[str], place: Place, log_file: Path):
        self.command, self.place = (*command, *place.options), place
        with log_file.open("ab") as log:
            # A session of its own: Ctrl-C reaches the sweep only, which then ends its jobs in order.
            self._process = subprocess.Popen(
                [*self.command, "--exit-with-parent"],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env=os.environ | place.environment,
            )

    @property
    def where(self) -> str:
        return str(self.place)

    @property
    def pid(self) -> int:
        return self._process.pid

    def poll(self) -> Ended | None:
        status = self._process.poll()
        if status is None:
            return None
        if self._process.stdin is not None:
            self._process.stdin.close()
        return Ended(status)

    def cancel(self, *, force: bool) -> None:
        if force:
            self._process.kill()
        else:
            self._process.terminate()


class LocalEngine:
    """Starts `COMMAND JOB.json --cores K --exit-with-parent`, one job on a core or device as long as there are some;
    with `--next JOB.json` where another program follows.

    A job restricts itself to its cores before JAX starts, for a result depends on how many there are. A job ends when
    its standard input closes, so that it outlives its sweep in no case, SIGKILL included.
    """

    outlives, grace_seconds = False, GRACE_SECONDS

    def __init__(
        self,
        processes: int,
        command: Sequence[str] = JOB_COMMAND,
        *,
        cores: Sequence[int] | None = None,
        devices: Sequence[int] = (),
        memory_bytes: float = math.inf,
    ):
        self.processes, self.memory_bytes = processes, memory_bytes
        self._command, self._devices = tuple(command), tuple(devices)
        self._cores = tuple(usable_cores() if cores is None else cores)
        self._started: list[LocalProcess] = []

    def refuse(self, resources: Resources) -> None:
        """StudyError where this machine will never have `resources`."""
        if resources.hosts > 1:
            raise StudyError(
                f"engine.resources.hosts is {resources.hosts}, and engine.kind local has one; "
                "use ray, slurm or jobset, or 1"
            )
        asked = {"cores": resources.cores or 1, "accelerators": resources.accelerators or 0}
        for name, here in (("cores", self._cores), ("accelerators", self._devices)):
            if asked[name] > len(here):
                raise StudyError(
                    f"engine.resources.{name} is {asked[name]:g}, and this machine has {len(here)}; use at most that"
                )
        if (resources.memory_bytes or 0) > self.memory_bytes:
            raise StudyError(
                f"engine.resources.memory_bytes is {resources.memory_bytes:g}, and all jobs of this machine may have "
                f"{self.memory_bytes:.3g} (engine.memory_bytes, or what is free); use less"
            )

    def room(self, resources: Resources, beside: Sequence[Resources]) -> bool:
        """Whether memory and accelerators are left for it. Cores are shared where there are more jobs than cores."""
        every = [*beside, resources]
        if sum(one.memory_bytes or 0 for one in every) > self.memory_bytes and beside:
            return False
        return _fits([one.accelerators or 0 for one in every], len(self._devices))

    def submit(self, orders: Sequence[Order]) -> list[LocalProcess]:
        """Start each job on the least used cores and devices."""
        return [self._submit(order) for order in orders]

    def dry_run(self, orders: Sequence[Order]) -> str:
        """The command of each job."""
        return "".join(f"{shlex.join([*self._command, str(order.job_file)])}\n" for order in orders)

    def queued(self, jobs: Path) -> list[Path]:
        """Nothing outlives its sweep."""
        return []

    def adopt(self, order: Order) -> None:
        """Nothing outlives its sweep."""
        return None

    def _submit(self, order: Order) -> LocalProcess:
        self._started = [process for process in self._started if process.poll() is None]
        following = [] if order.next_file is None else ["--next", str(order.next_file)]
        command = [*self._command, str(order.job_file), *following]
        process = LocalProcess(command, self._place(order.resources), order.log_file)
        self._started.append(process)
        return process

    def _place(self, resources: Resources) -> Place:
        places = [process.place for process in self._started]
        each = resources.accelerators or 0
        devices: tuple[int, ...] = ()
        if each >= 1:
            taken = {device for place in places for device in place.devices}
            devices = tuple(device for device in self._devices if device not in taken)[: round(each)]
        elif each:
            used = {one: sum(place.share for place in places if one in place.devices) for one in self._devices}
            # The fullest that still has room: others stay whole.
            devices = (max((one for one in used if used[one] + each <= 1 + SLACK), key=lambda one: (used[one], -one)),)
        return Place(self._some_cores(resources, places), devices, min(each, 1.0) or 1.0)

    def _some_cores(self, resources: Resources, places: Sequence[Place]) -> tuple[int, ...]:
        """The least used group of as many neighbouring cores as are asked for."""
        count = resources.cores or 1
        if resources.cores is None and resources.accelerators:
            count = max(1, len(self._cores) // self.processes)
        taken = [core for place in places for core in place.cores]
        groups = [self._cores[at : at + count] for at in range(0, len(self._cores) - count + 1, count)]
        return min(groups, key=lambda group: sum(map(taken.count, group)))


def _fits(asked: Sequence[float], devices: int) -> bool:
    """Whether whole devices, and shares of others, fit on so many: largest first, each share on the first with room."""
    free = devices - sum(round(one) for one in asked if one >= 1)
    used: list[float] = []
    for share in sorted((one for one in asked if 0 < one < 1), reverse=True):
        at = next((place for place, taken in enumerate(used) if taken + share <= 1 + SLACK), None)
        if at is None:
            used.append(share)
        else:
            used[at] += share
    return len(used) <= free
