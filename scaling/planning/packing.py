"""From trajectories to jobs: what is left, packed by shape, split only where that ends the sweep sooner."""

import heapq
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from operator import itemgetter
from typing import Any, NamedTuple

from scaling.planning.disk import KeepForks
from scaling.planning.measuring import measuring_cost
from scaling.records import Horizon, Job, JobSettings, RunDirectory, Trajectory, content_hash

WORTH_A_PROCESS = 0.97
"""A shape is split over more processes when the sweep then takes less than this share of the time: a start costs
seconds of imports and compilation."""
STAGES_EACH = 64
"""Up to so many groups every stage of splitting is looked at; of more, one whenever they have grown by that part."""


def jobs(
    trajectories: Iterable[Trajectory], settings: JobSettings, *, directory: RunDirectory, processes: int
) -> list[Job]:
    """Jobs for all that is left of `trajectories`, longest first.

    A trajectory with every horizon committed, or one that diverged, is dropped; any other keeps all its horizons, so
    that the loop sees what is left. Trajectories of one shape share a job, and so one compiled program, unless
    splitting them ends the sweep on `processes` processes clearly sooner.
    """
    priced = [(trajectory, left_in(directory, trajectory, settings.keep_forks)) for trajectory in trajectories]
    left = [(trajectory, cost) for trajectory, cost in priced if cost > 0]
    return longest_first([_job(group, settings) for group in pack(left, processes)], directory)


def evaluation_jobs(
    trajectories: Sequence[Trajectory], settings: JobSettings, *, directory: RunDirectory, processes: int
) -> list[Job]:
    """Jobs that measure all that is left of `trajectories` on settings.sets, from their kept models: one a process, of
    several shapes, since a start takes longer than many a measurement."""
    costs = {one.id: measuring_cost(directory.trajectory(one.id), one, settings.sets) for one in trajectories}
    left = [(one, costs[one.id]) for one in trajectories if costs[one.id] > 0]
    bins: list[list[Trajectory]] = [[] for _ in range(processes)]
    groups = sorted(pack(left, processes), key=lambda group: -sum(costs[one.id] for one in group))
    for group in groups:
        min(bins, key=lambda own: sum(costs[one.id] for one in own)).extend(group)
    made = []
    for own in filter(None, bins):
        key = content_hash([sorted(one.id for one in own), sorted(settings.sets)])[:8]
        made.append(Job(name=f"evaluate-{key}", task="evaluate", settings=settings, trajectories=tuple(own)))
    return made


def left_flops(trajectory: Trajectory, committed: Collection[Horizon], keep_forks: KeepForks) -> float:
    """Exact training FLOPs that `trajectory` still takes: the trunk from the newest usable kept fork to the last fork
    that is left, and each decay that is left. 0 when every horizon is committed."""
    left = [horizon for horizon in trajectory.horizons if horizon not in committed]
    if not left:
        return 0.0
    kept = sorted(horizon.fork_step for horizon in committed)
    if keep_forks == "last":
        kept = kept[-1:]
    first = min(horizon.fork_step for horizon in left)
    start = max((fork for fork in kept if fork <= first), default=0)
    trunk = trajectory.tokens_at(max(horizon.fork_step for horizon in left)) - trajectory.tokens_at(start)
    return float(trunk + sum(map(trajectory.decay_tokens, left))) * trajectory.flops_per_token_exact


def pack(left: Sequence[tuple[Trajectory, float]], processes: int) -> list[list[Trajectory]]:
    """Groups of one shape for `processes` processes, from (trajectory, cost) pairs.

    The largest group is halved again and again; of all the stages, the first counts whose makespan is near the best.
    Where there are many groups, not every stage is looked at.
    """
    chosen = _packed([_Item(-cost, trajectory.id, trajectory) for trajectory, cost in left], processes)
    return [[item.trajectory for item in group.items] for group in chosen]


def packed_makespan(left: Sequence[tuple[Trajectory, float]], processes: int) -> float:
    """When the last process ends if trajectories are packed as `pack` does; in the costs' unit."""
    # Which of two equal costs comes first changes no sum, and identities take long.
    items = [_Item(-cost, str(place), trajectory) for place, (trajectory, cost) in enumerate(left)]
    return _span(_packed(items, processes), processes)


def makespan(costs: Iterable[float], processes: int) -> float:
    """When the last of `processes` processes ends if each takes the longest job that is left; in the costs' unit."""
    ends = [0.0] * max(1, processes)
    for cost in sorted(costs, reverse=True):
        heapq.heapreplace(ends, ends[0] + cost)
    return max(ends)


def longest_first(jobs: Iterable[Job], directory: RunDirectory) -> list[Job]:
    """Jobs by what is left of them, falling."""

    return sorted(jobs, key=lambda job: (-left_of(job, directory), job.name))


