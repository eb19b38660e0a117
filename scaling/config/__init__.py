"""The study, its parts, and how it is read."""

from scaling.config.clusters import RayConfig, SlurmConfig
from scaling.config.compute import ComputeConfig
from scaling.config.data import CorpusConfig, DataConfig, DomainConfig, HuggingFaceConfig
from scaling.config.engine import EngineConfig, MeshConfig
from scaling.config.evaluation import EvaluationConfig, SetConfig
from scaling.config.jobset import JobSetConfig
from scaling.config.model import ModelConfig, Optimizer, Parameterization, Schedule, nearest_multiples, unused
from scaling.config.overrides import fields, override
from scaling.config.own import Own, OwnPart, changed, is_own, loaded
from scaling.config.part import Part
from scaling.config.reading import StudyError, dump_study, explain, load_study, parse_study, parse_yaml, read_study
from scaling.config.resources import Resources
from scaling.config.slices import SliceShape
from scaling.config.study import (
    AccountingConfig,
    CheckConfig,
    CheckpointConfig,
    FamilyConfig,
    LawsConfig,
    Study,
    SweepConfig,
)
from scaling.config.synthetic import SYNTHETIC, SyntheticConfig
from scaling.config.target import TargetConfig
from scaling.config.tokenizer import BYTES_VOCABULARY, BpeConfig, PretokenizedConfig, TokenizerFile
from scaling.config.training import TrainingConfig

__all__ = [
    "BYTES_VOCABULARY",
    "SYNTHETIC",
    "AccountingConfig",
    "BpeConfig",
    "CheckConfig",
    "CheckpointConfig",
    "ComputeConfig",
    "CorpusConfig",
    "DataConfig",
    "DomainConfig",
    "EngineConfig",
    "EvaluationConfig",
    "FamilyConfig",
    "HuggingFaceConfig",
    "JobSetConfig",
    "LawsConfig",
    "MeshConfig",
    "ModelConfig",
    "Optimizer",
    "Own",
    "OwnPart",
    "Parameterization",
    "Part",
    "PretokenizedConfig",
    "RayConfig",
    "Resources",
    "Schedule",
    "SetConfig",
    "SliceShape",
    "SlurmConfig",
    "Study",
    "StudyError",
    "SweepConfig",
    "SyntheticConfig",
    "TargetConfig",
    "TokenizerFile",
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
