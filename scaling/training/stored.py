"""Arrays on disk, written by Orbax: whole or not at all, of this model and these tokens or refused.

A folder holds a flat mapping from names to arrays, and what it is about: the version of this layout, the fingerprints
of model, data and tokeniser, where it was made, and a checksum of each array. Orbax writes behind the training, under
a temporary name, and renames when all is on disk. It does not notice a byte that changed there; the checksums do.
"""

import errno
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import orbax.checkpoint as ocp

from scaling.training.distributed import peer_is_gone

LOG = logging.getLogger(__name__)
SCHEMA = 1
"""Version of what a folder holds."""
DAMAGE = (ValueError, OSError, KeyError, TypeError, AttributeError, jax.errors.JaxRuntimeError)
"""What reading damaged files raises."""
PASSING = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOSPC, errno.EACCES, errno.ESTALE, errno.EINTR}
"""Of the machine at this moment, not of the files."""


class CheckpointError(RuntimeError):
    """A checkpoint that cannot be read, or that belongs to another model. The message names the folder."""


class Stored:
    """Reads and writes trees of one structure."""

    def __init__(self, like: Any, about: Mapping[str, str], where: Mapping[str, str] | None = None):
        """`like` has the leaves, dtypes and shardings of what is read; with `about` a folder must agree.

        One made elsewhere than `where` (device, mesh ...) is read with a warning: results then agree with an
        undisturbed run's in all but the last digits.
        """
        self._where = dict(where or {})
        self._about = {"schema": str(SCHEMA), **about}
        self._names, leaves = _named_leaves(like)
        self._treedef = jax.tree.structure(like)
        self._abstract = {
            name: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding)
            for name, leaf in zip(self._names, leaves, strict=True)
        }
        handlers = {"state": ocp.StandardCheckpointHandler(), "about": ocp.JsonCheckpointHandler()}
        self._orbax = ocp.AsyncCheckpointer(ocp.CompositeCheckpointHandler(**handlers))

    def write(self, path: Path, tree: Any) -> None:
        """Write `tree` to `path`, which is not there yet, behind the training."""
        path.parent.mkdir(parents=True, exist_ok=True)
        arrays = dict(zip(self._names, jax.tree.leaves(tree), strict=True))
        about = {**self._about, "where": self._where, "checksums": _checksums(arrays)}
        content = ocp.args.Composite(state=ocp.args.StandardSave(arrays), about=ocp.args.JsonSave(about))
        self._orbax.save(path.absolute(), args=content)

    def wait(self) -> None:
        """Until what was written is on disk. Raises whatever kept it from being written."""
        self._orbax.wait_until_finished()

    def close(self) -> None:
        self.wait()
        self._orbax.close()

    def read(self, path: Path) -> Any:
        """The tree at `path`.

        Raises:
          CheckpointError: it is of another model, other tokens or another layout than this one's.
          DAMAGE: it is damaged, if `is_damage` says so too.
        """
        path = path.absolute()
        about = self._orbax.restore(path, args=ocp.args.Composite(about=ocp.args.JsonRestore())).about
        for name, mine in self._about.items():
            if about[name] != mine:
                raise CheckpointError(
                    f"{path} belongs to another {name}: {about[name]} there and {mine} here; move it away to train anew"
                )
        self._check_structure(path, about["checksums"])
        content = ocp.args.Composite(state=ocp.args.StandardRestore(self._abstract))
        arrays: dict[str, jax.Array] = self._orbax.restore(path, args=content).state
        wrong = [name for name, found in _checksums(arrays).items() if found != about["checksums"][name]]
        if wrong:
            raise ValueError(f"the checksum of {wrong[0]} is another ({len(wrong)} arrays differ)")
        self._say_if_elsewhere(path, about.get("where", {}))
        return jax.tree.unflatten(self._treedef, [arrays[name] for name in self._names])

    def _say_if_elsewhere(self, path: Path, there: Mapping[str, str]) -> None:
        moved = [
            f"{name} {there.get(name, 'unknown')} there and {here} here"
            for name, here in self._where.items()
            if there.get(name) != here
        ]
        if moved:
            LOG.warning(
                "%s was made elsewhere (%s): what follows agrees with an undisturbed run to about 1e-5, "
                "no longer to the last bit",
                path,
                "; ".join(moved),
            )

    def _check_structure(self, path: Path, checksums: Mapping[str, Any]) -> None:
        """Names, shapes and dtypes are this model's: Orbax itself would load what fits and leave out the rest."""
        metadata = self._orbax.metadata(path).item_metadata
        if metadata is None or metadata.state is None:
            raise ValueError("its metadata is missing")
        found = {name: (tuple(leaf.shape), str(leaf.dtype)) for name, leaf in metadata.state.tree.items()}
        if found.keys() != checksums.keys():
            raise ValueError("its metadata does not name its arrays")
        wanted = {name: (tuple(leaf.shape), str(leaf.dtype)) for name, leaf in self._abstract.items()}
        if found != wanted:
            different = sorted(name for name in found.keys() | wanted.keys() if found.get(name) != wanted.get(name))
            name = different[0]
            raise CheckpointError(
                f"{path} belongs to another model: {name} is {found.get(name, 'absent')} there and "
                f"{wanted.get(name, 'absent')} here ({len(different)} arrays differ)"
            )


def is_damage(error: Exception) -> bool:
    """Not so where memory or open files are short, or another process is gone: the checkpoint is as good as before."""
    if isinstance(error, jax.errors.JaxRuntimeError):
        return "RESOURCE_EXHAUSTED" not in str(error) and not peer_is_gone(error)
    return not (isinstance(error, OSError) and error.errno in PASSING)


def _checksums(arrays: Mapping[str, jax.Array]) -> dict[str, list[int]]:
    return {name: [int(one) for one in both] for name, both in jax.device_get(_sums(dict(arrays))).items()}


@jax.jit
def _sums(arrays: dict[str, jax.Array]) -> dict[str, tuple[jax.Array, jax.Array]]:
    """Two sums of each array's bits by place, modulo 2^32: the same on every mesh, and other if any one bit is."""

    def one(array: jax.Array) -> tuple[jax.Array, jax.Array]:
        narrow = {1: jnp.uint8, 2: jnp.uint16}.get(array.dtype.itemsize)
        if array.dtype == jnp.bool_:
            bits = array.astype(jnp.uint32)
        elif narrow is not None:
            bits = jax.lax.bitcast_convert_type(array, narrow).astype(jnp.uint32)
        else:
            bits = jax.lax.bitcast_convert_type(array, jnp.uint32)
        place = jnp.zeros(bits.shape, jnp.uint32)
        for axis, size in enumerate(bits.shape):
            place = place * jnp.uint32(size) + jax.lax.broadcasted_iota(jnp.uint32, bits.shape, axis)
        odd = 2 * place + 1
        return jnp.sum(bits * odd, dtype=jnp.uint32), jnp.sum(bits * (odd * odd + 2), dtype=jnp.uint32)

    return {name: one(array) for name, array in arrays.items()}


def checksums_of(like: Any) -> tuple[Any, dict[str, Any]]:
    """(the jitted function that `write` and `read` call, its argument) for a tree like this, abstract or not."""
    names, leaves = _named_leaves(like)
    return _sums, dict(zip(names, leaves, strict=True))


def _named_leaves(tree: Any) -> tuple[list[str], list[jax.Array]]:
    flat, _ = jax.tree.flatten_with_path(tree)
    return [jax.tree_util.keystr(path, simple=True, separator=".") for path, _ in flat], [leaf for _, leaf in flat]
