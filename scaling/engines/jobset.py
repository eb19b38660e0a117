"""Jobs as JobSets of a Kubernetes cluster, such as GKE with TPU slices, by the user's own kubectl."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from scaling.config import EngineConfig, JobSetConfig, Resources, StudyError
from scaling.engines.base import EXIT_DONE, EXIT_FAILED, Ended, Order
from scaling.engines.causes import of_gang, of_shell
from scaling.engines.kubectl import Kubectl, KubectlError, kubectl_of
from scaling.engines.manifest import JOBSET_LABEL, MANAGED_BY, manifest, name_of, render, shape_of
from scaling.planning import process_count

PATIENCE_SECONDS = 600.0
"""So long may the cluster not answer; its jobs go on meanwhile."""
DELETION_SECONDS = 120
"""For a JobSet that ended to be gone, beside its pods' grace."""
OWN_CAUSE = "FailJobSetFailurePolicyAction"
"""Reason of a JobSet that its failure policy failed at once."""


def jobset_engine(config: EngineConfig) -> "JobSetEngine":
    """The engine as the study asks for it."""
    return JobSetEngine(config.jobset, process_count(config), kubectl_of(config.jobset))


class JobSetEngine:
    """One JobSet a job, found again by its name, whatever became of the process that made it."""

    outlives = True

    def __init__(self, config: JobSetConfig, processes: int, kubectl: Kubectl):
        self.config, self.processes, self.kubectl = config, processes, kubectl
        self._seen: Mapping[str, Mapping[str, Any]] | str = {}
        """Every JobSet of the laboratory by name, or why there was no answer."""
        self._next_look, self._answered = float("-inf"), time.monotonic()

    @property
    def grace_seconds(self) -> float:
        """Its pods end by themselves before."""
        return self.config.grace_seconds + DELETION_SECONDS

    def refuse(self, resources: Resources) -> None:
        """StudyError where no slice of the study has `resources`, or the cluster cannot be asked."""
        for name in ("image", "claim", "mount_path"):
            if getattr(self.config, name) is None:
                raise StudyError(f"engine.jobset.{name} is null; engine.kind jobset needs it")
        shape_of(self.config, resources)
        if not self.kubectl.found:
            raise StudyError("engine.kind is jobset, and kubectl is not on the PATH; install it, or use another kind")

    def room(self, resources: Resources, beside: Sequence[Resources]) -> bool:
        """The cluster's scheduler, or Kueue, lets jobs wait."""
        return True

    def submit(self, orders: Sequence[Order]) -> list["JobSetSubmission"]:
        """Make each order's JobSet, unless it is there and runs; one that ended is deleted first."""
        manifests = [manifest(order, self.config) for order in orders]
        try:
            for one in manifests:
                self._submit(one)
        except KubectlError as error:
            raise _unreachable(error) from None
        self.forget()
        return [JobSetSubmission(self, order) for order in orders]

    def dry_run(self, orders: Sequence[Order]) -> str:
        """The manifests."""
        return render(*(manifest(order, self.config) for order in orders))

    def queued(self, jobs: Path) -> list[Path]:
        """Job files of the folder `jobs` whose JobSets wait or run."""
        try:
            living = {name for name, one in self.kubectl.jobsets(MANAGED_BY).items() if _lives(one)}
        except KubectlError as error:
            raise _unreachable(error) from None
        return [path for path in sorted(jobs.glob("*.json")) if name_of(Order(path.stem, path, path)) in living]

    def adopt(self, order: Order) -> "JobSetSubmission | None":
        """The order's JobSet, where it waits or runs."""
        try:
            found = self.kubectl.jobset(name_of(order))
        except KubectlError as error:
            raise _unreachable(error) from None
        return JobSetSubmission(self, order) if found is not None and _lives(found) else None

    def state(self, name: str) -> Mapping[str, Any] | None:
        """The JobSet as it was seen last; None where there is none.

        Raises:
          KubectlError: the cluster does not answer.
          StudyError: it has not done so for long.
        """
        if time.monotonic() >= self._next_look:
            self._next_look = time.monotonic() + self.config.poll_seconds
            try:
                self._seen, self._answered = self.kubectl.jobsets(MANAGED_BY), time.monotonic()
            except KubectlError as error:
                self._seen = str(error)
        if isinstance(self._seen, str):
            self._bear(self._seen)
        return self._seen.get(name)

    def forget(self) -> None:
        """Look anew next time."""
        self._next_look = float("-inf")

    def _submit(self, one: dict[str, Any]) -> None:
        name = one["metadata"]["name"]
        there = self.kubectl.jobset(name)
        if there is not None and _lives(there):
            return
        if there is not None:
            self.kubectl.delete(name, wait_seconds=self.config.grace_seconds + DELETION_SECONDS)
        self.kubectl.apply(render(one))

    def _bear(self, error: str) -> NoReturn:
        silent = time.monotonic() - self._answered
        if silent < PATIENCE_SECONDS:
            raise KubectlError(error)
        raise StudyError(
            f"engine.kind jobset: the cluster has not answered for {silent:.0f} s ({error}); its jobs go on: run again "
            "when it does"
        )


