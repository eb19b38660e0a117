"""`scaling job JOB --distributed` under what Slurm, Open MPI and GKE tell a process: real processes, their variables.

Each process has one device and the mesh wants two, so that a process which joined nobody cannot train.
"""

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from scaling.config import MeshConfig
from scaling.data import Tokens
from scaling.records import Job
from tests.conftest import trajectory_of
from tests.training.test_processes import DEADLINE, finish, records

Told = Callable[[int, int], dict[str, str]]
FIRST_PORT = 65536 - 2**12
"""Under Slurm and Open MPI, JAX takes a port from here on: the job's number modulo 4096."""
MANAGERS = ("SLURM_", "OMPI_", "TPU_", "MEGASCALE_", "KUBERNETES_", "JAX_COORDINATOR")


def slurm(port: int, process: int) -> dict[str, str]:
    """As `srun --ntasks 2` on one node."""
    return {
        "SLURM_JOB_ID": str(7 * 2**12 + port - FIRST_PORT),
        "SLURM_STEP_NODELIST": "localhost",
        "SLURM_STEP_NUM_NODES": "1",
        "SLURM_NTASKS": "2",
        "SLURM_PROCID": str(process),
        "SLURM_LOCALID": str(process),
    }


def open_mpi(port: int, process: int) -> dict[str, str]:
    """As `mpirun -n 2` of Open MPI 4; version 5 is found through mpi4py."""
    return {
        "OMPI_MCA_orte_hnp_uri": f"{(port - FIRST_PORT) * 2**12}.0;tcp://127.0.0.1,10.0.0.1:34911",
        "OMPI_COMM_WORLD_SIZE": "2",
        "OMPI_COMM_WORLD_RANK": str(process),
        "OMPI_COMM_WORLD_LOCAL_RANK": str(process),
    }


def gke_slice(port: int, process: int) -> dict[str, str]:
    """As GKE's TPU webhook on a slice of two hosts. JAX_FORCE_TPU_INIT stands for the chips, which are not here."""
    return {
        "JAX_FORCE_TPU_INIT": "1",
        "TPU_WORKER_HOSTNAMES": "localhost,localhost",
        "TPU_WORKER_ID": str(process),
        "MEGASCALE_COORDINATOR_ADDRESS": "localhost:8080",
        "MEGASCALE_NUM_SLICES": "1",
        "MEGASCALE_SLICE_ID": "0",
        "JAX_COORDINATOR_PORT": str(port),
    }


def gke_slices(port: int, process: int) -> dict[str, str]:
    """As a JobSet of two slices of one host each."""
    told = gke_slice(port, 0)
    return told | {
        "TPU_WORKER_HOSTNAMES": "localhost",
        "MEGASCALE_NUM_SLICES": "2",
        "MEGASCALE_SLICE_ID": str(process),
    }


def free_port() -> int:
    for port in range(FIRST_PORT + os.getpid() % 2000, 65536):
        with socket.socket() as listener:
            try:
                listener.bind(("", port))
            except OSError:
                continue
            return port
    raise AssertionError("no port is free")


def start(path: Path, told: dict[str, str]) -> subprocess.Popen[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(MANAGERS)}
    own = {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": "--xla_force_host_platform_device_count=1"}
    return subprocess.Popen(
        [sys.executable, "-m", "scaling", "job", str(path), "--distributed"],
        env=inherited | own | told, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


@pytest.mark.parametrize(
    "told",
    [
        pytest.param(slurm, id="Slurm", marks=pytest.mark.full),
        pytest.param(open_mpi, id="Open MPI", marks=pytest.mark.full),
        pytest.param(gke_slice, id="GKE, one slice", marks=pytest.mark.full),
        pytest.param(gke_slices, id="GKE, two slices", marks=pytest.mark.full),
    ],
)
def test_processes_join_by_what_a_cluster_tells_them(
    told: Told, job_of: Callable[..., Job], tokens: Tokens, tmp_path: Path
) -> None:
    job = job_of(trajectory_of(tokens, 12), mesh=MeshConfig(data=2))
    path = tmp_path / "job.json"
    path.write_text(job.model_dump_json())
    port = free_port()
    finish([start(path, told(port, process)) for process in range(2)])
    (row,) = records(job).observations()
    assert 0 < row.loss < 6
    steps = [line for line in records(job).metrics.read_text().splitlines() if '"trunk"' in line]
    assert len(steps) == 1, "one process writes them"


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({}, "nothing here says where the processes meet"),
        ({name: value for name, value in open_mpi(FIRST_PORT, 0).items() if "orte" not in name}, "mpi4py"),
    ],
    ids=["nothing", "Open MPI 5 without mpi4py"],
)
def test_where_a_cluster_does_not_say_enough_the_remedy_is_named(
    told: dict[str, str], words: str, job_of: Callable[..., Job], tokens: Tokens, tmp_path: Path
) -> None:
    path = tmp_path / "job.json"
    path.write_text(job_of(trajectory_of(tokens, 12)).model_dump_json())
    process = start(path, told)
    said, _ = process.communicate(timeout=DEADLINE)
    assert process.returncode == 2, said
    assert words in said
    assert "--coordinator" in said
    assert "Traceback" not in said
