"""Real training under leases that are lost, stale, or held by others."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from scaling.data import Tokens
from scaling.engines import EXIT_ELSEWHERE
from scaling.records import Job, RunDirectory, pretty_json
from tests.conftest import trajectory_of
from tests.faults.disturbing import losses, torn

CORE = str(min(os.sched_getaffinity(0)))
STEPS = (800, 1600)
DEADLINE = 180.0


def job_in(folder: Path, tokens: Tokens, tokens_dir: Path, cache: Path, kind: str) -> Job:
    settings = {
        "run_dir": str(folder / "run"),
        "tokens_dir": str(tokens_dir),
        "steps_per_dispatch": 16,
        "checkpoint_seconds": 0.2,
        "keep_forks": "last",
        "compilation_cache": str(cache),
        "leases": kind,
        "lease_seconds": 2.0,
    }
    one = trajectory_of(tokens, *STEPS)
    return Job.model_validate({"name": "leased", "settings": settings, "trajectories": [one.model_dump()]})


def start(job: Job, folder: Path, name: str) -> subprocess.Popen[bytes]:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "job.json"
    path.write_bytes(pretty_json(job.model_dump(mode="json")))
    with (folder / f"{name}.log").open("ab") as log:
        return subprocess.Popen([sys.executable, "-m", "scaling", "job", str(path), "--cores", CORE], stderr=log)


def until_it_trains(job: Job) -> None:
    directory = RunDirectory(job.settings.run_dir).trajectory(job.trajectories[0].id)
    deadline = time.monotonic() + DEADLINE
    while directory.last_metrics() is None:
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.mark.full
def test_a_job_that_stood_still_leaves_its_trajectory_to_who_took_over(
    tokens: Tokens, tokens_dir: Path, compilation_cache: Path, tmp_path: Path
) -> None:
    """SIGSTOP, as a virtual machine that is moved, or a node whose network was away."""
    peace = job_in(tmp_path / "peace", tokens, tokens_dir, compilation_cache, "flock")
    assert start(peace, tmp_path / "peace", "only").wait(DEADLINE) == 0
    job = job_in(tmp_path / "lost", tokens, tokens_dir, compilation_cache, "heartbeat")
    first = start(job, tmp_path / "lost", "first")
    until_it_trains(job)
    first.send_signal(signal.SIGSTOP)
    second = start(job, tmp_path / "lost", "second")
    assert second.wait(DEADLINE) == 0, (tmp_path / "lost/second.log").read_text()
    done = losses(RunDirectory(job.settings.run_dir), [job])
    files = {path: path.read_bytes() for path in (tmp_path / "lost/run").rglob("*.json")}
    first.send_signal(signal.SIGCONT)
    assert first.wait(DEADLINE) in (0, EXIT_ELSEWHERE)
    assert "has been taken over by another process" in (tmp_path / "lost/first.log").read_text()
    assert done == losses(RunDirectory(peace.settings.run_dir), [peace])
    assert torn(tmp_path / "lost/run") == []
    now = {path: path.read_bytes() for path in (tmp_path / "lost/run").rglob("*.json")}
    assert {path: content for path, content in now.items() if path in files} == files


def test_a_job_finds_its_trajectory_held(
    tokens: Tokens, tokens_dir: Path, compilation_cache: Path, tmp_path: Path
) -> None:
    """By a living process: it ends and says so, and the other is not disturbed."""
    job = job_in(tmp_path, tokens, tokens_dir, compilation_cache, "flock")
    first = start(job, tmp_path, "first")
    until_it_trains(job)
    second = start(job, tmp_path, "second")
    assert second.wait(DEADLINE) in (EXIT_ELSEWHERE, 0)
    assert first.wait(DEADLINE) == 0
    assert len(losses(RunDirectory(job.settings.run_dir), [job])[job.trajectories[0].id]) == len(STEPS)
