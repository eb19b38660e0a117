"""What a simulated job does: so many seconds of work, horizons committed on the way, perhaps an end of its own making.

Its records are real files, and each says that it is simulated: no model was trained, and its loss is that of the law
of Hoffmann et al. 2022 (Approach 3, equation 10). They lie in folders that simulated.json marks, and that hold nothing
else.
"""

import math
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path

from scaling.config import StudyError
from scaling.planning import left_flops
from scaling.records import (
    Horizon,
    Job,
    Leases,
    Observation,
    RunDirectory,
    Trajectory,
    commit_once,
    leases_of,
    observation_of,
    pretty_json,
)

PROVENANCE = {"simulated": "nothing was trained"}
"""Of every record."""


@dataclass(frozen=True)
class Milestone:
    """A horizon's commit."""

    seconds: float
    """Of work before it, since the job's first."""
    trajectory: Trajectory
    horizon: Horizon


@dataclass(frozen=True)
class Course:
    """A job from its first to its last second of work."""

    milestones: tuple[Milestone, ...]
    fails_at: float = math.inf
    """Seconds of work after which it fails by itself, at every attempt."""

    @property
    def seconds(self) -> float:
        """Of work, until it is done or fails."""
        return min(self.milestones[-1].seconds, self.fails_at)

    @property
    def fails(self) -> bool:
        return self.fails_at < self.milestones[-1].seconds

    def before(self, done: int) -> float:
        """Seconds of work up to its `done`-th milestone."""
        return self.milestones[done - 1].seconds if done else 0.0


def course_of(job: Job, flops_per_second: float, fails_at: float = math.inf) -> Course:
    """`job` from its exact FLOPs; `fails_at` is a share of its work."""
    milestones: list[Milestone] = []
    before = 0.0
    for trajectory in job.trajectories:
        ordered = sorted(trajectory.horizons, key=lambda horizon: horizon.fork_step)
        for count, horizon in enumerate(ordered, 1):
            so_far = trajectory.model_copy(update={"horizons": tuple(ordered[:count])})
            seconds = left_flops(so_far, committed=(), keep_forks="last") / flops_per_second
            milestones.append(Milestone(before + seconds, trajectory, horizon))
        before = milestones[-1].seconds
    return Course(tuple(milestones), fails_at * before)


@dataclass
class SimulatedRecords:
    """What simulated jobs leave in a run directory that is theirs alone."""

    directory: RunDirectory
    _leases: dict[str, Leases] = field(default_factory=dict)

    def claim(self) -> None:
        """Mark the folder.

        Raises:
          StudyError: something real was trained in it.
        """
        if self.directory.trajectories.exists() and not self.directory.simulated.exists():
            raise StudyError(f"{self.directory.root} holds real runs; simulate in a folder of its own")
        commit_once(self.directory.simulated, pretty_json(PROVENANCE))

    def commit(self, job: Job, milestone: Milestone, at: float) -> None:
        """The horizon's file, once, under the trajectory's lease, as a job commits it; `at` on the simulation's clock.

        Nothing here is to outlive a power cut, so that nothing waits for the disk.
        """
        trajectory, horizon = milestone.trajectory, milestone.horizon
        records = self.directory.trajectory(trajectory.id)
        self.begin(trajectory)
        kind = job.settings.model_dump_json(include={"leases", "lease_seconds"})
        lease = self._leases.setdefault(kind, leases_of(job.settings)).take(records.lease)
        assert lease is not None, f"{trajectory.id} is held by another job"
        try:
            lease.check()
            content = {
                "observation": _observation(trajectory, horizon).model_dump(mode="json"),
                "horizon": horizon.model_dump(mode="json"),
                "identity": trajectory.identity,
                "finished": f"second {at:.3f} of a simulation",
                "device": "simulated",
                "provenance": PROVENANCE,
            }
            new = commit_once(records.horizon(horizon), pretty_json(content), durable=False)
            assert new, f"{horizon.name} of {trajectory.id} was committed before"
        finally:
            lease.release()

    def committed(self, course: Course) -> int:
        """Milestones that an earlier simulation has passed."""
        there = (self.directory.trajectory(one.trajectory.id).horizon(one.horizon) for one in course.milestones)
        return sum(1 for _ in takewhile(Path.exists, there))

    def begin(self, trajectory: Trajectory) -> None:
        """The trajectory's own record."""
        path = self.directory.trajectory(trajectory.id).record
        if not path.exists():
            record = trajectory.model_dump(mode="json", exclude={"horizons"})
            commit_once(path, pretty_json(record | {"id": trajectory.id, "provenance": PROVENANCE}), durable=False)

    def checkpoint(self, course: Course, done: int, seconds: float) -> None:
        """A newest checkpoint at `seconds` of work, by which a sweep sees that a job got further."""
        trajectory = course.milestones[done].trajectory
        mine = [one.seconds for one in course.milestones if one.trajectory is trajectory]
        begun = max((one.seconds for one in course.milestones[:done] if one.trajectory is not trajectory), default=0.0)
        step = math.floor(trajectory.training_steps * (seconds - begun) / (mine[-1] - begun))
        self.begin(trajectory)
        folder = self.directory.trajectory(trajectory.id).checkpoints / "trunk"
        for older in folder.glob("*"):
            older.rmdir()
        (folder / str(step)).mkdir(parents=True)


def _observation(trajectory: Trajectory, horizon: Horizon) -> Observation:
    loss = 1.69 + 406.4 / trajectory.params**0.34 + 410.7 / horizon.tokens**0.28
    return observation_of(
        trajectory, horizon, loss=loss, loss_se=0.0, bits_per_byte=None, train_loss=loss, metrics={}, domains={}
    )
