"""Jobs that are real processes and train nothing, and the engines that must run them."""

import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from scaling.accounting import flops_per_token, params
from scaling.config import AccountingConfig, JobSetConfig, ModelConfig, RayConfig, Resources, SlurmConfig
from scaling.engines import (
    Engine,
    JobResult,
    JobSetEngine,
    LocalEngine,
    OnTick,
    Order,
    RayEngine,
    Rules,
    SlurmEngine,
    slurm_queue,
    supervise,
)
from scaling.engines.base import NOTHING
from scaling.engines.kubectl import Kubectl
from scaling.records import DataRecord, Horizon, Job, JobSettings, Recipe, RunDirectory, Trajectory, pretty_json
from tests.clusters.ray_nodes import RayCluster, ray_cluster
from tests.clusters.ray_nodes import missing as missing_ray
from tests.clusters.slurm_nodes import SlurmCluster, slurm_cluster
from tests.clusters.slurm_nodes import missing as missing_slurm

FAKE_JOB = Path(__file__).with_name("fake_job.py")
MODEL = ModelConfig(layers=1, width=8, heads=1, kv_heads=1, ffn_width=8, vocabulary=257, sequence_length=8)
DATA = DataRecord(fingerprint="0", tokenizer="bytes", train_tokens=1000, validation_tokens=100)


def trajectory_of(seed: int, steps: int) -> Trajectory:
    cost = flops_per_token(MODEL)
    recipe = Recipe(
        learning_rate=1e-3,
        sequences=1,
        warmup_tokens=0,
        weight_decay=0,
        beta1=0.9,
        beta2=0.99,
        epsilon=1e-8,
        gradient_clip=1,
        divergence_factor=2,
        seed=seed,
    )
    return Trajectory(
        model=MODEL,
        recipe=recipe,
        data=DATA,
        accounting=AccountingConfig(),
        role="fit",
        params=params(MODEL, "with_embeddings"),
        flops_per_token=cost.exact,
        params_with_embeddings=params(MODEL, "with_embeddings"),
        params_non_embedding=params(MODEL, "without_embeddings"),
        flops_per_token_exact=cost.exact,
        flops_per_token_causal=cost.causal,
        horizons=(Horizon(tokens=8 * steps, steps=steps, decay_steps=1, decay_shape="linear", budget=1e6),),
    )


class Bench:
    """A run directory, jobs with a stated behaviour, and what they noted of themselves."""

    def __init__(self, folder: Path):
        self.directory = RunDirectory(folder / "run")
        self.directory.root.mkdir()
        self.table, self.events_file = folder / "table.json", folder / "events.jsonl"
        self.table.write_text("{}")
        self.events_file.touch()

    def job(self, name: str, steps: int = 10, commit: bool = True, **told: Any) -> Job:
        """A job of one trajectory that takes `steps` and does as told; it commits its horizon when it exits with 0."""
        table = json.loads(self.table.read_text())
        trajectory = trajectory_of(seed=len(table), steps=steps)
        horizon = self.directory.trajectory(trajectory.id).horizon(trajectory.horizons[0])
        self.table.write_text(
            json.dumps(
                table | {name: {"commits": [str(horizon)] if commit else [], "folder": str(horizon.parent)} | told}
            )
        )
        settings = JobSettings(
            run_dir=str(self.directory.root),
            tokens_dir="",
            steps_per_dispatch=1,
            checkpoint_seconds=60,
            keep_forks="last",
            compilation_cache=None,
        )
        return Job(name=name, settings=settings, trajectories=(trajectory,))

    @property
    def command(self) -> list[str]:
        return [sys.executable, str(FAKE_JOB), str(self.table)]

    def events(self, kind: str) -> list[dict[str, Any]]:
        """What was noted in whole lines so far."""
        lines = self.events_file.read_text().split("\n")[:-1]
        return [event for event in map(json.loads, lines) if event["kind"] == kind]

    def started(self) -> list[str]:
        return [event["name"] for event in self.events("start")]


def run_all(
    engine: Engine,
    jobs: Sequence[Job],
    directory: RunDirectory,
    on_tick: OnTick = lambda _: None,
    retries: int = 0,
    backoff_seconds: float = 0.05,
    **how: Any,
) -> list[JobResult]:
    """A sweep that does not wait long."""
    return supervise(engine, jobs, directory, on_tick, rules=Rules(retries, backoff_seconds), **how)


def ordered(bench: Bench, name: str, resources: Resources = NOTHING, **told: Any) -> Order:
    """A job file, ready to be submitted."""
    job = bench.job(name, **told)
    bench.directory.jobs.mkdir(exist_ok=True)
    file = bench.directory.jobs / f"{name}.json"
    file.write_bytes(pretty_json(job.model_dump(mode="json")))
    return Order(name, file, file.with_suffix(".log"), resources)


