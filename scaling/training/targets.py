"""The devices that a program is compiled for: those that are here, a TPU slice that is not, or CPU devices instead."""

import math
from importlib.util import find_spec
from typing import Any

import jax
from jax.experimental import topologies
from jax.sharding import Mesh

from scaling.config import MeshConfig, StudyError, TargetConfig
from scaling.records import Where
from scaling.training.mesh import AXES, make_mesh, mesh_of

MEMORY_GIB = {"v5e": 16, "v5p": 95, "v6e": 32}
"""High-bandwidth memory of one chip, which is one device (cloud.google.com/tpu/docs/system-architecture-tpu-vm)."""


def devices_for(target: TargetConfig, mesh: MeshConfig) -> tuple[Mesh | None, Where]:
    """The mesh to compile for, and where its devices are; None is the default device. Before anything else of JAX.

    Raises:
      StudyError: the slice is unknown to JAX, or has another number of devices than the mesh.
    """
    if not target.described:
        return mesh_of(mesh), "here"
    wanted = math.prod(getattr(mesh, axis) for axis in AXES)
    # Whatever is here stays untouched; libtpu would look for chips.
    jax.config.update("jax_platforms", "cpu")
    if target.topology is not None and find_spec("libtpu") is not None:
        return make_mesh(mesh, _slice(target.topology, wanted)), "topology"
    if target.topology is not None:
        _refuse_other_number(wanted, math.prod(map(int, target.topology.partition(":")[2].split("x"))), target.topology)
    jax.config.update("jax_num_cpu_devices", wanted)
    return (make_mesh(mesh) if wanted > 1 else None), "simulated"


def memory_limit(target: TargetConfig) -> int | None:
    """Bytes of one device: as the study says, as is known of the slice, or as a device here says; None where none does.

    Raises:
      StudyError: the study describes devices, and nothing says how large they are.
    """
    if target.memory_bytes is not None:
        return int(target.memory_bytes)
    if target.topology is not None:
        kind = target.topology.partition(":")[0]
        if kind not in MEMORY_GIB:
            raise StudyError(
                f"engine.target.topology is {target.topology}, whose memory is not known here (known: "
                f"{', '.join(MEMORY_GIB)}); give engine.target.memory_bytes"
            )
        return MEMORY_GIB[kind] * 2**30
    if target.described:
        raise StudyError(
            f"engine.target.flops_per_second is {target.flops_per_second:g}, without a size of the device; give "
            "engine.target.memory_bytes too, or engine.target.topology"
        )
    said = jax.local_devices()[0].memory_stats()
    return None if not said else said.get("bytes_limit")


def _slice(topology: str, wanted: int) -> list[Any]:
    """The slice's devices; one of them where the mesh wants one."""
    try:
        devices = topologies.get_topology_desc(topology_name=topology, platform="tpu").devices
    except (RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise StudyError(
            f"engine.target.topology is {topology}, which libtpu does not know ({reason}); write one as v5e:2x4"
        ) from error
    _refuse_other_number(wanted, len(devices), topology)
    return list(devices)[:wanted]


def _refuse_other_number(wanted: int, there: int, topology: str) -> None:
    if wanted not in (1, there):
        raise StudyError(
            f"engine.mesh is for {wanted} devices, but engine.target.topology {topology} has {there}; "
            f"make the product of its axes {there}, or choose another slice"
        )
