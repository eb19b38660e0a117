"""The engine that a study names."""

from scaling.config import EngineConfig
from scaling.engines.base import Engine
from scaling.engines.jobset import jobset_engine
from scaling.engines.local import local_engine
from scaling.engines.ray_cluster import RayEngine
from scaling.engines.slurm import SlurmEngine
from scaling.planning import process_count


def engine_of(config: EngineConfig) -> Engine:
    """What starts the jobs of a study."""
    if config.kind == "slurm":
        return SlurmEngine(config.slurm, process_count(config))
    if config.kind == "ray":
        return RayEngine(config.ray, config.processes, config.resources)
    if config.kind == "jobset":
        return jobset_engine(config)
    return local_engine(config)
