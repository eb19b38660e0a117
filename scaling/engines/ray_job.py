"""One job on a Ray cluster: an actor for each of its processes; on several hosts, in a placement group.

Ray's own trainers start no `jax.distributed` on CPUs, so that a gang is made of actors here: the first one names the
place where all meet. Actors end with the process that submitted them, and their jobs with them.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from scaling.config import Resources
from scaling.engines.base import EXIT_DONE, EXIT_FAILED, Ended, Order
from scaling.engines.causes import of_gang
from scaling.engines.ray_process import JobProcess

GANG_SECONDS = 60.0
"""After the first process of a job has failed, the others are given so long to see it."""
CREATION = "creation task"
"""Ray's words where an actor could not be made: no loss, but a node without this package."""


def asked(resources: Resources, node: Mapping[str, float]) -> dict[str, float]:
    """What each process of a job takes, by Ray's names: accelerators are TPU chips on `node`s that have those."""
    accelerators = "TPU" if "TPU" in node and "GPU" not in node else "GPU"
    found = {
        "CPU": float(resources.cores or 1),
        accelerators: float(resources.accelerators or 0),
        "memory": float(resources.memory_bytes or 0),
    }
    return {name: value for name, value in found.items() if value} | dict(resources.labels)


class RayJob:
    """One job, as an actor for each of its processes."""

    def __init__(self, order: Order, command: Sequence[str], each: Mapping[str, float]):
        self._order, self._hosts = order, order.resources.hosts
        pin = [] if order.resources.accelerators else ["--core-count", str(order.resources.cores or 1)]
        self.command = (*command, str(order.job_file), *pin)
        self._group, self._actors = _placed(self._hosts, each)
        self._meeting = self._actors[0].meeting.remote()
        self._at = ""
        self._runs: list[Any] = []
        self._ends: dict[int, Ended] = {}
        self._failed_at = float("inf")
        self._ended: Ended | None = None
        if self._hosts == 1:
            self._start()

    @property
    def where(self) -> str:
        return f"Ray {self._at.rpartition(':')[0]}" if self._at else "Ray, waiting"

    def poll(self) -> Ended | None:
        if self._ended is None:
            self._ended = self._look()
            if self._ended is not None:
                self._let_go()
        return self._ended

    def cancel(self, *, force: bool) -> None:
        if self._ended is not None:
            return
        if _ready(self._meeting):
            for rank, actor in enumerate(self._actors):
                if rank not in self._ends:
                    actor.cancel.remote(force)
        else:
            self._ended = Ended(None, "was cancelled before it began")
            self._let_go()

    def _look(self) -> Ended | None:
        import ray

        if not self._at:
            if not _ready(self._meeting):
                return None
            try:
                self._at = ray.get(self._meeting)
            except ray.exceptions.RayError as error:
                return _lost(error)
            if self._hosts > 1:
                self._start()
        for rank, run in enumerate(self._runs):
            if rank not in self._ends and _ready(run):
                self._ends[rank] = _end_of(run)
                if self._ends[rank].status != EXIT_DONE:
                    self._failed_at = min(self._failed_at, time.monotonic())
        if len(self._ends) == self._hosts:
            return of_gang([self._ends[rank] for rank in range(self._hosts)])
        if time.monotonic() - self._failed_at > GANG_SECONDS:
            self.cancel(force=True)
        return None

    def _start(self) -> None:
        together = [["--coordinator", self._at, "--processes", f"{self._hosts}", "--process", f"{rank}"]
                    for rank in range(self._hosts)]  # fmt: skip
        for actor, others in zip(self._actors, together, strict=True):
            words = [*self.command, *(others if self._hosts > 1 else []), "--exit-with-parent"]
            self._runs.append(actor.run.remote(words, str(self._order.log_file.absolute())))

    def _let_go(self) -> None:
        """Give back what was taken."""
        import ray

        for actor in self._actors:
            ray.kill(actor)
        if self._group is not None:
            ray.util.remove_placement_group(self._group)


def _placed(hosts: int, each: Mapping[str, float]) -> tuple[Any, list[Any]]:
    """(placement group or None, an actor for each process)."""
    import ray

    ray_names = {"CPU": "num_cpus", "GPU": "num_gpus", "memory": "memory"}
    options: dict[str, Any] = {ray_names[name]: value for name, value in each.items() if name in ray_names}
    options["resources"] = {name: value for name, value in each.items() if name not in ray_names}
    actor = ray.remote(JobProcess).options(max_concurrency=4, **options)
    if hosts == 1:
        return None, [actor.remote()]
    group = ray.util.placement_group([dict(each)] * hosts, strategy="STRICT_SPREAD")
    strategies = [
        ray.util.scheduling_strategies.PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=rank)
        for rank in range(hosts)
    ]
    actor_of = ray.remote(JobProcess)
    return group, [
        actor_of.options(max_concurrency=4, scheduling_strategy=one, **options).remote() for one in strategies
    ]


def _ready(reference: Any) -> bool:
    import ray

    return bool(ray.wait([reference], timeout=0)[0])


def _end_of(run: Any) -> Ended:
    import ray

    try:
        return Ended(ray.get(run))
    except ray.exceptions.RayError as error:
        return _lost(error)


def _lost(error: Exception) -> Ended:
    import ray

    said = " ".join(str(error).split())[:300]
    if isinstance(error, ray.exceptions.RayTaskError) or CREATION in said:
        return Ended(EXIT_FAILED, f"could not be started on its node: {said}")
    return Ended(None, f"was lost: {said}", outside=True)
