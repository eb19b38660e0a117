"""What of a plan is done in a run directory, by its records."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from scaling.planning import exact_flops, left_in, packed_makespan, process_count
from scaling.planning.plans import Plan
from scaling.records import RunDirectory, Trajectory


@dataclass(frozen=True)
class Done:
    """Of a plan's sweep.

    Attributes:
      horizons: committed ones, by the trajectory's identity.
      diverged: trajectories that ended before their last horizon.
      left_flops: exact FLOPs that the rest takes.
      left_seconds: wall time of the rest, as the plan's own.
    """

    horizons: dict[str, int]
    diverged: int
    left_flops: float
    left_seconds: float

    def of(self, trajectory: Trajectory) -> int:
        return self.horizons.get(trajectory.id, 0) if self.horizons else 0

    def as_json(self) -> dict[str, Any]:
        return {
            "horizons": sum(self.horizons.values()),
            "diverged": self.diverged,
            "left_flops": self.left_flops,
            "left_seconds": self.left_seconds,
        }


def done(plan: Plan, directory: RunDirectory) -> Done:
    """What `directory` holds of `plan`; only trajectories that were begun are looked at."""
    begun = {one.root.name for one in directory.trajectory_directories()}
    horizons, diverged, left = {}, 0, []
    for trajectory in plan.trajectories:
        if not begun or trajectory.id not in begun:
            left.append((trajectory, exact_flops(trajectory)))
            continue
        records = directory.trajectory(trajectory.id)
        diverged += records.diverged.exists()
        horizons[trajectory.id] = sum(records.horizon(horizon).exists() for horizon in trajectory.horizons)
        cost = left_in(directory, trajectory, plan.study.checkpoints.keep_forks)
        left += [(trajectory, cost)] if cost else []
    return Done(horizons, diverged, sum(cost for _, cost in left), _seconds(plan, left))


def _seconds(plan: Plan, left: Sequence[tuple[Trajectory, float]]) -> float:
    engine = plan.study.engine
    return packed_makespan(left, process_count(engine)) / engine.expected_flops_per_second
