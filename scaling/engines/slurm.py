"""Jobs in a Slurm queue, as tasks of sbatch arrays.

jobs/array-<key>.list names the job files of one array; the array is called scaling-<key>, by which a later process
finds it. What ran is in the files that each process leaves, jobs/<name>.exit-<rank>, and never in Slurm's word alone:
the state of a job is lost some minutes after its end where the cluster keeps no accounts.
"""

import math
import secrets
import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from scaling.config import Resources, SlurmConfig, StudyError
from scaling.engines import slurm_queue
from scaling.engines.base import EXIT_RESUME, Ended, Order
from scaling.engines.causes import of_gang, of_shell
from scaling.engines.slurm_queue import ALIVE, Queue, Task, as_options
from scaling.records import replace

JOB_COMMAND = (sys.executable, "-m", "scaling", "job")
SCRIPT = Path(__file__).with_name("slurm_job.sh")
SETTLE_LOOKS = 3
"""Looks at the queue after which a task that left no status is taken to have been killed: a file of another node comes
late on some file systems. After as many, one that checkpointed is not going to be requeued by its script."""
REQUEUE_LOOKS = 5
"""Looks at the queue between the end of a job and its next start: a node refuses a job that it ended within the same
second, by its own clock and the controller's ("credential revoked"), and the job fails."""
NAME = "scaling-"
BY_USER = {
    "OUT_OF_MEMORY": "ran out of memory; ask for more by engine.resources.memory_bytes",
    "CANCELLED": "was cancelled",
    "DEADLINE": "reached its deadline",
}
"""Ends that another try would not change."""


class SlurmTask:
    """One job, as a task of an array."""

    def __init__(self, queue: Queue, order: Order, task: str, command: Sequence[str]):
        self._queue, self._order, self.task = queue, order, task
        self.command = (*command, str(order.job_file))
        self._gone_since: int | None = None
        self._ended: Ended | None = None
        self._cancelled = False
        self._requeued_at: int | None = None

    @property
    def where(self) -> str:
        found = self._queue.tasks().get(self.task)
        if found is None or not found.nodes:
            return f"Slurm {self.task}, waiting"
        return f"Slurm {self.task} on {found.nodes}"

    def poll(self) -> Ended | None:
        if self._ended is None:
            self._ended = self._look()
        return self._ended

    def cancel(self, *, force: bool) -> None:
        self._cancelled = True
        slurm_queue.cancel(self.task, force=force)

    def _look(self) -> Ended | None:
        found = self._queue.tasks().get(self.task)
        state = "" if found is None else found.state
        if found is not None and state in ALIVE:
            self._gone_since = None
            if state == "PENDING" and found.reason == "BeginTime":
                self._start_soon(found)
            else:
                self._requeued_at = None
            return None
        ends = self._statuses()
        whole = len(ends) == self._order.resources.hosts
        requeued = not self._cancelled and any(one.status == EXIT_RESUME for one in ends)
        if whole and not requeued:
            return of_gang(ends)
        if self._gone_since is None:
            self._gone_since = self._queue.looks
        if self._queue.looks - self._gone_since < SETTLE_LOOKS:
            return None
        if whole:
            return of_gang(ends)
        if state in BY_USER:
            return Ended(None, BY_USER[state])
        lost = Ended(None, f"was lost: Slurm says {state or 'nothing'} of {self.task}", outside=True)
        return of_gang([*ends, lost])

    def _start_soon(self, task: Task) -> None:
        """Spare a requeued task most of the two minutes that Slurm lets it wait."""
        looks = self._queue.looks
        if self._requeued_at is None:
            self._requeued_at = looks
        elif looks - self._requeued_at >= REQUEUE_LOOKS:
            self._requeued_at = looks  # should it go on waiting, it is asked again after as many
            self._queue.start_now(task)

    def _statuses(self) -> list[Ended]:
        """What each process of this task left, as far as it did."""
        found = []
        for rank in range(self._order.resources.hosts):
            path = _exit_file(self._order, rank)
            words = path.read_text().split() if path.exists() else []
            if len(words) == 2 and words[1].isdigit():
                found.append(of_shell(int(words[1])))
        return found


