"""Checkpoints of one trajectory, and which of them to keep.

    checkpoints/trunk/<step>           the trunk
    checkpoints/<horizon>/<step>       inside a decay, removed once the horizon is committed

What one holds, and how it is refused, is said in stored.py: a folder whose name is a number is whole.
"""

import logging
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from scaling.training.distributed import barrier, is_first
from scaling.training.state import TrainState
from scaling.training.stored import DAMAGE, CheckpointError, Stored, is_damage

__all__ = ["TRUNK", "CheckpointError", "Checkpoints"]

LOG = logging.getLogger(__name__)
TRUNK = "trunk"


class Checkpoints:
    """The checkpoints of one trajectory, and which of them to keep."""

    def __init__(self, root: Path, like: TrainState, about: Mapping[str, str], where: Mapping[str, str] | None = None):
        """`like`, `about` and `where` as in `Stored`."""
        self.root = root
        self._stored = Stored(like, about, where)
        self._afterwards: list[Callable[[], None]] = []
        if is_first():
            self._clear_unfinished()
        barrier("unfinished checkpoints are removed")

    def steps(self, branch: str) -> list[int]:
        """Steps with a whole checkpoint on `branch`, ascending."""
        folder = self.root / branch
        if not folder.is_dir():
            return []
        return sorted(int(path.name) for path in folder.iterdir() if path.name.isdigit())

    def save(self, branch: str, state: TrainState) -> None:
        """Write `state` at its own step behind the training; nothing happens when that step is already there."""
        self.wait()
        path = self.root / branch / str(int(state.step))
        there = path.exists()
        barrier(f"{path} is looked for")
        if not there:
            self._stored.write(path, state)

    def wait(self) -> None:
        """Until what was saved is on disk, and what was to be removed for it is gone.

        Raises whatever kept it from being written.
        """
        self._stored.wait()
        doomed, self._afterwards = self._afterwards, []
        if doomed:
            if is_first():
                for remove in doomed:
                    remove()
            barrier("older checkpoints are removed")

    def restore(self, branch: str, at_most: int) -> TrainState | None:
        """The newest state on `branch` at step `at_most` or before; None where there is none.

        A damaged checkpoint is set aside as `<step>.damaged` with a warning and the one before it is tried.

        Raises:
          CheckpointError: the checkpoint is of another model, other tokens or another layout than this one's.
        """
        self.wait()
        for step in reversed([step for step in self.steps(branch) if step <= at_most]):
            path = (self.root / branch / str(step)).absolute()
            try:
                state: TrainState = self._stored.read(path)
            except DAMAGE as error:
                if not is_damage(error):
                    raise
                LOG.warning("%s is damaged (%s); going back to the checkpoint before it", path, _first_line(error))
                if is_first():
                    _set_aside(path)
                continue
            return state
        return None

    def keep(self, branch: str, steps: set[int]) -> None:
        """Remove every checkpoint of `branch` but those at `steps`, once what is being written is on disk."""

        def remove() -> None:
            for step in self.steps(branch):
                if step not in steps:
                    _remove(self.root / branch / str(step))

        self._afterwards.append(remove)

    def drop(self, branch: str) -> None:
        """Remove a branch with all its checkpoints."""
        self.wait()
        if is_first():
            shutil.rmtree(self.root / branch, ignore_errors=True)
        barrier(f"{branch} is dropped")

    def close(self) -> None:
        self.wait()
        self._stored.close()

    def _clear_unfinished(self) -> None:
        for path in self.root.glob("*/*"):
            if not path.name.isdigit() and not path.name.endswith(".damaged"):
                shutil.rmtree(path, ignore_errors=True)


def _remove(path: Path) -> None:
    doomed = path.with_name(f"{path.name}.removed")
    path.rename(doomed)
    shutil.rmtree(doomed, ignore_errors=True)


def _set_aside(path: Path) -> None:
    shutil.rmtree(path.with_name(f"{path.name}.damaged"), ignore_errors=True)
    path.rename(path.with_name(f"{path.name}.damaged"))


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0][:200] or type(error).__name__
