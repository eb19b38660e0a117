"""Checkpoints of one trajectory, written by Orbax: whole or not at all, and never of another structure.

    checkpoints/trunk/<step>           the trunk
    checkpoints/<horizon>/<step>       inside a decay, removed once the horizon is committed

A checkpoint is a flat mapping from the dotted path of each leaf to its array. Orbax writes under a temporary name
and renames when all is on disk, so that a folder whose name is a number is whole.
"""

import logging
import shutil
from pathlib import Path

import jax
import orbax.checkpoint as ocp

from scaling.training.state import TrainState

LOG = logging.getLogger(__name__)
TRUNK = "trunk"


class CheckpointError(RuntimeError):
    """A checkpoint that cannot be read, or that belongs to another model. The message names the folder."""


class Checkpoints:
    """The checkpoints of one trajectory, and which of them to keep."""

    def __init__(self, root: Path, like: TrainState):
        self.root = root
        self._like = like
        self._names, leaves = _named_leaves(like)
        self._treedef = jax.tree.structure(like)
        self._abstract = {
            name: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding)
            for name, leaf in zip(self._names, leaves, strict=True)
        }
        self._orbax = ocp.StandardCheckpointer()
        self._clear_unfinished()

    def steps(self, branch: str) -> list[int]:
        """Steps with a whole checkpoint on `branch`, ascending."""
        folder = self.root / branch
        if not folder.is_dir():
            return []
        return sorted(int(path.name) for path in folder.iterdir() if path.name.isdigit())

    def save(self, branch: str, state: TrainState) -> None:
        """Write `state` at its own step; nothing happens when that step is already there."""
        step = int(state.step)
        path = self.root / branch / str(step)
        if path.exists():
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        self._orbax.save(path.absolute(), dict(zip(self._names, jax.tree.leaves(state), strict=True)))
        self._orbax.wait_until_finished()

    def restore(self, branch: str, at_most: int) -> TrainState | None:
        """The newest state on `branch` at step `at_most` or before; None where there is none.

        A damaged checkpoint is set aside as `<step>.damaged` with a warning and the one before it is tried.

        Raises:
          CheckpointError: the checkpoint holds other arrays than this model has.
        """
        for step in reversed([step for step in self.steps(branch) if step <= at_most]):
            path = (self.root / branch / str(step)).absolute()
            try:
                self._check_structure(path)
                leaves = self._orbax.restore(path, self._abstract)
            except (ValueError, OSError, KeyError, TypeError, jax.errors.JaxRuntimeError) as error:
                LOG.warning("%s is damaged (%s); going back to the checkpoint before it", path, _first_line(error))
                _set_aside(path)
                continue
            return jax.tree.unflatten(self._treedef, [leaves[name] for name in self._names])
        return None

    def keep(self, branch: str, steps: set[int]) -> None:
        """Remove every checkpoint of `branch` but those at `steps`."""
        for step in self.steps(branch):
            if step not in steps:
                self._remove(self.root / branch / str(step))

    def drop(self, branch: str) -> None:
        """Remove a branch with all its checkpoints."""
        shutil.rmtree(self.root / branch, ignore_errors=True)

    def close(self) -> None:
        self._orbax.close()

    def _check_structure(self, path: Path) -> None:
        metadata = self._orbax.metadata(path).item_metadata
        if metadata is None:
            raise ValueError("its metadata is missing")
        found = {name: (tuple(leaf.shape), str(leaf.dtype)) for name, leaf in metadata.tree.items()}
        wanted = {name: (tuple(leaf.shape), str(leaf.dtype)) for name, leaf in self._abstract.items()}
        if found != wanted:
            different = sorted(name for name in found.keys() | wanted.keys() if found.get(name) != wanted.get(name))
            name = different[0]
            raise CheckpointError(
                f"{path} belongs to another model: {name} is {found.get(name, 'absent')} there and "
                f"{wanted.get(name, 'absent')} here ({len(different)} arrays differ)"
            )

    def _clear_unfinished(self) -> None:
        for path in self.root.glob("*/*"):
            if not path.name.isdigit() and not path.name.endswith(".damaged"):
                shutil.rmtree(path, ignore_errors=True)

    def _remove(self, path: Path) -> None:
        doomed = path.with_name(f"{path.name}.removed")
        path.rename(doomed)
        shutil.rmtree(doomed, ignore_errors=True)


def _set_aside(path: Path) -> None:
    shutil.rmtree(path.with_name(f"{path.name}.damaged"), ignore_errors=True)
    path.rename(path.with_name(f"{path.name}.damaged"))


def _named_leaves(state: TrainState) -> tuple[list[str], list[jax.Array]]:
    flat, _ = jax.tree.flatten_with_path(state)
    return [jax.tree_util.keystr(path, simple=True, separator=".") for path, _ in flat], [leaf for _, leaf in flat]


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0][:200] or type(error).__name__