class SlurmEngine:
    """Submits jobs as arrays, each job once; they go on when the process that submitted them ends."""

    outlives = True

    def __init__(self, config: SlurmConfig, processes: int, command: Sequence[str] = JOB_COMMAND):
        self.processes, self._config, self._command = processes, config, tuple(command)
        self._queue = Queue()
        self._found: tuple[object, Mapping[str, str]] = (None, {})

    @property
    def grace_seconds(self) -> float:
        """As before a time limit."""
        return self._config.grace_seconds

    def refuse(self, resources: Resources) -> None:
        """StudyError where a setting is none of Slurm's. What a partition has, sbatch says when it is asked."""
        if resources.labels:
            raise StudyError("engine.resources.labels are Ray's; under slurm use engine.slurm.options")
        if 0 < (resources.accelerators or 0) < 1:
            raise StudyError(
                f"engine.resources.accelerators is {resources.accelerators:g}; Slurm gives whole ones: use 1, or "
                "engine.stack for several trajectories on one"
            )
        if self._config.setup is not None and not Path(self._config.setup).is_file():
            raise StudyError(f"engine.slurm.setup is {self._config.setup}, which is no file")

    def room(self, resources: Resources, beside: Sequence[Resources]) -> bool:
        """The queue takes all."""
        return True

    def submit(self, orders: Sequence[Order]) -> list[SlurmTask]:
        """One array for all orders of the same resources, as far as the cluster's arrays are long enough."""
        tasks: dict[str, SlurmTask] = {}
        for some in self._arrays(orders):
            tasks |= self._submit(some)
        self._queue.tasks(fresh=True)
        return [tasks[order.name] for order in orders]

    def dry_run(self, orders: Sequence[Order]) -> str:
        """The sbatch of each array, and the job files that its tasks read."""
        lines = []
        for some in self._arrays(orders):
            jobs = some[0].job_file.parent
            words, arguments = self._words("KEY", some), self._arguments(jobs / "array-KEY.list", some[0].resources)
            lines.append(shlex.join(["sbatch", *words, str(SCRIPT), *arguments]))
            lines += [f"  {order.job_file}" for order in some]
        return "".join(f"{line}\n" for line in lines)

    def adopt(self, order: Order) -> SlurmTask | None:
        """The job as it waits or runs, whoever submitted it."""
        task = self._alive(order.job_file.parent).get(order.job_file.name)
        return None if task is None else SlurmTask(self._queue, order, task, self._alone(order.resources))

    def queued(self, jobs: Path) -> list[Path]:
        """Job files of the folder `jobs` that wait or run, whoever submitted them."""
        return [jobs / name for name in self._alive(jobs)]

    def _alive(self, jobs: Path) -> Mapping[str, str]:
        """Job file's name -> task, of the arrays of `jobs` that have not ended; found once a look at the queue."""
        tasks = self._queue.tasks()
        look = (jobs, self._queue.looks)
        if self._found[0] != look:
            lists: dict[str, list[str]] = {}
            names: dict[str, str] = {}
            for task in tasks.values():
                if task.state not in ALIVE or not task.name.startswith(NAME):
                    continue
                if task.name not in lists:
                    listed = jobs / f"array-{task.name.removeprefix(NAME)}.list"
                    lists[task.name] = listed.read_text().splitlines() if listed.exists() else []
                lines = lists[task.name]
                for at in _indices(task.id):
                    if at < len(lines):
                        names.setdefault(Path(lines[at]).name, task.id)
            self._found = (look, names)
        return self._found[1]

    def _submit(self, orders: Sequence[Order]) -> dict[str, SlurmTask]:
        resources, jobs = orders[0].resources, orders[0].job_file.parent
        for order in orders:
            for rank in range(resources.hosts):
                _exit_file(order, rank).unlink(missing_ok=True)
        key = secrets.token_hex(4)
        listed = jobs.absolute() / f"array-{key}.list"
        replace(listed, "".join(f"{order.job_file.absolute()}\n" for order in orders).encode())
        array = slurm_queue.submit(self._words(key, orders), str(SCRIPT), self._arguments(listed, resources))
        alone = self._alone(resources)
        return {order.name: SlurmTask(self._queue, order, f"{array}_{at}", alone) for at, order in enumerate(orders)}

    def _arrays(self, orders: Sequence[Order]) -> Iterable[Sequence[Order]]:
        """Orders of the same resources, as many at once as an array may have tasks."""
        size = min(self._config.array_size, slurm_queue.largest_array())
        for resources in dict.fromkeys(_key(order.resources) for order in orders):
            alike = [order for order in orders if _key(order.resources) == resources]
            for first in range(0, len(alike), size):
                yield alike[first : first + size]

    def _words(self, key: str, orders: Sequence[Order]) -> list[str]:
        """Options of the sbatch of one array."""
        options = self._options(orders[0].resources, orders[0].job_file.parent)
        return [f"--job-name={NAME}{key}", f"--array=0-{len(orders) - 1}", *options]

    def _arguments(self, listed: Path, resources: Resources) -> list[str]:
        """What the script is told."""
        launch = ["srun", *as_options(self._config.srun)] if resources.hosts > 1 else ["-"]
        setup = "-" if self._config.setup is None else str(Path(self._config.setup).absolute())
        command = [*self._alone(resources), *(["--distributed"] if resources.hosts > 1 else [])]
        return ["batch", str(SCRIPT), setup, str(listed.absolute()), *launch, "--", *command]

    def _alone(self, resources: Resources) -> list[str]:
        """The command of one process, but for its job file."""
        return [*self._command, *([] if resources.accelerators else ["--core-count", str(resources.cores or 1)])]

    def _options(self, resources: Resources, jobs: Path) -> Iterable[str]:
        """sbatch's options: the user's header, and what the engine's own fields say."""
        yield from as_options(self._config.options)
        yield from (f"--nodes={resources.hosts}", "--ntasks-per-node=1", "--requeue", "--open-mode=append")
        yield f"--output={jobs.absolute() / 'slurm-%A_%a.out'}"
        yield f"--signal=B:USR1@{self._config.grace_seconds}"
        if resources.cores or not resources.accelerators:
            yield f"--cpus-per-task={resources.cores or 1}"
        if resources.accelerators:
            yield f"--gpus-per-node={round(resources.accelerators)}"
        if resources.memory_bytes:
            yield f"--mem={math.ceil(resources.memory_bytes / 2**20)}M"
        if resources.seconds:
            yield f"--time={max(1, math.ceil(resources.seconds / 60))}"


def _exit_file(order: Order, rank: int) -> Path:
    return order.job_file.with_suffix(f".exit-{rank}")


def _key(resources: Resources) -> str:
    return resources.model_dump_json()


def _indices(task: str) -> list[int]:
    """Of one task of an array: <array>_<index>."""
    index = task.rpartition("_")[2]
    return [int(index)] if index.isdigit() else []
