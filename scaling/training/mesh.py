"""The mesh, and the one table from logical to mesh axes.

    population   trajectories of one shape, stacked
    data         sequences of a batch
    fsdp         sequences of a batch, and one dimension of every parameter: gathered layer by layer when it is used
    tensor       heads, hidden features and vocabulary

A dimension that its mesh axis does not divide stays whole.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from scaling.config import MeshConfig, ModelConfig, StudyError
from scaling.models import Declaration
from scaling.models.sharding import Axes, Function, laid_out

AXES = ("population", "data", "fsdp", "tensor")
TABLE: dict[str, tuple[str, ...]] = {
    "population": ("population",),
    "batch": ("data", "fsdp"),
    "width": ("fsdp",),
    "heads": ("tensor",),
    "kv_heads": ("tensor",),
    "ffn": ("tensor",),
    "vocabulary": ("tensor",),
    "sequence": (),
    "head": (),
    "layer": (),
}
"""Logical axis -> mesh axes that split it. Activations have no "width": it is whole where it is used."""


def make_mesh(given: MeshConfig, devices: Sequence[Any] | None = None) -> Mesh:
    """The mesh of `given` over `devices`, all that there are when None.

    Raises:
      StudyError: the axes' product is not the number of devices.
    """
    devices = jax.devices() if devices is None else list(devices)
    shape = tuple(getattr(given, axis) for axis in AXES)
    if int(np.prod(shape)) != len(devices):
        product = " x ".join(f"{axis} {size}" for axis, size in zip(AXES, shape, strict=True))
        raise StudyError(
            f"engine.mesh is {product}, {int(np.prod(shape))} devices, but {len(devices)} are here; "
            f"make the product {len(devices)}"
        )
    # Auto: the compiler places what is between the shardings that are stated.
    return jax.make_mesh(shape, AXES, axis_types=(AxisType.Auto,) * len(AXES), devices=devices)


def mesh_of(given: MeshConfig) -> Mesh | None:
    """The mesh of a job; None where it has one device, for which nothing need be placed."""
    return None if given == MeshConfig() else make_mesh(given)


def check_model(given: MeshConfig, model: ModelConfig, sequences: int) -> None:
    """StudyError where the mesh cannot hold the model's heads or split its batch."""
    for name, count in (("heads", model.heads), ("kv_heads", model.kv_heads)):
        if count % given.tensor:
            raise StudyError(
                f"engine.mesh.tensor is {given.tensor}, which does not divide the {count} {name} of width "
                f"{model.width}; use a divisor of {count}"
            )
    if sequences % (given.data * given.fsdp):
        raise StudyError(
            f"engine.mesh is data {given.data} x fsdp {given.fsdp}, which does not divide the batch of {sequences} "
            f"sequences at width {model.width}; use a divisor, or another training.batch_tokens"
        )


def spec(axes: Axes, shape: Sequence[int], mesh: Mesh) -> PartitionSpec:
    """How an array with these logical axes is split; no mesh axis twice."""
    used: set[str] = set()
    parts: list[Any] = []
    for name, size in zip(axes, shape, strict=True):
        names = tuple(axis for axis in TABLE[name] if axis not in used) if name else ()
        ways = int(np.prod([mesh.shape[axis] for axis in names]))
        if ways > 1 and size % ways == 0:
            used.update(names)
            parts.append(names if len(names) > 1 else names[0])
        else:
            parts.append(None)
    return PartitionSpec(*parts)


def placed(axes: Axes, shape: Sequence[int], mesh: Mesh) -> NamedSharding:
    return NamedSharding(mesh, spec(axes, shape, mesh))


def parameter_axes(declaration: Declaration, dimensions: int) -> Axes:
    """Logical axes of a parameter with what is stacked before its own: layers."""
    own = declaration.axes
    return ("layer",) * (dimensions - len(own)) + own


def state_shardings(abstract: Any, declared: Mapping[str, Declaration], mesh: Mesh, stacked: bool = False) -> Any:
    """A sharding for each leaf of a training state: moments lie as their parameters do, numbers are everywhere.

    With `stacked` the first dimension of every leaf is the population's.
    """
    first: Axes = ("population",) if stacked else ()

    def one(path: Any, leaf: Any) -> NamedSharding:
        name = next((key.key for key in reversed(path) if isinstance(key, jax.tree_util.DictKey)), None)
        own: Axes = (None,) * (len(leaf.shape) - len(first))
        if name is not None and name in declared and len(own) >= len(declared[name].axes):
            own = parameter_axes(declared[name], len(own))
        return placed(first + own, leaf.shape, mesh)

    return jax.tree_util.tree_map_with_path(one, abstract)


@dataclass(frozen=True)
class _OnMesh:
    """The layout of a mesh by `TABLE`."""

    mesh: Mesh

    def constrain(self, x: jax.Array, axes: Axes) -> jax.Array:
        return jax.lax.with_sharding_constraint(x, placed(axes, x.shape, self.mesh))

    def on_each_device(self, function: Function, given: Sequence[Axes], found: Axes) -> Function:
        def parted(*arrays: jax.Array) -> jax.Array:
            ways = tuple(spec(axes, x.shape, self.mesh) for axes, x in zip(given, arrays, strict=True))
            out = spec(found, jax.eval_shape(function, *arrays).shape, self.mesh)
            mapped = jax.shard_map(function, mesh=self.mesh, in_specs=ways, out_specs=out, check_vma=False)
            result: jax.Array = mapped(*arrays)
            return result

        return parted


def constraining(mesh: Mesh, function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, traced with every marked activation placed by its logical axes."""

    def traced(*given: Any) -> Any:
        with laid_out(_OnMesh(mesh)):
            return function(*given)

    return traced


def own_rows(mesh: Mesh, sequences: int) -> range:
    """The sequences of a batch that this process's devices hold.

    Raises:
      StudyError: they do not follow one another, so that no process could read its part in one piece.
    """
    places = NamedSharding(mesh, PartitionSpec(("data", "fsdp"))).addressable_devices_indices_map((sequences,))
    held = sorted({row for part in places.values() if part for row in range(*part[0].indices(sequences))})
    if held != list(range(held[0], held[-1] + 1)):
        raise StudyError(
            f"engine.mesh gives process {jax.process_index()} sequences {held} of a batch; put the devices of a "
            "process side by side along data or fsdp"
        )
    return range(held[0], held[-1] + 1)


def placed_batch(mesh: Mesh, tokens: np.ndarray[Any, Any], sequences: int) -> jax.Array:
    """The global array [..., sequences, T + 1] of what each process has read of it."""
    split = PartitionSpec(*[None] * (tokens.ndim - 2), ("data", "fsdp"))
    shape = (*tokens.shape[:-2], sequences, tokens.shape[-1])
    return jax.make_array_from_process_local_data(NamedSharding(mesh, split), tokens, shape)
