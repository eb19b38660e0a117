"""The study, its parts, and how it is read."""

from scaling.config.compute import ComputeConfig
from scaling.config.engine import EngineConfig, MeshConfig
from scaling.config.evaluation import EvaluationConfig, SetConfig
from scaling.config.model import ModelConfig, Optimizer, Parameterization, Schedule, nearest_multiples, unused
from scaling.config.overrides import fields, override
from scaling.config.own import Own, OwnPart, changed, is_own, loaded
from scaling.config.part import Part
from scaling.config.reading import StudyError, dump_study, explain, load_study, parse_study, parse_yaml, read_study
from scaling.config.study import (
    AccountingConfig,
    CheckConfig,
    CheckpointConfig,
    DataConfig,
    FamilyConfig,
    LawsConfig,
    Study,
    SweepConfig,
)
from scaling.config.synthetic import SYNTHETIC, SyntheticConfig
from scaling.config.target import TargetConfig
from scaling.config.training import TrainingConfig

__all__ = [
    "SYNTHETIC",
    "AccountingConfig",
    "CheckConfig",
    "CheckpointConfig",
    "ComputeConfig",
    "DataConfig",
    "EngineConfig",
    "EvaluationConfig",
    "FamilyConfig",
    "LawsConfig",
    "MeshConfig",
    "ModelConfig",
    "Optimizer",
    "Own",
    "OwnPart",
    "Parameterization",
    "Part",
    "Schedule",
    "SetConfig",
    "Study",
    "StudyError",
    "SweepConfig",
    "SyntheticConfig",
    "TargetConfig",
    "TrainingConfig",
    "changed",
    "dump_study",
    "explain",
    "fields",
    "is_own",
    "load_study",
    "loaded",
    "nearest_multiples",
    "override",
    "parse_study",
    "parse_yaml",
    "read_study",
    "unused",
]