def left_of(job: Job, directory: RunDirectory) -> float:
    """What `job` still takes, by the records of `directory`: 0 when it is done."""
    settings = job.settings
    if job.task == "evaluate":
        return sum(measuring_cost(directory.trajectory(one.id), one, settings.sets) for one in job.trajectories)
    return sum(left_in(directory, trajectory, settings.keep_forks) for trajectory in job.trajectories)


def reached(job: Job, directory: RunDirectory) -> tuple[float, tuple[str, ...]]:
    """How far `job` is, to be compared with how far it was: what is left of it, and its newest checkpoints."""
    newest = tuple(directory.trajectory(one.id).newest_checkpoint() for one in job.trajectories)
    return left_of(job, directory), newest


def left_in(directory: RunDirectory, trajectory: Trajectory, keep_forks: KeepForks) -> float:
    """Exact training FLOPs that `trajectory` still takes, by the records of `directory`; 0 when done or given up."""
    records = directory.trajectory(trajectory.id)
    if records.given_up:
        return 0.0
    committed = [horizon for horizon in trajectory.horizons if records.horizon(horizon).exists()]
    return left_flops(trajectory, committed, keep_forks)


class _Item(NamedTuple):
    """Sorts by falling cost, then by name."""

    negative_cost: float
    name: str
    trajectory: Trajectory


@dataclass(frozen=True, eq=False)
class _Group:
    """Of one shape."""

    items: list[_Item]
    cost: float


def _packed(left: Sequence[_Item], processes: int) -> list[_Group]:
    shapes: dict[Any, list[_Item]] = {}
    for item in left:
        shapes.setdefault(item.trajectory.shape, []).append(item)
    groups = [_Group(items, sum(-item.negative_cost for item in items)) for items in shapes.values()]
    costs = [-item.negative_cost for item in left]
    lower_bound = max(sum(costs) / processes, max(costs, default=0.0))
    stages = [(0, _span(groups, processes))]
    for number, found in enumerate(_stages(groups), 1):
        if WORTH_A_PROCESS * stages[-1][1] <= lower_bound:
            break
        if number > stages[-1][0] + len(found) // STAGES_EACH or len(found) == len(left):
            stages.append((number, makespan(found, processes)))
    good_enough = min(span for _, span in stages) / WORTH_A_PROCESS
    return _split(groups, next(number for number, span in stages if span <= good_enough))


def _stages(groups: Sequence[_Group]) -> Iterator[Collection[float]]:
    """The groups' costs after each split, until nothing can be split."""
    costs = {at: group.cost for at, group in enumerate(groups)}
    for at, halves in _splits(groups):
        del costs[at]
        costs |= {number: half.cost for number, half in halves.items()}
        yield costs.values()


def _split(groups: Sequence[_Group], count: int) -> list[_Group]:
    """The groups after `count` splits."""
    found = dict(enumerate(groups))
    for at, halves in islice(_splits(groups), count):
        del found[at]
        found |= halves
    return list(found.values())


def _splits(groups: Sequence[_Group]) -> Iterator[tuple[int, dict[int, _Group]]]:
    """(number of the largest group that can be split, its halves by the numbers that they get), again and again."""
    largest = [(-group.cost, number, group) for number, group in enumerate(groups) if len(group.items) > 1]
    heapq.heapify(largest)
    following = len(groups)
    while largest:
        _, number, group = heapq.heappop(largest)
        halves = dict(enumerate(_halves(group), following))
        following += len(halves)
        for new, half in halves.items():
            if len(half.items) > 1:
                heapq.heappush(largest, (-half.cost, new, half))
        yield number, halves


def _halves(group: _Group) -> list[_Group]:
    """Each item to the half that has less so far, the costly first."""
    halves: list[list[_Item]] = [[], []]
    costs = [0.0, 0.0]
    for item in sorted(group.items, key=itemgetter(0, 1)):
        first = (costs[0], len(halves[0])) <= (costs[1], len(halves[1]))
        half = 0 if first else 1
        halves[half].append(item)
        costs[half] -= item.negative_cost
    return [_Group(items, cost) for items, cost in zip(halves, costs, strict=True)]


def _span(groups: Iterable[_Group], processes: int) -> float:
    return makespan([group.cost for group in groups], processes)


def _job(group: Sequence[Trajectory], settings: JobSettings) -> Job:
    model, ordered = group[0].model, sorted(group, key=lambda trajectory: trajectory.recipe.seed)
    name = f"w{model.width}-l{model.layers}-{content_hash(sorted(trajectory.id for trajectory in group))[:8]}"
    return Job(name=name, settings=settings, trajectories=tuple(ordered))
