"""Real processes that train one model together: equal losses, one writer, and a peer that dies is no mystery."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from scaling.config import MeshConfig
from scaling.data import Tokens, TrainingBatches
from scaling.engines import EXIT_RESUME
from scaling.records import Job, JobSettings, RunDirectory, TrajectoryDirectory
from scaling.training import evaluating
from tests.conftest import MODEL, trajectory_of
from tests.training.named_sets import measured_on, named_sets, scores_of

DEADLINE = 240.0


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def start(job: Job, processes: int, folder: Path) -> list[subprocess.Popen[str]]:
    """`processes` processes of one device each, which meet on loopback."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "job.json"
    path.write_text(job.model_dump_json())
    environment = os.environ | {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": "--xla_force_host_platform_device_count=1"}
    command = [sys.executable, "-m", "scaling", "job", str(path)]
    if processes > 1:
        command += ["--coordinator", f"127.0.0.1:{free_port()}", "--processes", str(processes), "--process"]
    return [
        subprocess.Popen(
            [*command, *([str(k)] if processes > 1 else [])],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for k in range(processes)
    ]


def finish(started: list[subprocess.Popen[str]]) -> None:
    for process in started:
        said, _ = process.communicate(timeout=DEADLINE)
        assert process.returncode == 0, said[-3000:]


def records(job: Job) -> TrajectoryDirectory:
    return RunDirectory(job.settings.run_dir).trajectory(job.trajectories[0].id)


@pytest.mark.parametrize(
    ("processes", "mesh"),
    [(2, MeshConfig(data=2)), pytest.param(4, MeshConfig(data=2, fsdp=2), marks=pytest.mark.full)],
    ids=["2 processes, data", "4 processes, data x fsdp"],
)
def test_losses_are_those_of_one_process(
    processes: int, mesh: MeshConfig, job_of: Callable[..., Job], tokens: Tokens, tmp_path: Path
) -> None:
    trajectory = trajectory_of(tokens, 30, 40)
    alone = job_of(trajectory, run_dir=str(tmp_path / "alone"))
    together = job_of(trajectory, run_dir=str(tmp_path / "together"), mesh=mesh, checkpoint_steps=8)
    keys = named_sets(tmp_path, Path(alone.settings.run_dir), Path(together.settings.run_dir), tokens=tokens)
    alone, together = (measured_on(job, *keys) for job in (alone, together))
    finish(start(alone, 1, tmp_path / "one"))
    finish(start(together, processes, tmp_path / "many"))
    expected, found = records(alone).observations(), records(together).observations()
    assert [row.loss for row in found] == pytest.approx([row.loss for row in expected], abs=1e-5)
    assert [row.tokens for row in found] == [row.tokens for row in expected]
    lines = records(together).metrics.read_text().splitlines()
    assert len(lines) == len(records(alone).metrics.read_text().splitlines()), "one process writes them"
    expected_scores, scores = scores_of(alone, *keys), scores_of(together, *keys)
    assert scores == pytest.approx(expected_scores, abs=1e-4)
    # The models that several processes wrote together, each its own part, are read by one.
    shutil.rmtree(records(together).root / "evaluations")
    evaluating.run(together.model_copy(update={"task": "evaluate", "settings": one_device(together)}))
    assert scores_of(together, *keys) == pytest.approx(scores, abs=1e-5)


def one_device(job: Job) -> JobSettings:
    return job.settings.model_copy(update={"mesh": MeshConfig()})


@pytest.mark.parametrize("processes", [1, 2, 4])
def test_the_stream_of_batches_is_the_same_on_any_number_of_processes(processes: int, tokens: Tokens) -> None:
    """Byte for byte, and each reads its own rows alone."""
    batches = TrainingBatches(tokens.train, sequences=8, sequence_length=MODEL.sequence_length, seed=3)
    whole = batches.dispatch(40, 16)
    share = 8 // processes
    parts = [batches.dispatch(40, 16, range(k * share, (k + 1) * share)) for k in range(processes)]
    assert b"".join(whole[:, row].tobytes() for row in range(8)) == b"".join(
        part[:, row].tobytes() for part in parts for row in range(share)
    )
    assert all(part.shape == (16, share, MODEL.sequence_length + 1) for part in parts)


@pytest.mark.full
def test_a_peer_that_dies_ends_the_job_which_goes_on_when_started_again(
    job_of: Callable[..., Job], tokens: Tokens, tmp_path: Path
) -> None:
    trajectory = trajectory_of(tokens, 600)
    job = job_of(trajectory, run_dir=str(tmp_path / "run"), mesh=MeshConfig(data=2), checkpoint_seconds=0.5)
    first, second = start(job, 2, tmp_path / "many")
    deadline = time.monotonic() + DEADLINE
    while not any(records(job).checkpoints.glob("trunk/[0-9]*")):
        assert first.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(second.pid, signal.SIGKILL)
    said, _ = first.communicate(timeout=DEADLINE)
    second.communicate(timeout=DEADLINE)
    # Either this process sees its collective fail, or the coordination service aborts it (134): both mean try again.
    assert first.returncode in (EXIT_RESUME, -signal.SIGABRT, 134), said[-3000:]
    if first.returncode == EXIT_RESUME:
        assert "another of this job's processes is gone" in said
    finish(start(job, 2, tmp_path / "again"))
    assert len(records(job).observations()) == 1
