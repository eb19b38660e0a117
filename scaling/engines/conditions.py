"""What simulated slices are like, and what became of their time."""

import math
from dataclasses import dataclass, fields


@dataclass(frozen=True)
class Conditions:
    """What the slices are like."""

    slices: int
    flops_per_second: float
    """Of a job on a slice: exact FLOPs by the time that they take."""
    start_seconds: float = 0.0
    """Between a job's start, or restart, and its first step."""
    checkpoint_seconds: float = math.inf
    """Between two checkpoints; a job goes on from its last one, or from its last horizon."""
    preemption_seconds: float = math.inf
    """Mean time between two preemptions of a slice that works; it has no time for a last checkpoint."""
    node_loss_seconds: float = math.inf
    """Mean time between two losses of a node, anywhere."""
    slices_per_node: int = 1
    """Lost at once with their node."""
    gone_seconds: float = 0.0
    """How long a slice is away after either."""
    failure_probability: float = 0.0
    """That a job fails by the user's own cause, somewhere on its way."""
    seed: int = 0


@dataclass
class Spent:
    """Seconds of slices, by what became of them."""

    work: float = 0.0
    """Kept: horizons, and what leads to them."""
    repeated: float = 0.0
    """Done, and lost with a slice before it was in a checkpoint."""
    failed: float = 0.0
    """Of jobs that failed by themselves."""
    starting: float = 0.0
    gone: float = 0.0
    """Away after a preemption or a loss."""
    idle: float = 0.0
    """No job: none was left, or the next had not started."""

    @property
    def total(self) -> float:
        return sum(getattr(self, one.name) for one in fields(self))
