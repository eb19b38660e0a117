"""The trajectories of a job that are its own to train: those that no other job holds."""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from scaling.planning.packing import left_in
from scaling.records import Job, Lease, Leases, RunDirectory, Trajectory, leases_of

LOOK_SECONDS = 0.5
"""Between two times that all holders are asked."""

Held = tuple[Trajectory, Lease | None]
"""A trajectory with its lease, which only the first process of a job has."""


class Interrupted(RuntimeError):
    """The job was asked to end; where it stands is checkpointed."""


class Elsewhere(RuntimeError):
    """Other jobs train what is left of this one."""


class Company(Protocol):
    """The processes of a job, where it is several."""

    def is_first(self) -> bool:
        """Whether this process takes leases and writes the records."""

    def agreed(self, value: bool) -> bool:
        """Whether any process says so: what follows must be the same on all."""


class Alone:
    """The company of a job of one process."""

    def is_first(self) -> bool:
        return True

    def agreed(self, value: bool) -> bool:
        return value


ALONE = Alone()


def in_turn(job: Job, interrupted: Callable[[], bool], company: Company = ALONE) -> Iterator[Iterator[Held]]:
    """Rounds of the job's trajectories, each taken just before it is trained; in later rounds those that others held.

    A holder that shows no life for as long as leases are patient is dead, and what it held is taken over.

    Raises:
      Interrupted: `interrupted` said so before a trajectory began.
      Elsewhere: the holders of all that is left are alive.
    """
    leases, left, asked = leases_of(job.settings), list(job.trajectories), time.monotonic()
    while left:
        yield _taken(job, leases, left, interrupted, company)
        before, left = left, [one for one in left if company.agreed(company.is_first() and _unfinished(job, one))]
        if len(left) < len(before):
            asked = time.monotonic()
        if left and company.agreed(company.is_first() and time.monotonic() - asked > leases.patience):
            raise Elsewhere(f"{', '.join(one.id for one in left)}: held by other jobs, which are alive")
        if left:
            time.sleep(min(LOOK_SECONDS, leases.patience))


def _taken(
    job: Job, leases: Leases, wanted: Sequence[Trajectory], interrupted: Callable[[], bool], company: Company
) -> Iterator[Held]:
    for trajectory in wanted:
        if company.agreed(interrupted()):
            raise Interrupted(f"asked to end before {trajectory.id}")
        place = RunDirectory(job.settings.run_dir).trajectory(trajectory.id).lease
        lease = leases.take(place) if company.is_first() else None
        if company.agreed(lease is not None):
            yield trajectory, lease


def _unfinished(job: Job, trajectory: Trajectory) -> bool:
    return left_in(RunDirectory(job.settings.run_dir), trajectory, job.settings.keep_forks) > 0
