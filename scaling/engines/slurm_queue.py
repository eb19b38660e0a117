"""What Slurm is asked and told, by its own commands: no shell, each word an argument."""

import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from scaling.config import StudyError

LOOK_SECONDS = 1.0
"""Between two looks at the queue: a controller serves many people."""
ALIVE = {
    "PENDING", "RUNNING", "CONFIGURING", "COMPLETING", "SUSPENDED", "STOPPED", "REQUEUED", "REQUEUE_HOLD",
    "REQUEUE_FED", "RESIZING", "SIGNALING", "STAGE_OUT", "SPECIAL_EXIT",
}  # fmt: skip
"""States of a task that has not ended."""
ARRAY_SIZE = 1001
"""MaxArraySize where the cluster does not say: one more than the largest index."""


@dataclass(frozen=True)
class Task:
    """One task of an array, as squeue shows it."""

    id: str
    """<array>_<index>."""
    name: str
    """Of the array."""
    state: str
    reason: str
    nodes: str


class Queue:
    """The user's own tasks, looked at no more often than a controller should be asked."""

    def __init__(self) -> None:
        self._tasks: dict[str, Task] = {}
        self._looked = float("-inf")
        self.looks = 0
        """Answers so far."""

    def tasks(self, *, fresh: bool = False) -> Mapping[str, Task]:
        """Id -> task, those that ended a short while ago among them; as they were when the controller answered last."""
        if fresh or time.monotonic() - self._looked >= LOOK_SECONDS:
            self._looked = time.monotonic()
            answer = _run(["squeue", "--noheader", "--array", "--states=all", "--me", "--format=%i|%j|%T|%r|%N"])
            if answer.returncode == 0:
                rows = (line.split("|") for line in answer.stdout.splitlines())
                self._tasks = {row[0]: Task(*row) for row in rows if len(row) == 5}
                self.looks += 1
        return self._tasks

    def start_now(self, task: Task) -> None:
        """Have a requeued task wait no longer."""
        _run(["scontrol", "update", f"jobid={task.id}", "StartTime=now"])


def submit(options: Sequence[str], script: str, arguments: Sequence[str]) -> str:
    """The id of an array.

    Raises:
      StudyError: sbatch refuses it; in its words.
    """
    answer = _run(["sbatch", "--parsable", *options, script, *arguments])
    if answer.returncode != 0:
        raise StudyError(f"engine.slurm: sbatch refuses the jobs: {answer.stderr.strip()}")
    return answer.stdout.strip().split(";")[0]


def cancel(task: str, *, force: bool) -> None:
    """End a task: one that waits, at once; one that runs is asked to, or with `force` ended."""
    if force:
        _run(["scancel", task])
        return
    _run(["scancel", "--state=PENDING", task])
    _run(["scancel", "--signal=TERM", "--batch", task])


def largest_array() -> int:
    """Most tasks of one array."""
    answer = _run(["scontrol", "show", "config"])
    for line in answer.stdout.splitlines():
        name, _, value = line.partition("=")
        if name.strip() == "MaxArraySize" and value.strip().isdigit():
            return max(1, int(value) - 1)
    return ARRAY_SIZE - 1


def as_options(options: Mapping[str, str | int | bool]) -> Iterable[str]:
    """Long options by name: true is the option alone, false is not there."""
    for name, value in options.items():
        if value is True:
            yield f"--{name}"
        elif value is not False:
            yield f"--{name}={value}"


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    except FileNotFoundError:
        raise StudyError(
            f"engine.kind is slurm, and there is no {command[0]} here; start the sweep on a node that submits to Slurm"
        ) from None
