"""The engine that a study names."""

from scaling.config import EngineConfig
from scaling.engines.base import Engine
from scaling.engines.local import local_engine


def engine_of(config: EngineConfig) -> Engine:
    """What starts the jobs of a study."""
    return local_engine(config)
