"""Real SIGKILLs of real jobs, each pinned to one core: afterwards the same command gives the same bits."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from scaling.data import Tokens
from scaling.engines import EXIT_RESUME
from scaling.engines.base import GRACE_SECONDS
from scaling.records import Job, RunDirectory, Trajectory, TrajectoryDirectory, pretty_json
from tests.conftest import trajectory_of

CORE = min(os.sched_getaffinity(0))
STEPS = (600, 900)
DEADLINE = 120.0

Moment = Callable[[TrajectoryDirectory], bool]


def start(job: Job, folder: Path) -> subprocess.Popen[bytes]:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "job.json"
    path.write_bytes(pretty_json(job.model_dump(mode="json")))
    log = (folder / "job.log").open("ab")
    return subprocess.Popen([sys.executable, "-m", "scaling", "job", str(path), "--cores", str(CORE)], stderr=log)


def finish(job: Job, folder: Path) -> TrajectoryDirectory:
    process = start(job, folder)
    assert process.wait(timeout=DEADLINE) == 0, (folder / "job.log").read_text()
    return RunDirectory(job.settings.run_dir).trajectory(job.trajectories[0].id)


def kill_when(job: Job, folder: Path, moment: Moment) -> None:
    """Start the job and SIGKILL it as soon as `moment` has come; it must come before the job ends."""
    directory = RunDirectory(job.settings.run_dir).trajectory(job.trajectories[0].id)
    process = start(job, folder)
    deadline = time.monotonic() + DEADLINE
    while not moment(directory):
        assert process.poll() is None, f"ended before the moment came: {(folder / 'job.log').read_text()}"
        assert time.monotonic() < deadline
        time.sleep(0.0005)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL


def branch(directory: TrajectoryDirectory) -> str | None:
    last = directory.last_metrics()
    return None if last is None else str(last["branch"])


def compiling(directory: TrajectoryDirectory) -> bool:
    return directory.record.exists() and branch(directory) is None


def in_the_trunk(directory: TrajectoryDirectory) -> bool:
    return branch(directory) == "trunk"


def in_a_decay(directory: TrajectoryDirectory) -> bool:
    return (branch(directory) or "").startswith("horizon")


def writing_a_checkpoint(directory: TrajectoryDirectory) -> bool:
    return any("tmp" in path.name for path in directory.checkpoints.glob("*/*"))


def after_the_first_commit(directory: TrajectoryDirectory) -> bool:
    return any(directory.root.glob("horizon-*.json"))


@pytest.fixture(scope="module")
def undisturbed(
    tokens: Tokens, tokens_dir: Path, compilation_cache: Path, tmp_path_factory: pytest.TempPathFactory
) -> list[float]:
    """Losses of a run that nothing happened to."""
    folder = tmp_path_factory.mktemp("undisturbed")
    job = job_in(folder, trajectory_of(tokens, *STEPS), tokens_dir, compilation_cache)
    return [row.loss for row in finish(job, folder).observations()]


def job_in(folder: Path, trajectory: Trajectory, tokens_dir: Path, cache: Path, seconds: float = 0.2) -> Job:
    settings = {
        "run_dir": str(folder / "run"),
        "tokens_dir": str(tokens_dir),
        "steps_per_dispatch": 16,
        "checkpoint_seconds": seconds,
        "keep_forks": "last",
        "compilation_cache": str(cache),
    }
    return Job.model_validate({"name": "kill", "settings": settings, "trajectories": [trajectory.model_dump()]})


MOMENTS: dict[str, Moment] = {
    "compiling": compiling,
    "in the trunk": in_the_trunk,
    "in a decay": in_a_decay,
    "writing a checkpoint": writing_a_checkpoint,
    "after the first commit": after_the_first_commit,
}


IN_CI = ("writing a checkpoint",)
"""tests/faults has the others, in a whole sweep."""


@pytest.mark.parametrize(
    "moment", [one if one in IN_CI else pytest.param(one, marks=pytest.mark.full) for one in MOMENTS]
)
def test_a_killed_job_goes_on_to_the_same_bits(
    moment: str, undisturbed: list[float], tokens: Tokens, tokens_dir: Path, compilation_cache: Path, tmp_path: Path
) -> None:
    job = job_in(tmp_path, trajectory_of(tokens, *STEPS), tokens_dir, compilation_cache)
    kill_when(job, tmp_path, MOMENTS[moment])
    directory = finish(job, tmp_path)
    assert [row.loss for row in directory.observations()] == undisturbed
    assert not list(directory.root.rglob("*tmp*"))


@pytest.mark.parametrize("moment", [pytest.param("in the trunk", marks=pytest.mark.full), "in a decay"])
def test_a_job_that_is_asked_to_end_checkpoints_and_says_that_it_can_go_on(
    moment: str, undisturbed: list[float], tokens: Tokens, tokens_dir: Path, compilation_cache: Path, tmp_path: Path
) -> None:
    """Checkpoints come by SIGTERM alone here: the next job begins at the step at which this one was asked."""
    job = job_in(tmp_path, trajectory_of(tokens, *STEPS), tokens_dir, compilation_cache, seconds=3600.0)
    directory = RunDirectory(job.settings.run_dir).trajectory(job.trajectories[0].id)
    process = start(job, tmp_path)
    while not MOMENTS[moment](directory):
        assert process.poll() is None
        time.sleep(0.0005)
    before = time.monotonic()
    process.terminate()
    assert process.wait(timeout=DEADLINE) == EXIT_RESUME
    assert time.monotonic() - before < GRACE_SECONDS
    said = re.search(r"asked to end at step (\d+) of (\S+?);", (tmp_path / "job.log").read_text())
    assert said is not None
    assert (directory.checkpoints / said[2] / said[1]).is_dir()
    lines = len(directory.metrics.read_text().splitlines())
    finish(job, tmp_path)
    again = json.loads(directory.metrics.read_text().splitlines()[lines])
    assert again["step"] - 16 <= int(said[1]) < again["step"]
    assert [row.loss for row in directory.observations()] == undisturbed


def test_a_job_ends_when_its_parent_does(
    tokens: Tokens, tokens_dir: Path, compilation_cache: Path, tmp_path: Path
) -> None:
    job = job_in(tmp_path, trajectory_of(tokens, 100_000), tokens_dir, compilation_cache)
    path = tmp_path / "job.json"
    path.write_bytes(pretty_json(job.model_dump(mode="json")))
    command = [sys.executable, "-m", "scaling", "job", str(path), "--cores", str(CORE), "--exit-with-parent"]
    script = (
        f"import subprocess, time; p = subprocess.Popen({command!r}, stdin=subprocess.PIPE); "
        "print(p.pid, flush=True); time.sleep(600)"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    directory = RunDirectory(job.settings.run_dir).trajectory(job.trajectories[0].id)
    deadline = time.monotonic() + DEADLINE
    while not in_the_trunk(directory):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    while Path(f"/proc/{child}").exists() and "Z" not in Path(f"/proc/{child}/stat").read_text().split()[2]:
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.full
def test_torn_metrics_are_no_harm(
    tokens: Tokens, tokens_dir: Path, compilation_cache: Path, tmp_path: Path, undisturbed: list[float]
) -> None:
    job = job_in(tmp_path, trajectory_of(tokens, *STEPS), tokens_dir, compilation_cache)
    kill_when(job, tmp_path, in_the_trunk)
    directory = RunDirectory(job.settings.run_dir).trajectory(job.trajectories[0].id)
    with directory.metrics.open("ab") as file:
        file.write(b'{"branch":"trunk","st')
    assert [row.loss for row in finish(job, tmp_path).observations()] == undisturbed
    whole = [line for line in directory.metrics.read_text().splitlines() if line.endswith("}")]
    assert all(json.loads(line)["loss"] > 0 for line in whole)
