"""What is left to be measured on named held-out sets."""

from collections.abc import Sequence

from scaling.records import Horizon, Trajectory, TrajectoryDirectory


def unmeasured(directory: TrajectoryDirectory, trajectory: Trajectory, sets: Sequence[str]) -> list[Horizon]:
    """Committed horizons with a kept model that some of `sets` (keys) is not measured on."""
    return [
        horizon
        for horizon in trajectory.horizons
        if (directory.models / horizon.name).is_dir()
        and directory.horizon(horizon).exists()
        and not all(directory.evaluation(horizon.name, key).exists() for key in sets)
    ]


def measuring_cost(directory: TrajectoryDirectory, trajectory: Trajectory, sets: Sequence[str]) -> float:
    """What measuring the rest takes, up to a factor that is the same for all trajectories."""
    return float(len(unmeasured(directory, trajectory, sets)) * trajectory.flops_per_token_exact)
