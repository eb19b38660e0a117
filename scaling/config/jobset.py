"""Kubernetes: what each job's JobSet asks of a cluster."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import Field, field_validator, model_validator

from scaling.config.part import Part
from scaling.config.slices import SliceShape, shapes

LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
"""RFC 1123's, which Kubernetes takes names by."""
DnsLabel = Annotated[str, Field(pattern=rf"^{LABEL}$", max_length=63)]
DNS_NAME = rf"{LABEL}(\.{LABEL})*"
DnsName = Annotated[str, Field(pattern=rf"^{DNS_NAME}$", max_length=253)]
LabelValue = Annotated[str, Field(pattern=r"^[A-Za-z0-9]([-\w.]*[A-Za-z0-9])?$", max_length=63)]
LabelKey = Annotated[str, Field(pattern=r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-\w.]*[A-Za-z0-9])?$")]
Word = Annotated[str, Field(pattern=r"^[^\x00-\x1f]+$")]
Folder = Annotated[str, Field(pattern=r"^/[^\x00-\x1f:]+$")]


class JobSetConfig(Part):
    """A Kubernetes cluster with the JobSet controller, reached by the user's own kubectl. Secrets are named here, and
    their values never are."""

    image: Annotated[str, Field(pattern=r"^[\w.:/@-]+$")] | None = None
    """Container image with scaling in it, as us-docker.pkg.dev/lab/images/scaling:1; must be given."""
    context: Word | None = None
    """Context of kubectl's configuration; null: the current one."""
    namespace: DnsLabel = "default"
    """Namespace of the JobSets, and of the claim, secrets and queue that they name."""
    accelerator: LabelValue | None = None
    """Label of the nodes: tpu-v5-lite-podslice (cloud.google.com/gke-tpu-accelerator) or nvidia-h100-80gb
    (cloud.google.com/gke-accelerator). null: CPUs."""
    topology: str | None = None
    """Chips of a TPU slice, as 2x4 (cloud.google.com/gke-tpu-topology). A job takes one slice."""
    chips_per_host: Annotated[int, Field(ge=1)] | None = None
    """Chips or GPUs of each host. null: as the topology says; where it has two ways, as engine.resources.hosts says."""
    node_selector: Mapping[LabelKey, LabelValue] = {}
    """Other labels that nodes must have, as {cloud.google.com/gke-nodepool: cpu}."""
    claim: DnsName | None = None
    """Persistent volume claim, ReadWriteMany, that holds the run directory; must be given."""
    mount_path: Folder | None = None
    """Where the claim is mounted in each job, which is where the sweep sees it too: job files hold absolute paths."""
    queue: DnsName | None = None
    """Kueue's local queue (kueue.x-k8s.io/queue-name), which holds jobs back until there is quota. null: no Kueue."""
    exclusive_topology: LabelKey | None = "cloud.google.com/gke-nodepool"
    """Of TPU slices with several hosts: each job has one such group of nodes to itself. null: where Kueue's own
    topology-aware scheduling sees to it."""
    max_restarts: Annotated[int, Field(ge=0)] = 3
    """How often the cluster itself starts a lost job again, whether or not the sweep is alive. Evictions and
    preemptions of a pod do not count; exit statuses of the user's own cause are never tried again."""
    spot: bool = False
    """Spot nodes, whose taint is tolerated (cloud.google.com/gke-spot)."""
    grace_seconds: Annotated[int, Field(ge=1)] = 120
    """Between SIGTERM and SIGKILL, for a last checkpoint. Spot nodes give 15 whatever this says, unless their node pool
    is configured for more."""
    prefix: tuple[Word, ...] = ()
    """Words before `python -m scaling`, as [uv, run]."""
    working_dir: Folder | None = None
    """Folder that the command starts in. null: the image's own."""
    service_account: DnsName | None = None
    """Kubernetes service account of the pods. null: the namespace's default."""
    priority_class: DnsName | None = None
    """Priority class of the pods."""
    secrets: tuple[DnsName, ...] = ()
    """Names of secrets whose keys become environment variables, such as WANDB_API_KEY."""
    poll_seconds: Annotated[float, Field(gt=0)] = 10.0
    """Between two looks at the cluster."""

    @property
    def is_tpu(self) -> bool:
        """Whether `accelerator` is a TPU's."""
        return self.accelerator is not None and self.accelerator.startswith("tpu")

    @property
    def slices(self) -> tuple[SliceShape, ...]:
        """How the TPU slice is cut into hosts; empty without TPUs."""
        if self.accelerator is None or self.topology is None:
            return ()
        return shapes(self.accelerator, self.topology, self.chips_per_host)

    @field_validator("secrets", mode="before")
    @classmethod
    def _names(cls, value: Any) -> Any:
        """An error here does not repeat what it was given: it may be the secret itself."""
        given = value if isinstance(value, list | tuple) else [value]
        if not all(isinstance(one, str) and re.fullmatch(DNS_NAME, one) and len(one) <= 253 for one in given):
            raise ValueError("is not all names of secrets (a-z, 0-9, - and .); write each secret's name, not its value")
        return tuple(given)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.topology is not None and not self.is_tpu:
            raise ValueError(f"topology is {self.topology}, and accelerator {self.accelerator} is no TPU; leave it out")
        if self.is_tpu and self.topology is None:
            raise ValueError(f"accelerator is {self.accelerator}, and topology is null; give it, as 2x4")
        if self.accelerator is None and self.chips_per_host is not None:
            raise ValueError(f"chips_per_host is {self.chips_per_host}, and accelerator is null; name the accelerator")
        _ = self.slices
        return self
