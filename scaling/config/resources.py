"""What a job asks of the machines that it runs on."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field, field_validator

from scaling.config.part import Part

Label = Annotated[str, Field(pattern=r"^[A-Za-z0-9][\w./:-]*$")]


class Resources(Part):
    """What each process of a job takes; a job is `hosts` such processes, each on a host of its own."""

    hosts: Annotated[int, Field(ge=1)] = 1
    """Processes of a job, one a host, which make one `jax.distributed` group; above 1 not on one machine alone."""
    cores: Annotated[int, Field(ge=1)] | None = None
    """CPU cores of each process. null: one for jobs on CPUs, a fair share of the host's for jobs on accelerators."""
    accelerators: Annotated[float, Field(ge=0)] | None = None
    """GPUs or TPU chips of each process; a fraction such as 0.5 lets several jobs share one. null: one for each device
    of engine.mesh where this machine has some, else none."""
    memory_bytes: Annotated[float, Field(gt=0)] | None = None
    """Host memory of each process. null: what compiling ahead measured, where it did."""
    seconds: Annotated[float, Field(gt=0)] | None = None
    """Time limit of a scheduler; a job that reaches it checkpoints and goes on in a new submission."""
    labels: Mapping[Label, Annotated[float, Field(gt=0)]] = {}
    """Ray's own resources by name, such as {TPU-v4-16-head: 1}: how many of each a process takes."""

    @field_validator("accelerators")
    @classmethod
    def _whole_or_shared(cls, value: float | None) -> float | None:
        if value is not None and value > 1 and value != round(value):
            raise ValueError(f"is {value:g}; use a whole number, or a share below 1")
        return value
