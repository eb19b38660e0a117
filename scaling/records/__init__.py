"""Records: what crosses between processes and stays on disk. Plain JSON, committed once. No JAX."""

from scaling.records.atomic import (
    RecordError,
    canonical_json,
    commit_once,
    content_hash,
    exclusive,
    is_disk_full,
    pretty_json,
    read_json,
    replace,
)
from scaling.records.batches import BatchSizes, BatchStage, ramp
from scaling.records.compiled import Compiled, CompileRequest, ProgramRequest, Refused, Where
from scaling.records.directories import RunDirectory, TrajectoryDirectory
from scaling.records.known import KnownEntropy
from scaling.records.mixtures import SLOTS, shares, slots
from scaling.records.provenance import provenance
from scaling.records.schema import (
    SCHEMA,
    DataRecord,
    DomainObservation,
    DomainRecord,
    Horizon,
    Job,
    JobSettings,
    Observation,
    Recipe,
    Role,
    Trajectory,
)

__all__ = [
    "SCHEMA",
    "SLOTS",
    "BatchSizes",
    "BatchStage",
    "CompileRequest",
    "Compiled",
    "DataRecord",
    "DomainObservation",
    "DomainRecord",
    "Horizon",
    "Job",
    "JobSettings",
    "KnownEntropy",
    "Observation",
    "ProgramRequest",
    "Recipe",
    "RecordError",
    "Refused",
    "Role",
    "RunDirectory",
    "Trajectory",
    "TrajectoryDirectory",
    "Where",
    "canonical_json",
    "commit_once",
    "content_hash",
    "exclusive",
    "is_disk_full",
    "pretty_json",
    "provenance",
    "ramp",
    "read_json",
    "replace",
    "shares",
    "slots",
]
