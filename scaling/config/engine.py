"""What runs the jobs of a study, and how their devices are laid out."""

from typing import Annotated, Literal

from pydantic import Field

from scaling.config.clusters import RayConfig, SlurmConfig
from scaling.config.compute import ComputeConfig
from scaling.config.jobset import JobSetConfig
from scaling.config.part import Part
from scaling.config.resources import Resources
from scaling.config.target import TargetConfig


class MeshConfig(Part):
    """How many devices each axis of the mesh takes; their product is the number of devices of a job."""

    population: Annotated[int, Field(ge=1)] = 1
    """Trajectories side by side."""
    data: Annotated[int, Field(ge=1)] = 1
    """Parts of a batch, with whole parameters on each device."""
    fsdp: Annotated[int, Field(ge=1)] = 1
    """Parts of a batch and of every parameter."""
    tensor: Annotated[int, Field(ge=1)] = 1
    """Parts of heads, hidden features and vocabulary."""

    @property
    def devices(self) -> int:
        """Of one job, over all of its hosts."""
        return self.population * self.data * self.fsdp * self.tensor


class EngineConfig(Part):
    """What runs the jobs. Never part of a trajectory's identity."""

    kind: Literal["local", "ray", "slurm", "jobset"] = "local"
    """local: processes on this machine, each pinned to its cores or devices. ray: a cluster by its address, or a local
    one. slurm: sbatch arrays. jobset: Kubernetes, as on GKE."""
    processes: Annotated[int, Field(ge=1)] | None = None
    """Jobs side by side (queued ones too, where there is a queue). null: as many as the machine, or the cluster as it
    is now, has cores or accelerators for; 64 in a queue."""
    resources: Resources = Resources()
    """What each job takes."""
    accelerators: Annotated[int, Field(ge=0)] | None = None
    """Accelerators of this machine that local jobs share out. null: as many NVIDIA devices as it has."""
    memory_bytes: Annotated[float, Field(gt=0)] | None = None
    """Memory that local jobs share out: one that does not fit waits. null: what was free when the sweep began."""
    leases: Literal["auto", "flock", "heartbeat"] = "auto"
    """How jobs keep others off a trajectory. flock: the kernel's lock, on a file system of one machine. heartbeat: a
    file that its holder touches, on any. auto: flock for local jobs on a local file system, heartbeat elsewhere."""
    lease_seconds: Annotated[float, Field(ge=1)] = 60.0
    """Without a heartbeat for so long, a holder is taken for dead."""
    ray: RayConfig = RayConfig()
    """Of kind ray."""
    slurm: SlurmConfig = SlurmConfig()
    """Of kind slurm."""
    jobset: JobSetConfig = JobSetConfig()
    """Of kind jobset."""
    expected_flops_per_second: Annotated[float, Field(gt=0)] = 2e10
    """Speed of one process, for the plan's expected time before anything was measured."""
    price_per_device_hour: Annotated[float, Field(ge=0)] | None = None
    """What an hour of one device costs, in any currency: the plan says what the study will cost."""
    compilation_cache: str | None = "~/.cache/scaling/compiled"
    """Folder of JAX's persistent compilation cache; null turns it off."""
    token_cache: str | None = "~/.cache/scaling/tokens"
    """Folder in which tokens are kept for other studies of the same files and tokeniser; null keeps none."""
    mesh: MeshConfig = MeshConfig()
    """How a job's devices are laid out. Changes results in the last digits only."""
    compute: ComputeConfig = ComputeConfig()
    """Precision, attention kernel, rematerialisation and gradient accumulation. Changes results by rounding alone."""
    stack: Literal["auto"] | Annotated[int, Field(ge=1)] = "auto"
    """Trajectories of one shape that a job steps at once: auto measures it on accelerators, and takes 1 on CPUs.
    Changes results in the last digits only."""
    target: TargetConfig = TargetConfig()
    """Devices that are not here, for which `scaling preflight` compiles."""
    retries: Annotated[int, Field(ge=0)] = 5
    """How often a job that was lost from outside (preemption, a lost node, a kill) is started again, each time after a
    longer pause, before it has got any further. What fails by the user's own cause is not tried again."""