def until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    """Wait for it."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def alive(pid: int) -> bool:
    """Whether a process runs: gone and waiting to be collected both count as ended."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not stat.parent.parent.is_dir() or stat.read_text().rsplit(")", 1)[1].split()[0] not in "ZX"


SHORT = {
    "test_jobs_that_end_well",
    "test_what_is_lost_from_outside_is_tried_again",
    "test_a_job_is_asked_to_end_and_then_ended",
    "test_whatever_ends_the_sweep_ends_its_jobs_or_leaves_them_to_the_next",
}
"""Of the contract, what every change is held against on clusters too; the rest of it is long there."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        name, _, case = item.name.partition("[")
        if item.path.name == "test_contract.py" and not case.startswith("local") and name not in SHORT:
            item.add_marker(pytest.mark.full)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture
def is_alive() -> Callable[[int], bool]:
    return alive


@pytest.fixture(scope="module")
def slurm() -> Iterator[SlurmCluster]:
    """A real Slurm of two nodes, which Slurm's commands find."""
    reason = missing_slurm()
    if reason is not None:
        pytest.skip(reason)
    with slurm_cluster() as cluster, pytest.MonkeyPatch.context() as patch:
        for name, value in cluster.environment.items():
            patch.setenv(name, value)
        patch.setattr(slurm_queue, "LOOK_SECONDS", 0.2)
        yield cluster


@pytest.fixture(scope="module")
def ray_nodes() -> Iterator[RayCluster]:
    """A real Ray cluster of two nodes, which this process may connect to."""
    reason = missing_ray()
    if reason is not None:
        pytest.skip(reason)
    with ray_cluster() as cluster, pytest.MonkeyPatch.context() as patch:
        for name, value in cluster.environment.items():
            patch.setenv(name, value)
        yield cluster
        import ray

        ray.shutdown()


class Cluster:
    """Kubernetes as `fake_kubectl.py` plays it: its store, and what it was asked."""

    def __init__(self, store: Path):
        self.store = store

    def calls(self, verb: str) -> list[list[str]]:
        lines = (self.store / "calls.jsonl").read_text().splitlines()
        return [words for words in map(json.loads, lines) if verb in words]

    def jobsets(self) -> list[str]:
        return [path.stem for path in self.store.glob("scaling-*.json") if path.suffixes == [".json"]]


@pytest.fixture
def cluster(tmp_path: Path, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """kubectl on the PATH, and an image whose `python -m scaling job FILE` does as the bench was told."""
    store, programs = tmp_path / "cluster", tmp_path / "bin"
    for folder in (store, store / "image", programs):
        folder.mkdir()
    fake = Path(__file__).with_name("fake_kubectl.py")
    _script(programs / "kubectl", f'exec "{sys.executable}" "{fake}" "{store}" "$@"')
    _script(store / "image/python", f'shift 3; exec "{sys.executable}" "{FAKE_JOB}" "{bench.table}" "$@"')
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    yield Cluster(store)
    (store / "hold").unlink(missing_ok=True)
    (store / "down").unlink(missing_ok=True)
    for name in Cluster(store).jobsets():
        Kubectl("lab").delete(name)
        Kubectl("lab").end_pods({"jobset.sigs.k8s.io/jobset-name": name})


def _script(path: Path, line: str) -> None:
    path.write_text(f"#!{shutil.which('bash')}\n{line}\n")
    path.chmod(0o755)


@pytest.fixture(params=["local", "slurm", "ray", "jobset"])
def engine_of(request: pytest.FixtureRequest, bench: Bench) -> Callable[..., Engine]:
    """Makes each engine that there is, with the bench's jobs: the contract holds for all of them."""

    def local(processes: int = 2) -> Engine:
        return LocalEngine(processes, bench.command)

    def in_slurm(processes: int = 2) -> Engine:
        request.getfixturevalue("slurm")
        return SlurmEngine(SlurmConfig(), processes, bench.command)

    def on_ray(processes: int = 2) -> Engine:
        cluster = request.getfixturevalue("ray_nodes")
        return RayEngine(RayConfig(address=cluster.address), processes, NOTHING, bench.command)

    def jobset(processes: int = 2) -> Engine:
        folder = str(bench.directory.root.parent)
        request.getfixturevalue("cluster")
        config = JobSetConfig(image="i", claim="runs", mount_path=folder, namespace="lab", max_restarts=0)
        return JobSetEngine(config.model_copy(update={"poll_seconds": 0.05}), processes, Kubectl("lab"))

    return {"local": local, "slurm": in_slurm, "ray": on_ray, "jobset": jobset}[request.param]
