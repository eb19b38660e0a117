"""Whole studies on real clusters: submitted, left, collected, killed; each finds what this machine alone finds."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
import psutil
import pytest

from tests.clusters.ray_nodes import ADDRESSES, RayCluster, ray_cluster
from tests.clusters.ray_nodes import missing as missing_ray
from tests.clusters.slurm_nodes import SlurmCluster, slurm_cluster
from tests.clusters.slurm_nodes import missing as missing_slurm
from tests.external.conftest import TRAINER
from tests.studies.conftest import environment, writer

WIDTHS = (8, 16, 24)
SMALL = {
    "check": {"enabled": False},
    "checkpoints": {"every_steps": 32},
}
DEADLINE = 600.0


@pytest.fixture(scope="module")
def slurm() -> Iterator[SlurmCluster]:
    reason = missing_slurm()
    if reason is not None:
        pytest.skip(reason)
    with slurm_cluster() as cluster:
        yield cluster


@pytest.fixture(scope="module")
def ray_nodes() -> Iterator[RayCluster]:
    reason = missing_ray()
    if reason is not None:
        pytest.skip(reason)
    with ray_cluster() as cluster:
        yield cluster


@pytest.fixture
def study(text: Path, compilation_cache: Path, tmp_path: Path) -> Callable[..., Path]:
    """A small ladder; its engine's fields can be given, its sizes, and a command that trains."""

    def write(command: list[str] | None = None, widths: tuple[int, ...] = WIDTHS, **engine: object) -> Path:
        ours = SMALL if command is None else {"check": SMALL["check"], "command": command}
        sweep = {"design": "ladder", "widths": list(widths), "tokens_per_param": [4, 8]}
        return writer(text, compilation_cache, tmp_path)(**ours, sweep=sweep, engine={"lease_seconds": 5.0} | engine)

    return write


def command(cluster: SlurmCluster | RayCluster | None, *words: object) -> subprocess.Popen[str]:
    """A verb as a person types it, with the cluster's own variables."""
    variables = environment() | ({} if cluster is None else cluster.environment)
    return subprocess.Popen(
        [sys.executable, "-m", "scaling", *map(str, words)],
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
    )


def said(cluster: SlurmCluster | RayCluster | None, *words: object, status: int = 0) -> str:
    process = command(cluster, *words)
    out, err = process.communicate(timeout=DEADLINE)
    assert process.returncode == status, out + err
    return out + err


def losses(run: Path) -> list[tuple[object, ...]]:
    return pl.read_csv(run / "observations.csv").sort("horizon").select("trajectory", "horizon", "loss").rows()


