"""How a study's jobs run; nothing in it changes a result, but the mesh in its last digits."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import psutil

from scaling.config import EngineConfig, Study
from scaling.records import JobSettings, RunDirectory

OF_SEVERAL_MACHINES = {
    "9p", "afs", "beegfs", "ceph", "cifs", "fuse", "glusterfs", "gpfs", "lustre", "nfs", "nfs4", "pvfs2", "smb3",
    "smbfs",
    "virtiofs", "wekafs",
}  # fmt: skip
"""File systems on which a lock of the kernel may not be seen by other machines."""


def settings_of(study: Study, directory: RunDirectory, sets: Sequence[str] = ()) -> JobSettings:
    """The settings of every job of `study` in `directory`; each model is measured on `sets` (keys)."""
    cache = study.engine.compilation_cache
    return JobSettings(
        run_dir=str(directory.root.absolute()),
        tokens_dir=str(directory.data.absolute()),
        steps_per_dispatch=study.training.steps_per_dispatch,
        checkpoint_seconds=study.checkpoints.every_seconds,
        checkpoint_steps=study.checkpoints.every_steps,
        keep_forks=study.checkpoints.keep_forks,
        keep_models=study.checkpoints.keep_models,
        sets=tuple(sets),
        compilation_cache=None if cache is None else str(Path(cache).expanduser()),
        mesh=study.engine.mesh,
        compute=study.engine.compute,
        stack=study.engine.stack,
        stop_above=study.stopping.above_best,
        leases=kind_of_lease(study.engine, directory.root),
        lease_seconds=study.engine.lease_seconds,
    )


def kind_of_lease(engine: EngineConfig, root: Path) -> Literal["flock", "heartbeat"]:
    """As the study says, or by where the jobs run and where the run directory lies."""
    if engine.leases != "auto":
        return engine.leases
    return "flock" if engine.kind == "local" and not _is_shared(root) else "heartbeat"


def _is_shared(path: Path) -> bool:
    """Whether the file system of `path` may be one of several machines."""
    real = path.resolve()
    mounts = [one for one in psutil.disk_partitions(all=True) if real.is_relative_to(one.mountpoint)]
    nearest = max(mounts, key=lambda one: len(one.mountpoint), default=None)
    return nearest is not None and nearest.fstype.split(".")[0] in OF_SEVERAL_MACHINES
