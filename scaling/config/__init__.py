"""The study, its parts, and how it is read."""

from scaling.config.arms import arm_studies
from scaling.config.clusters import RayConfig, SlurmConfig
from scaling.config.command import Command, OwnCommand, command_changed, unfit
from scaling.config.compute import ComputeConfig
from scaling.config.crossed import CrossedConfig
from scaling.config.data import CorpusConfig, DataConfig, DomainConfig, HuggingFaceConfig
from scaling.config.engine import EngineConfig, MeshConfig
from scaling.config.evaluation import EvaluationConfig, SetConfig
from scaling.config.factors import HORIZONS, MIXTURE, RELATIVE, SIZES, is_whole
from scaling.config.family import FamilyConfig
from scaling.config.isoflop import IsoflopConfig
from scaling.config.jobset import JobSetConfig
from scaling.config.ladders import CHINCHILLA, BowlsConfig, ChinchillaConfig, LadderConfig, OvertrainingConfig
from scaling.config.model import ModelConfig, Optimizer, Parameterization, Schedule, nearest_multiples, unused
from scaling.config.overrides import explained, fields, override
from scaling.config.own import Own, OwnPart, changed, is_own, loaded
from scaling.config.part import Part
from scaling.config.reading import StudyError, dump_study, explain, load_study, parse_study, parse_yaml, read_study
from scaling.config.resources import Resources
from scaling.config.skip import Condition, SkipConfig
from scaling.config.slices import SliceShape
from scaling.config.spaces import DrawnConfig, GridConfig, ListConfig, QuasirandomConfig, RandomConfig
from scaling.config.study import (
    AccountingConfig,
    CheckConfig,
    CheckpointConfig,
    LawsConfig,
    StoppingConfig,
    Study,
)
from scaling.config.sweep import DESIGNS, SweepConfig
from scaling.config.synthetic import SYNTHETIC, SyntheticConfig
from scaling.config.target import TargetConfig
from scaling.config.tokenizer import BYTES_VOCABULARY, BpeConfig, PretokenizedConfig, TokenizerFile
from scaling.config.training import TrainingConfig
from scaling.config.tuning import TuningCell, TuningConfig

__all__ = [
    "BYTES_VOCABULARY",
    "CHINCHILLA",
    "DESIGNS",
    "HORIZONS",
    "MIXTURE",
    "RELATIVE",
    "SIZES",
    "SYNTHETIC",
    "AccountingConfig",
    "BowlsConfig",
    "BpeConfig",
    "CheckConfig",
    "CheckpointConfig",
    "ChinchillaConfig",
    "Command",
    "ComputeConfig",
    "Condition",
    "CorpusConfig",
    "CrossedConfig",
    "DataConfig",
    "DomainConfig",
    "DrawnConfig",
    "EngineConfig",
    "EvaluationConfig",
    "FamilyConfig",
    "GridConfig",
    "HuggingFaceConfig",
    "IsoflopConfig",
    "JobSetConfig",
    "LadderConfig",
    "LawsConfig",
    "ListConfig",
    "MeshConfig",
    "ModelConfig",
    "Optimizer",
    "OvertrainingConfig",
    "Own",
    "OwnCommand",
    "OwnPart",
    "Parameterization",
    "Part",
    "PretokenizedConfig",
    "QuasirandomConfig",
    "RandomConfig",
    "RayConfig",
    "Resources",
    "Schedule",
    "SetConfig",
    "SkipConfig",
    "SliceShape",
    "SlurmConfig",
    "StoppingConfig",
    "Study",
    "StudyError",
    "SweepConfig",
    "SyntheticConfig",
    "TargetConfig",
    "TokenizerFile",
    "TrainingConfig",
    "TuningCell",
    "TuningConfig",
    "arm_studies",
    "changed",
    "command_changed",
    "dump_study",
    "explain",
    "explained",
    "fields",
    "is_own",
    "is_whole",
    "load_study",
    "loaded",
    "nearest_multiples",
    "override",
    "parse_study",
    "parse_yaml",
    "read_study",
    "unfit",
    "unused",
]
