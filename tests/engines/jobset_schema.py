"""JobSet's own part of a manifest as jobset.x-k8s.io/v1alpha2 defines it, unknown keys refused; and the Job in it by
Kubernetes' published schemas."""

import re
from typing import Annotated, Any, Literal

import kubernetes_validate
from pydantic import BaseModel, ConfigDict, Field

KUBERNETES = "1.31"
"""The version in which a Job's podFailurePolicy became stable."""
DnsName = Annotated[str, Field(pattern=r"^[a-z]([-a-z0-9]*[a-z0-9])?$", max_length=63, strict=True)]
REASONS = Literal[
    "BackoffLimitExceeded", "DeadlineExceeded", "FailedIndexes", "MaxFailedIndexesExceeded", "PodFailurePolicy"
]
ACTIONS = Literal[
    "FailJobSet", "RestartJobSet", "RestartJobSetAndIgnoreMaxRestarts", "RestartJob", "RestartJobAndIgnoreMaxRestarts"
]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Rule(Strict):
    name: Annotated[str, Field(pattern=r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$", min_length=1, max_length=128)]
    action: ACTIONS
    onJobFailureReasons: list[REASONS] = []
    onJobFailureMessagePatterns: list[str] = []
    targetReplicatedJobs: list[str] = []


class FailurePolicy(Strict):
    maxRestarts: Annotated[int, Field(ge=0, lt=2**31)] = 0
    restartStrategy: Literal["Recreate", "BlockingRecreate", "InPlaceRestart"] = "Recreate"
    rules: list[Rule] = []


class Network(Strict):
    enableDNSHostnames: bool = True
    subdomain: DnsName | None = None
    publishNotReadyAddresses: bool = True


class Template(Strict):
    metadata: dict[str, Any] = {}
    spec: dict[str, Any]


class ReplicatedJob(Strict):
    name: DnsName
    groupName: DnsName = "default"
    replicas: Annotated[int, Field(ge=1)] = 1
    template: Template


class Spec(Strict):
    replicatedJobs: Annotated[list[ReplicatedJob], Field(min_length=1)]
    network: Network = Network()
    failurePolicy: FailurePolicy | None = None
    suspend: bool | None = None


class Metadata(Strict):
    name: DnsName
    namespace: DnsName
    labels: dict[str, Annotated[str, Field(pattern=r"^([A-Za-z0-9]([-\w.]*[A-Za-z0-9])?)?$", max_length=63)]] = {}
    annotations: dict[str, str] = {}


class JobSet(Strict):
    apiVersion: Literal["jobset.x-k8s.io/v1alpha2"]
    kind: Literal["JobSet"]
    metadata: Metadata
    spec: Spec


def validated(manifest: dict[str, Any]) -> JobSet:
    """`manifest`, or an exception that says where it is wrong."""
    jobset = JobSet.model_validate(manifest)
    for job in jobset.spec.replicatedJobs:
        whole = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": job.name}, "spec": job.template.spec}
        kubernetes_validate.validate(whole, KUBERNETES, strict=True)
        spec = job.template.spec
        longest = f"{jobset.metadata.name}-{job.name}-{job.replicas - 1}-{spec.get('completions', 1) - 1}-abcde"
        if len(longest) > 63 or not re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", longest):
            raise ValueError(f"pod names generated for this JobSet will exceed 63 characters: {longest}")
        if "podFailurePolicy" in spec and spec["template"]["spec"].get("restartPolicy") != "Never":
            raise ValueError("podFailurePolicy needs restartPolicy Never")
    return jobset