class JobSetSubmission:
    """One JobSet."""

    def __init__(self, engine: JobSetEngine, order: Order):
        self.name = name_of(order)
        self._engine, self._order = engine, order
        self._ended: Ended | None = None
        self._where = "waits"

    @property
    def where(self) -> str:
        return f"{self.name} ({self._where})"

    @property
    def command(self) -> list[str]:
        return [*self._engine.config.prefix, "python", "-m", "scaling", "job", str(self._order.job_file)]

    def poll(self) -> Ended | None:
        if self._ended is None:
            self._ended = self._look()
        return self._ended

    def cancel(self, *, force: bool) -> None:
        if self._ended is not None:
            return
        try:
            self._engine.kubectl.delete(self.name)
            if force:
                self._engine.kubectl.end_pods({JOBSET_LABEL: self.name})
        except KubectlError as error:
            self._note(str(error))
        self._engine.forget()

    def _look(self) -> Ended | None:
        try:
            seen = self._engine.state(self.name)
            if seen is None:
                return Ended(None, f"was lost: JobSet {self.name} is gone", outside=True)
            self._where = _stage(seen)
            if not _finished(seen):
                return None
            pods = self._engine.kubectl.pods({JOBSET_LABEL: self.name})
        except KubectlError:
            return None  # a cluster that does not answer has not ended the job
        self._collect(several=len(pods) > 1)
        return ended(seen, pods)

    def _collect(self, *, several: bool) -> None:
        """What the pods said becomes the job's log; what attempts said whose pods are gone, the cluster alone knows."""
        try:
            self._note(self._engine.kubectl.logs({JOBSET_LABEL: self.name}, prefix=several))
        except KubectlError as error:
            self._note(str(error))

    def _note(self, text: str) -> None:
        with self._order.log_file.open("a") as file:
            file.write(text if text.endswith("\n") or not text else f"{text}\n")


def _unreachable(error: KubectlError) -> StudyError:
    return StudyError(f"engine.kind jobset: {error}; see that kubectl reaches the cluster, then run again")


def ended(jobset: Mapping[str, Any], pods: Sequence[Mapping[str, Any]]) -> Ended:
    """How a finished JobSet ended: by its pods' exit statuses, or where none are left, by its condition."""
    if "Completed" in _conditions(jobset):
        return Ended(EXIT_DONE)
    ends = [one for pod in pods if (one := _end_of(pod)) is not None]
    if any(one.outside or one.status != EXIT_DONE for one in ends):
        return of_gang(ends)
    failed = _conditions(jobset).get("Failed", {})
    if failed.get("reason") == OWN_CAUSE:
        return Ended(EXIT_FAILED)
    said = f"{failed.get('reason', 'Failed')}: {failed.get('message', 'no reason was given')}"
    return Ended(None, f"was lost: {said}", outside=True)


def _end_of(pod: Mapping[str, Any]) -> Ended | None:
    """How a pod ended; None where it has not, or was only told to by the end of others."""
    status = pod.get("status", {})
    disrupted = _conditions(pod).get("DisruptionTarget")
    if disrupted is not None:
        reason = disrupted.get("reason") or "no reason was given"
        return Ended(None, f"was lost: pod {pod['metadata']['name']} was taken from its node ({reason})", outside=True)
    for container in status.get("containerStatuses", []):
        terminated = container.get("state", {}).get("terminated")
        if terminated is not None:
            return of_shell(int(terminated["exitCode"]))
    if status.get("phase") == "Failed":
        said = status.get("reason", "failed")
        return Ended(None, f"was lost: pod {pod['metadata']['name']}: {said}", outside=True)
    return None


def _conditions(thing: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Conditions that hold, by type."""
    every = thing.get("status", {}).get("conditions", [])
    return {one["type"]: one for one in every if one.get("status") == "True"}


def _finished(jobset: Mapping[str, Any]) -> bool:
    return not {"Completed", "Failed"}.isdisjoint(_conditions(jobset))


def _lives(jobset: Mapping[str, Any]) -> bool:
    """Whether it waits or runs, and nobody has asked for its end."""
    return not _finished(jobset) and "deletionTimestamp" not in jobset["metadata"]


def _stage(jobset: Mapping[str, Any]) -> str:
    if jobset.get("spec", {}).get("suspend"):
        return "waits in the queue"
    jobs = jobset.get("status", {}).get("replicatedJobsStatus", [])
    restarts = jobset.get("status", {}).get("restarts", 0)
    stage = "runs" if any(job.get("ready") for job in jobs) else "waits for nodes"
    return f"{stage}, restarted {restarts} times" if restarts else stage
