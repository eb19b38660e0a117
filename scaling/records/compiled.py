"""What is asked of, and told by, processes that compile programs ahead of the jobs that will run them."""

from typing import Annotated, Literal

from pydantic import Field

from scaling.config import Part, TargetConfig
from scaling.records.schema import Job

Where = Literal["here", "topology", "simulated"]
"""For which devices a program was compiled: those of this machine; those of a TPU slice that is not here, by libtpu's
compiler; CPU devices in their place, laid out by the same mesh: memory is then about right."""


class ProgramRequest(Part):
    """A program to be compiled: that of the job's first trajectory."""

    key: str
    """Hash of what changes the program, and of what compiles it."""
    job: Job
    reports: tuple[str, ...]
    """Files that the report is written to."""


class CompileRequest(Part):
    """What one process compiles, one program after another."""

    target: TargetConfig = TargetConfig()
    programs: Annotated[tuple[ProgramRequest, ...], Field(min_length=1)]


class Refused(Part):
    """What the compiler said of a program that its devices cannot hold."""

    key: str
    device: str
    refused: str


class Compiled(Part):
    """A compiled program: bytes are those of one device, FLOPs those of all."""

    key: str
    where: Where
    device: str
    """The kind of device."""
    devices: int
    places: int = 1
    """Trajectories that are stepped at once."""
    state_bytes: int
    """Parameters, moments and counters of all places."""
    kept_bytes: int
    """The trunks' states, kept while decays are trained; 0 where no horizon has a decay."""
    batch_bytes: int
    """The batches of one dispatch, and the traced numbers."""
    temporary_bytes: int
    """Activations, gradients and whatever else the training step needs on its way."""
    evaluation_bytes: int
    """What evaluation needs beside the states."""
    process_bytes: int
    """The process itself, where device and host share their memory."""
    limit_bytes: int | None
    """Memory of the device as it says itself, or as the study does; None where it is the host's."""
    flops_per_step: float
    """Every matrix product of an optimiser step of all places, at the largest batch (accounting's exact count)."""
    compiled_flops_per_step: float | None
    """The compiler's own count: elementwise operations too, but a scanned layer only once."""
    compile_seconds: float
    cached: bool
    """Whether it lies in the persistent compilation cache, where the jobs find it."""
    seconds_per_step: float | None
    """Measured, where the devices are here."""

    @property
    def memory_bytes(self) -> int:
        """state + kept + the larger of (batch + temporaries) and evaluation + process, on one device."""
        passing = max(self.batch_bytes + self.temporary_bytes, self.evaluation_bytes)
        return self.state_bytes + self.kept_bytes + passing + self.process_bytes
