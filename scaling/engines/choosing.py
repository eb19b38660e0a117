"""The engine that a study names."""

from scaling.config import EngineConfig
from scaling.engines.base import Engine
from scaling.engines.jobset import jobset_engine
from scaling.engines.local import local_engine


def engine_of(config: EngineConfig) -> Engine:
    """What starts the jobs of a study."""
    if config.kind == "jobset":
        return jobset_engine(config)
    return local_engine(config)
