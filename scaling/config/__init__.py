"""The study, its parts, and how it is read."""

from scaling.config.model import ModelConfig, Optimizer, Parameterization, Part, Schedule, nearest_multiples
from scaling.config.overrides import fields, override
from scaling.config.reading import StudyError, dump_study, explain, load_study, parse_study, parse_yaml, read_study
from scaling.config.study import (
    AccountingConfig,
    CheckConfig,
    CheckpointConfig,
    DataConfig,
    EngineConfig,
    FamilyConfig,
    LawsConfig,
    MeshConfig,
    Study,
    SweepConfig,
    TrainingConfig,
)
from scaling.config.target import TargetConfig

__all__ = [
    "AccountingConfig",
    "CheckConfig",
    "CheckpointConfig",
    "DataConfig",
    "EngineConfig",
    "FamilyConfig",
    "LawsConfig",
    "MeshConfig",
    "ModelConfig",
    "Optimizer",
    "Parameterization",
    "Part",
    "Schedule",
    "Study",
    "StudyError",
    "SweepConfig",
    "TargetConfig",
    "TrainingConfig",
    "dump_study",
    "explain",
    "fields",
    "load_study",
    "nearest_multiples",
    "override",
    "parse_study",
    "parse_yaml",
    "read_study",
]
