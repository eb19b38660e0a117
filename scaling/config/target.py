"""Devices that are not here, for which `scaling preflight` compiles a study."""

from typing import Annotated

from pydantic import Field

from scaling.config.part import Part


class TargetConfig(Part):
    """The devices that a study will run on, laid out by engine.mesh; all null: those of this machine."""

    topology: Annotated[str, Field(pattern=r"^[a-z0-9]+:\d+(x\d+)*$")] | None = None
    """A TPU slice as JAX names it, v5e:2x4. With libtpu installed it is compiled for; else simulated on CPU devices."""
    memory_bytes: Annotated[float, Field(gt=0)] | None = None
    """Memory of one device; null: what is known of the slice."""
    flops_per_second: Annotated[float, Field(gt=0)] | None = None
    """Speed that is expected of one device: its peak times the share of it that such models reach."""

    @property
    def described(self) -> bool:
        """Whether the study describes devices other than this machine's."""
        return self != TargetConfig()
