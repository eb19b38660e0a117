"""Clusters that jobs are handed to: a Ray cluster, a Slurm queue."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field, field_validator

from scaling.config.part import Part

OWN_OPTIONS = {
    "array": "the engine numbers its jobs itself",
    "chdir": "jobs run in the folder that the sweep was started in",
    "cpus-per-task": "it follows from engine.resources.cores",
    "error": "logs lie in the run directory's jobs/",
    "input": "jobs read nothing",
    "job-name": "the engine finds its jobs by their name",
    "mem": "it follows from engine.resources.memory_bytes",
    "nodes": "it follows from engine.resources.hosts",
    "ntasks": "it follows from engine.resources.hosts",
    "ntasks-per-node": "there is one process a node",
    "no-requeue": "a job that reaches its limit goes on by being requeued",
    "open-mode": "logs are appended to",
    "output": "logs lie in the run directory's jobs/",
    "parsable": "the engine reads sbatch's answer",
    "requeue": "it is always set",
    "signal": "it follows from engine.slurm.grace_seconds",
    "time": "it follows from engine.resources.seconds",
    "wrap": "the engine brings its own script",
}
"""Options of sbatch that are the engine's own, and what to set in their place."""


class RayConfig(Part):
    """A Ray cluster."""

    address: str | None = None
    """Address of a running cluster's head, as 10.0.0.1:6379, or `auto` on one of its nodes; null starts a local one."""
    autoscales: bool = False
    """The cluster grows on demand: what no present node can hold is waited for, not refused."""


class SlurmConfig(Part):
    """A Slurm queue."""

    options: Mapping[str, str | int | bool] = {}
    """Options of sbatch by their long names, as {partition: gpu, account: lab, exclusive: true}: the header of every
    submission."""
    setup: str | None = None
    """A shell file that each job sources first: modules, environments, variables."""
    grace_seconds: Annotated[int, Field(ge=10, le=3600)] = 120
    """Before its time limit a job is told to checkpoint, and is requeued."""
    array_size: Annotated[int, Field(ge=1)] = 1000
    """Most jobs of one array; the cluster's own limit counts where it is lower."""
    srun: Mapping[str, str | int | bool] = {}
    """Options of srun, which starts the processes of a job, as {mpi: none}."""

    @field_validator("options", "srun")
    @classmethod
    def _plain(cls, options: Mapping[str, str | int | bool]) -> Mapping[str, str | int | bool]:
        for name, value in options.items():
            if not name.isascii() or not name.replace("-", "").isalnum() or name != name.lower() or name[0] == "-":
                raise ValueError(
                    f"is {dict(options)}; {name!r} is no long option's name without its dashes: partition, gres"
                )
            if any(ord(letter) < 32 for letter in str(value)):
                raise ValueError(f"{name} is {value!r}; an option is one line")
            if name in OWN_OPTIONS:
                raise ValueError(f"{name} is {value!r}, but {OWN_OPTIONS[name]}; leave it out")
        return options