def until(condition: Callable[[], object], seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.full
def test_what_was_submitted_to_slurm_is_collected(
    study: Callable[..., Path], slurm: SlurmCluster, tmp_path: Path
) -> None:
    said(None, "run", study(), "--out", tmp_path / "local")
    there = study(kind="slurm", slurm={"options": {"hold": True}})
    dry = said(slurm, "launch", there, "--out", tmp_path / "slurm", "--dry-run")
    assert dry.startswith("sbatch --job-name=scaling-KEY --array=0-2 ")
    assert said(slurm, "launch", there, "--out", tmp_path / "slurm").count("submitted 3 jobs") == 1
    assert "submitted 0 jobs; 3 were queued already" in said(slurm, "launch", there, "--out", tmp_path / "slurm")
    for array in set(slurm.run("squeue", "--noheader", "--format=%F").split()):
        slurm.run("scontrol", "release", array)
    assert "6/6 horizons" in said(slurm, "run", there, "--out", tmp_path / "slurm")
    assert losses(tmp_path / "slurm") == losses(tmp_path / "local")
    logs = [path.read_text() for path in (tmp_path / "slurm/jobs").glob("*.log")]
    assert len(logs) == 3
    assert "submitted 0 jobs" in said(slurm, "launch", there, "--out", tmp_path / "slurm")


@pytest.mark.full
def test_cancelled_in_slurm_and_gone_on_with(study: Callable[..., Path], slurm: SlurmCluster, tmp_path: Path) -> None:
    there = study(kind="slurm")
    sweep = command(slurm, "run", there, "--out", tmp_path / "run")
    until(lambda: list((tmp_path / "run").glob("trajectories/*/metrics.jsonl")))
    assert "asked everything of" in said(slurm, "cancel", tmp_path / "run")
    _, err = sweep.communicate(timeout=DEADLINE)
    assert sweep.returncode == 130, err
    assert "asked to end by scaling cancel" in err
    until(lambda: not slurm.run("squeue", "--noheader", "--states=PENDING,RUNNING,COMPLETING").strip())
    said(slurm, "run", there, "--out", tmp_path / "run")
    said(None, "run", study(), "--out", tmp_path / "local")
    assert losses(tmp_path / "run") == losses(tmp_path / "local")


@pytest.mark.full
def test_slurmd_sweeper_and_batch_scripts_killed(
    study: Callable[..., Path], slurm: SlurmCluster, tmp_path: Path
) -> None:
    there = study(kind="slurm", retries=10)
    run = tmp_path / "run"
    sweep = command(slurm, "run", there, "--out", run)
    for number in range(6):
        until_more(run, sweep)
        if sweep.poll() is not None:
            break
        if number % 3 == 0:
            for pid in batch_scripts(run):
                os.kill(pid, signal.SIGKILL)
        elif number % 3 == 1:
            sweep.kill()
            sweep.communicate()
            sweep = command(slurm, "run", there, "--out", run)
        else:
            slurm.lose("n1")
            time.sleep(1.0)
            slurm.start("n1")
    out, err = sweep.communicate(timeout=DEADLINE)
    assert sweep.returncode == 0, out + err
    said(None, "run", study(), "--out", tmp_path / "local")
    assert losses(run) == losses(tmp_path / "local")


@pytest.mark.full
def test_a_sweep_on_ray_whose_raylet_is_killed(
    study: Callable[..., Path], ray_nodes: RayCluster, tmp_path: Path
) -> None:
    there = study(kind="ray", ray={"address": ray_nodes.address}, retries=10)
    sweep = command(ray_nodes, "run", there, "--out", tmp_path / "run")
    until(lambda: list((tmp_path / "run").glob("trajectories/*/metrics.jsonl")))
    os.kill(ray_nodes.raylet(ADDRESSES[1]), signal.SIGKILL)
    sweep.communicate(timeout=DEADLINE)
    if sweep.returncode != 0:  # of two nodes on one machine Ray may have taken this one for the sweep
        said(ray_nodes, "run", there, "--out", tmp_path / "run")
    said(None, "run", study(), "--out", tmp_path / "local")
    assert losses(tmp_path / "run") == losses(tmp_path / "local")


@pytest.mark.full
def test_one_rank_of_a_gang_killed(study: Callable[..., Path], slurm: SlurmCluster, tmp_path: Path) -> None:
    """Both processes of a job on two nodes end, and it goes on; losses as of one process, in their last digits."""
    gang = {"kind": "slurm", "resources": {"hosts": 2}, "mesh": {"data": 2}, "slurm": {"srun": {"mpi": "none"}}}
    there, run = study(widths=(8,), **gang, retries=10, processes=1), tmp_path / "run"
    sweep = command(slurm, "run", there, "--out", run)
    until(lambda: list(run.glob("trajectories/*/metrics.jsonl")) or sweep.poll() is not None)
    ranks = [one for one in psutil.process_iter(["cmdline"]) if is_rank(one, run)]
    assert len(ranks) == 2
    ranks[1].kill()
    out, err = sweep.communicate(timeout=DEADLINE)
    assert sweep.returncode == 0, out + err
    said(None, "run", study(widths=(8,)), "--out", tmp_path / "local")
    for (*which, loss), (*same, alone) in zip(losses(run), losses(tmp_path / "local"), strict=True):
        assert which == same
        assert loss == pytest.approx(alone, rel=1e-4)


@pytest.mark.full
@pytest.mark.parametrize("kind", ["slurm", "ray"])
def test_a_command_is_started_on_a_cluster(
    study: Callable[..., Path], request: pytest.FixtureRequest, tmp_path: Path, kind: str
) -> None:
    cluster: SlurmCluster | RayCluster = request.getfixturevalue({"slurm": "slurm", "ray": "ray_nodes"}[kind])
    trainer = [sys.executable, TRAINER]
    where = {"ray": {"address": cluster.address}} if isinstance(cluster, RayCluster) else {}
    said(cluster, "run", study(trainer, kind=kind, **where), "--out", tmp_path / "run")
    said(None, "run", study(trainer), "--out", tmp_path / "local")
    assert len(losses(tmp_path / "run")) == 6
    assert losses(tmp_path / "run") == losses(tmp_path / "local")


def until_more(run: Path, sweep: subprocess.Popen[str]) -> None:
    """Until another trajectory has begun, or all are done."""
    seen = len(list(run.glob("trajectories/*/metrics.jsonl")))
    until(lambda: len(list(run.glob("trajectories/*/metrics.jsonl"))) > seen or sweep.poll() is not None)


def batch_scripts(run: Path) -> list[int]:
    """Of jobs of this run: the parents of their rank scripts."""
    found = set()
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if "rank" in words[:4] and any(str(run) in word for word in words):
            found.add(process.ppid())
    return [pid for pid in found if "slurm_script" in " ".join(psutil.Process(pid).cmdline())]


def is_rank(process: psutil.Process, run: Path) -> bool:
    words = process.info["cmdline"] or []
    return "--distributed" in words and words[0] == sys.executable and str(run) in json.dumps(words)
