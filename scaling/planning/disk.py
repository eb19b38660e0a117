"""What checkpoints and kept models take on disk."""

from collections.abc import Sequence
from typing import Literal

from scaling.records import Trajectory

KeepForks = Literal["last", "all"]
KeepModels = Literal["all", "last", "none"]
BYTES_PER_PARAM = 4 * 3
"""float32: the parameter and its two moments."""
MODEL_BYTES_PER_PARAM = 4
"""float32: the parameter alone."""


def checkpoint_bytes(trajectory: Trajectory, keep_forks: KeepForks) -> int:
    """Most bytes that the checkpoints of `trajectory` take at once.

    12 bytes a parameter x (kept forks, the one before the newest among them + newest trunk + newest in a decay + one
    being written).
    """
    forks = len(trajectory.horizons)
    return _bytes(trajectory, (min(forks, 2) if keep_forks == "last" else forks) + 3)


def retained_bytes(trajectory: Trajectory, keep_forks: KeepForks) -> int:
    """Bytes that stay once every horizon is committed."""
    return _bytes(trajectory, 1 if keep_forks == "last" else len(trajectory.horizons))


def sweep_bytes(trajectories: Sequence[Trajectory], keep_forks: KeepForks, processes: int) -> int:
    """Most bytes that the checkpoints of a sweep take at once: what stays of each trajectory, and the largest
    trajectories at their fullest, one a process."""
    retained = [retained_bytes(trajectory, keep_forks) for trajectory in trajectories]
    passing = sorted(
        checkpoint_bytes(trajectory, keep_forks) - kept for trajectory, kept in zip(trajectories, retained, strict=True)
    )
    return sum(retained) + sum(passing[-processes:])


def model_bytes(trajectories: Sequence[Trajectory], keep_models: KeepModels) -> int:
    """Bytes of the annealed models that are kept: 4 a parameter and horizon, or of the largest horizon alone."""
    kept = {"all": lambda one: len(one.horizons), "last": lambda one: 1, "none": lambda one: 0}[keep_models]
    return sum(MODEL_BYTES_PER_PARAM * one.params_with_embeddings * kept(one) for one in trajectories)


def _bytes(trajectory: Trajectory, checkpoints: int) -> int:
    return BYTES_PER_PARAM * trajectory.params_with_embeddings * checkpoints
