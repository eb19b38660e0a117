"""One job as a Kubernetes JobSet: the manifest is a pure function of the order and the study's engine.jobset.

JobSet (jobset.x-k8s.io/v1alpha2) makes one Job of one slice: a pod a host, each with a stable name in a headless
service of the JobSet's own. A pod that fails ends the Job, and then the JobSet restarts it whole, as the processes of a
gang cannot go on without one of them. Exit statuses of the user's own cause fail the Job by its podFailurePolicy, whose
reason is the one that the JobSet's failurePolicy does not restart.
"""

import hashlib
import re
from pathlib import Path
from typing import Any

import yaml

from scaling.config import JobSetConfig, Resources, SliceShape, StudyError
from scaling.engines.base import EXIT_BAD_INPUT, EXIT_DISK_FULL, EXIT_ELSEWHERE, EXIT_FAILED, Order

API_VERSION = "jobset.x-k8s.io/v1alpha2"
MANAGED_BY = {"app.kubernetes.io/managed-by": "scaling"}
"""Label of every JobSet here."""
JOBSET_LABEL = "jobset.sigs.k8s.io/jobset-name"
"""JobSet's own, on the pods."""
FINAL = (EXIT_FAILED, EXIT_BAD_INPUT, EXIT_DISK_FULL, EXIT_ELSEWHERE)
"""Exit statuses that a restart does not mend; only the sweep knows what to do about the last two."""
SLICE = "slice"
"""Name of the one Job of a JobSet."""
LONGEST = 63 - len(f"-{SLICE}-0-9999-abcde")
"""Of a name: pods append this much to it."""
COORDINATOR_PORT = 8476
PROCESS = "SCALING_PROCESS"
"""Variable that holds which process of the gang a pod is, without TPUs."""
VOLUME = "runs"


def name_of(order: Order) -> str:
    """The JobSet's name: the same for the same job file, and another for every other one."""
    path = str(order.job_file.absolute())
    digest = hashlib.sha256(path.encode()).hexdigest()[:10]
    room = LONGEST - len("scaling--") - len(digest)
    readable = re.sub(r"[^a-z0-9]+", "-", order.name.lower()).strip("-")[:room].strip("-") or "job"
    return f"scaling-{readable}-{digest}"


def shape_of(config: JobSetConfig, resources: Resources) -> SliceShape:
    """Hosts and chips of a job's slice. Accelerators of null and of 0 both mean: as many as its hosts have.

    Raises:
      StudyError: the study's resources are not those of the slice.
    """
    if resources.labels:
        raise StudyError(
            f"engine.resources.labels is {dict(resources.labels)}, which are Ray's own; use engine.jobset.node_selector"
        )
    asked = resources.accelerators or 0
    if asked != round(asked):
        raise StudyError(f"engine.resources.accelerators is {asked:g}; Kubernetes gives whole ones, so use at least 1")
    if config.accelerator is None:
        if asked:
            raise StudyError(
                f"engine.resources.accelerators is {asked:g}, and engine.jobset.accelerator is null; name the nodes' "
                "accelerator, as tpu-v5-lite-podslice"
            )
        return SliceShape(resources.hosts, 0)
    if not config.is_tpu:
        each = round(asked) or config.chips_per_host
        if not each:
            raise StudyError("engine.resources.accelerators is null; say how many GPUs of each host a job takes")
        if config.chips_per_host is not None and each > config.chips_per_host:
            raise StudyError(
                f"engine.resources.accelerators is {each}, and engine.jobset.chips_per_host is "
                f"{config.chips_per_host}; use at most that"
            )
        return SliceShape(resources.hosts, each)
    fits = [one for one in config.slices if one.hosts == resources.hosts and asked in (0, one.chips_per_host)]
    if not fits:
        there = " or ".join(f"{one.hosts} of {one.chips_per_host} chips" for one in config.slices)
        accelerators = f" and engine.resources.accelerators {asked:g}" if asked else ""
        raise StudyError(
            f"engine.resources.hosts is {resources.hosts}{accelerators}, and a slice {config.topology} of "
            f"{config.accelerator} has hosts: {there}; use those"
        )
    return fits[0]


