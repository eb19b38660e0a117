"""Records: what crosses between processes and stays on disk. Plain JSON, committed once. No JAX."""

from scaling.records.atomic import (
    RecordError,
    canonical_json,
    commit_once,
    content_hash,
    exclusive,
    is_disk_full,
    is_outside,
    pretty_json,
    read_json,
    replace,
    replace_all,
)
from scaling.records.batches import BatchSizes, BatchStage, ramp
from scaling.records.committing import commit_horizon, commit_trajectory
from scaling.records.compiled import Compiled, CompileRequest, ProgramRequest, Refused, Where
from scaling.records.directories import RunDirectory, TrajectoryDirectory
from scaling.records.failures import Cancelled, Failure
from scaling.records.job_files import read_job
from scaling.records.known import KnownEntropy
from scaling.records.leases import Lease, LeaseLost, Leases, leases_of
from scaling.records.mixtures import SLOTS, shares, slots
from scaling.records.observation import DomainObservation, Observation, observation_of, planned_of
from scaling.records.provenance import provenance
from scaling.records.result import DivergedResult, Result, ResultError, parse_result, result_schema
from scaling.records.schema import (
    SCHEMA,
    DataRecord,
    DomainRecord,
    Horizon,
    Job,
    JobSettings,
    Recipe,
    Role,
    Trajectory,
)
from scaling.records.scores import ChoiceScore, Evaluated, PositionLoss, Score, SetRecord, TextScore, position_columns
from scaling.records.task import Task, TaskHorizon, Text, TextDomain, TokenFile

__all__ = [
    "SCHEMA",
    "SLOTS",
    "BatchSizes",
    "BatchStage",
    "Cancelled",
    "ChoiceScore",
    "CompileRequest",
    "Compiled",
    "DataRecord",
    "DivergedResult",
    "DomainObservation",
    "DomainRecord",
    "Evaluated",
    "Failure",
    "Horizon",
    "Job",
    "JobSettings",
    "KnownEntropy",
    "Lease",
    "LeaseLost",
    "Leases",
    "Observation",
    "PositionLoss",
    "ProgramRequest",
    "Recipe",
    "RecordError",
    "Refused",
    "Result",
    "ResultError",
    "Role",
    "RunDirectory",
    "Score",
    "SetRecord",
    "Task",
    "TaskHorizon",
    "Text",
    "TextDomain",
    "TextScore",
    "TokenFile",
    "Trajectory",
    "TrajectoryDirectory",
    "Where",
    "canonical_json",
    "commit_horizon",
    "commit_once",
    "commit_trajectory",
    "content_hash",
    "exclusive",
    "is_disk_full",
    "is_outside",
    "leases_of",
    "observation_of",
    "parse_result",
    "planned_of",
    "position_columns",
    "pretty_json",
    "provenance",
    "ramp",
    "read_job",
    "read_json",
    "replace",
    "replace_all",
    "result_schema",
    "shares",
    "slots",
]
