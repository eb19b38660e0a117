"""Several processes as one job: how they find each other, and what only the first of them does.

Every process runs the same program on its own devices and reads its own part of each batch. Process 0 alone writes
records; checkpoints are written by all.
"""

from dataclasses import dataclass

import jax
import numpy as np
from jax.experimental import multihost_utils

from scaling.config import StudyError

GONE = ("gloo", "nccl", "peer", "coordination", "heartbeat", "connection")
"""Words of collectives and of the coordination service when a process does not answer."""


@dataclass(frozen=True)
class Group:
    """Where the processes of a job meet. All None: as Slurm, Open MPI or a TPU slice says.

    Attributes:
      coordinator: host:port of process 0.
      processes: how many there are.
      process: which this one is, from 0.
    """

    coordinator: str | None = None
    processes: int | None = None
    process: int | None = None


def join(group: Group) -> None:
    """Meet the other processes; before anything else of JAX.

    Raises:
      StudyError: one of the settings is given without the others, or nothing says where to meet.
    """
    given = {name: value for name, value in vars(group).items() if value is not None}
    if given and len(given) < 3:
        missing = ", ".join(f"--{name}" for name in vars(group) if name not in given)
        raise StudyError(f"--{next(iter(given))} is given without {missing}; give all three, or --distributed alone")
    if group.process is not None and group.processes is not None and not 0 <= group.process < group.processes:
        raise StudyError(
            f"--process is {group.process}; with --processes {group.processes} it is 0 to {group.processes - 1}"
        )
    try:
        jax.distributed.initialize(group.coordinator, group.processes, group.process)
    except (ValueError, RuntimeError) as error:
        if isinstance(error, jax.errors.JaxRuntimeError):  # they know where, and somebody did not come
            raise
        raise StudyError(
            f"--distributed: nothing here says where the processes meet ({error}); start the job by srun, by mpirun "
            "(Open MPI 5: with mpi4py installed) or on a TPU slice, or give --coordinator, --processes and --process"
        ) from error


def peer_is_gone(error: Exception) -> bool:
    """Whether `error` is what this process sees of another one's death."""
    said = str(error).lower()
    return jax.process_count() > 1 and any(word in said for word in GONE)


def is_first() -> bool:
    """Whether this process writes the records."""
    return jax.process_index() == 0


def agreed(value: bool) -> bool:
    """Whether any process says so: what follows must be the same on all."""
    if jax.process_count() == 1:
        return value
    return bool(np.any(multihost_utils.process_allgather(np.array(value))))


def any_says(*values: bool) -> tuple[bool, ...]:
    """`agreed` of each of `values`, at the price of one."""
    if jax.process_count() == 1:
        return values
    return tuple(bool(one) for one in np.any(multihost_utils.process_allgather(np.array(values)), axis=0))


def barrier(name: str) -> None:
    """Until every process is here."""
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(name)
