"""What runs the jobs of a study, and how their devices are laid out."""

from typing import Annotated, Literal

from pydantic import Field

from scaling.config.compute import ComputeConfig
from scaling.config.part import Part
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
        """Of one job."""
        return self.population * self.data * self.fsdp * self.tensor


class EngineConfig(Part):
    """What runs the jobs. Never part of a trajectory's identity."""

    kind: Literal["local"] = "local"
    """Processes on this machine, each pinned to one core."""
    processes: Annotated[int, Field(ge=1)] | None = None
    """Jobs side by side; one for each core that this process may use when not given."""
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
    retries: Annotated[int, Field(ge=0)] = 2
    """How often a job that crashed is started again in one run."""