def manifest(order: Order, config: JobSetConfig) -> dict[str, Any]:
    """The JobSet that runs `order`, as plain data.

    Raises:
      StudyError: something of the configuration is missing, or does not fit the order.
    """
    shape = shape_of(config, order.resources)
    several_tpu_hosts = config.is_tpu and shape.hosts > 1
    metadata: dict[str, Any] = {"name": name_of(order), "namespace": config.namespace, "labels": dict(MANAGED_BY)}
    if config.queue is not None:
        metadata["labels"]["kueue.x-k8s.io/queue-name"] = config.queue
    if several_tpu_hosts and config.exclusive_topology is not None:
        metadata["annotations"] = {"alpha.jobset.sigs.k8s.io/exclusive-topology": config.exclusive_topology}
    job: dict[str, Any] = {
        "completionMode": "Indexed",
        "completions": shape.hosts,
        "parallelism": shape.hosts,
        "backoffLimit": 0,
        "podFailurePolicy": {
            "rules": [
                {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
                {"action": "FailJob", "onExitCodes": {"operator": "In", "values": sorted(FINAL)}},
            ]
        },
        "template": {"metadata": {"labels": dict(MANAGED_BY)}, "spec": _pod(order, config, shape)},
    }
    if order.resources.seconds is not None:
        job["activeDeadlineSeconds"] = max(1, round(order.resources.seconds))
    return {
        "apiVersion": API_VERSION,
        "kind": "JobSet",
        "metadata": metadata,
        "spec": {
            "failurePolicy": {
                "maxRestarts": config.max_restarts,
                "rules": [
                    {"name": "own_cause", "action": "FailJobSet", "onJobFailureReasons": ["PodFailurePolicy"]},
                ],
            },
            "network": {"enableDNSHostnames": True, "publishNotReadyAddresses": True},
            "replicatedJobs": [{"name": SLICE, "replicas": 1, "template": {"spec": job}}],
        },
    }


def render(*manifests: dict[str, Any]) -> str:
    """`manifests` as YAML, one document each."""
    return yaml.safe_dump_all(manifests, sort_keys=False, default_flow_style=False, width=120)


def _pod(order: Order, config: JobSetConfig, shape: SliceShape) -> dict[str, Any]:
    pod: dict[str, Any] = {
        "restartPolicy": "Never",  # podFailurePolicy asks for it
        "terminationGracePeriodSeconds": config.grace_seconds,
        "nodeSelector": _selector(config),
        "tolerations": _tolerations(config),
        "serviceAccountName": config.service_account,
        "priorityClassName": config.priority_class,
        "containers": [_container(order, config, shape)],
        "volumes": [{"name": VOLUME, "persistentVolumeClaim": {"claimName": config.claim}}],
    }
    return {key: value for key, value in pod.items() if value is not None and value != {} and value != []}


def _selector(config: JobSetConfig) -> dict[str, str]:
    wanted = dict(config.node_selector)
    if config.is_tpu and config.accelerator and config.topology:
        wanted["cloud.google.com/gke-tpu-accelerator"] = config.accelerator
        wanted["cloud.google.com/gke-tpu-topology"] = config.topology
    elif config.accelerator:
        wanted["cloud.google.com/gke-accelerator"] = config.accelerator
    if config.spot:
        wanted["cloud.google.com/gke-spot"] = "true"
    return wanted


def _tolerations(config: JobSetConfig) -> list[dict[str, str]]:
    """Taints of spot nodes; those of TPU and GPU nodes GKE tolerates itself where the resource is asked for."""
    spot = {"key": "cloud.google.com/gke-spot", "operator": "Equal", "value": "true", "effect": "NoSchedule"}
    return [spot] if config.spot else []


def _container(order: Order, config: JobSetConfig, shape: SliceShape) -> dict[str, Any]:
    if config.image is None:
        raise StudyError("engine.jobset.image is null; name a container image with scaling in it")
    if config.claim is None or config.mount_path is None:
        missing = "claim" if config.claim is None else "mount_path"
        raise StudyError(
            f"engine.jobset.{missing} is null; name the volume claim that holds the run directory, and where it is "
            "mounted"
        )
    several = shape.hosts > 1
    container: dict[str, Any] = {
        "name": "job",
        "image": config.image,
        "command": [_literal(word) for word in (*config.prefix, "python", "-m", "scaling")],
        "args": _arguments(order, config, shape),
        "workingDir": config.working_dir,
        "env": [_process()] if several and not config.is_tpu else [],
        "envFrom": [{"secretRef": {"name": name}} for name in config.secrets],
        "ports": _ports(config) if several else [],
        "resources": _amounts(order.resources, config, shape),
        "volumeMounts": [{"name": VOLUME, "mountPath": config.mount_path}],
    }
    return {key: value for key, value in container.items() if value is not None and value != {} and value != []}


def _arguments(order: Order, config: JobSetConfig, shape: SliceShape) -> list[str]:
    following = () if order.next_file is None else ("--next", _mounted(order.next_file.absolute(), config))
    words = ["job", _mounted(order.job_file.absolute(), config), *following]
    if shape.hosts > 1 and config.is_tpu:
        return [*words, "--distributed"]  # GKE tells TPU pods where they meet, and JAX reads it
    if shape.hosts > 1:
        name = name_of(order)
        meeting = f"{name}-{SLICE}-0-0.{name}:{COORDINATOR_PORT}"
        return [*words, "--coordinator", meeting, "--processes", str(shape.hosts), "--process", f"$({PROCESS})"]
    return words


def _mounted(path: Path, config: JobSetConfig) -> str:
    if not path.is_relative_to(config.mount_path or "/"):
        raise StudyError(
            f"engine.jobset.mount_path is {config.mount_path}, and {path} of the run directory is not below it; "
            "mount the claim at one and the same path here and in the jobs, and give an --out below it"
        )
    return _literal(str(path))


def _literal(word: str) -> str:
    """`word` as Kubernetes hands it on unchanged: it expands $(NAME) of the variables that it knows."""
    return word.replace("$(", "$$(")


def _process() -> dict[str, Any]:
    index = "metadata.annotations['batch.kubernetes.io/job-completion-index']"
    return {"name": PROCESS, "valueFrom": {"fieldRef": {"fieldPath": index}}}


def _ports(config: JobSetConfig) -> list[dict[str, int]]:
    """Where the processes of a gang meet: of TPUs, libtpu's and JAX's own."""
    return [{"containerPort": port} for port in ((8471, 8482) if config.is_tpu else (COORDINATOR_PORT,))]


def _amounts(resources: Resources, config: JobSetConfig, shape: SliceShape) -> dict[str, Any]:
    """Cores and memory are asked for and not limited: what was measured here is no reason to kill a job there."""
    asked: dict[str, str] = {}
    if resources.cores is not None:
        asked["cpu"] = str(resources.cores)
    if resources.memory_bytes is not None:
        asked["memory"] = str(round(resources.memory_bytes))
    chips: dict[str, str] = {}
    if shape.chips_per_host:
        chips["google.com/tpu" if config.is_tpu else "nvidia.com/gpu"] = str(shape.chips_per_host)
    amounts = {"requests": asked | chips, "limits": chips}
    return {name: amount for name, amount in amounts.items() if amount}
