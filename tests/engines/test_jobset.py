"""Manifests of jobs on Kubernetes, and the engine by a kubectl that runs them here."""

import copy
import dataclasses
import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from scaling.config import EngineConfig, JobSetConfig, Resources, StudyError
from scaling.engines import EXIT_BAD_INPUT, EXIT_DISK_FULL, Ended, JobSetEngine, Order, engine_of
from scaling.engines.jobset import ended
from scaling.engines.kubectl import Kubectl
from scaling.engines.manifest import manifest, name_of, render
from tests.engines.conftest import run_all

kubernetes_validate = pytest.importorskip("kubernetes_validate", reason="Kubernetes' schemas come with scaling[test]")
from tests.engines.jobset_schema import validated  # noqa: E402

GOLDEN = Path(__file__).with_name("jobset.golden.yaml")
RUN = Path("/runs/quickstart")
BASE = JobSetConfig(image="registry.example/scaling:1", claim="runs", mount_path="/runs", namespace="lab")
TPU = BASE.model_copy(update={"accelerator": "tpu-v5-lite-podslice", "topology": "4x4"})
EVERYTHING = JobSetConfig(
    image="registry.example/scaling:1",
    namespace="lab",
    accelerator="tpu-v5-lite-podslice",
    topology="4x4",
    claim="runs",
    mount_path="/runs",
    queue="lab-queue",
    spot=True,
    grace_seconds=25,
    prefix=("uv", "run"),
    working_dir="/app",
    service_account="trainer",
    priority_class="low",
    secrets=("wandb",),
)


def order(name="w64", hosts=1, folder=RUN, **asked) -> Order:
    file = folder / "jobs" / f"{name}.json"
    return Order(name, file, file.with_suffix(".log"), Resources(hosts=hosts, **asked))


CASES = {
    "cpu": (order(cores=4, memory_bytes=8e9), BASE),
    "cpus": (order(hosts=2), BASE),
    "chip": (order(), BASE.model_copy(update={"accelerator": "tpu-v6e-slice", "topology": "1x1"})),
    "host": (order(), BASE.model_copy(update={"accelerator": "tpu-v5-lite-podslice", "topology": "2x4"})),
    "hosts": (order(hosts=2), BASE.model_copy(update={"accelerator": "tpu-v5-lite-podslice", "topology": "2x4"})),
    "cube": (order(hosts=16), BASE.model_copy(update={"accelerator": "tpu-v4-podslice", "topology": "4x4x4"})),
    "gpus": (order(hosts=2, accelerators=8), BASE.model_copy(update={"accelerator": "nvidia-h100-80gb"})),
    "limit": (order(seconds=3600), BASE),
    "long": (order("a" * 200 + "_b", hosts=4), TPU),
    "everything": (order("w64_l4", hosts=4, cores=100, seconds=86400), EVERYTHING),
}


@pytest.mark.parametrize("case", CASES)
def test_manifests_are_what_kubernetes_and_jobset_accept(case):
    made = manifest(*CASES[case])
    validated(made)
    assert yaml.safe_load(render(made)) == made


def test_the_manifest_of_everything_is_the_golden_one():
    assert render(manifest(*CASES["everything"])) == GOLDEN.read_text()


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("spec", "suspended"), True, "spec.suspended"),
        (("spec", "failurePolicy", "maxRestarts"), "3", "maxRestarts"),
        (("spec", "failurePolicy", "rules", 0, "action"), "Fail", "FailJobSet"),
        (("spec", "failurePolicy", "rules", 0, "onJobFailureReasons"), ["ExitCode"], "PodFailurePolicy"),
        (("spec", "failurePolicy", "rules", 0, "name"), "own-cause", "pattern"),
        (("metadata", "name"), "a" * 48, "exceed 63"),
        (("metadata", "name"), "Upper", "pattern"),
        (("spec", "replicatedJobs", 0, "template", "spec", "backoffLimits"), 0, "backoffLimits"),
        (("spec", "replicatedJobs", 0, "template", "spec", "completions"), "4", "is not of type"),
        (("spec", "replicatedJobs", 0, "template", "spec", "template", "spec", "nodeSelectors"), {}, "nodeSelectors"),
        (("spec", "replicatedJobs", 0, "template", "spec", "template", "spec", "restartPolicy"), "OnFailure", "Never"),
    ],
)  # fmt: skip
def test_the_check_itself_refuses_what_is_wrong(path, value, said):
    wrong = copy.deepcopy(manifest(*CASES["everything"]))
    at = wrong
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    with pytest.raises((ValidationError, ValueError, kubernetes_validate.ValidationError), match=said):
        validated(wrong)


def test_names_are_stable_and_unique_and_short():
    names = [name_of(order(name)) for name in ("w64", "w64_l4", "W64-L4", "x" * 100, "x" * 101, "...")]
    assert names == [name_of(order(name)) for name in ("w64", "w64_l4", "W64-L4", "x" * 100, "x" * 101, "...")]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"scaling-[a-z0-9]([-a-z0-9]*[a-z0-9])?", name) and len(name) <= 44 for name in names)
    assert name_of(order(folder=Path("/runs/other"))) != name_of(order())
    assert name_of(order(hosts=2)) == name_of(order())


def pod_of(made):
    return made["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]["spec"]


@pytest.mark.parametrize(
    ("case", "arguments"),
    [
        ("cpu", []),
        ("host", []),
        ("hosts", ["--distributed"]),
        (
            "gpus",
            [
                *("--coordinator", "{name}-slice-0-0.{name}:8476"),
                *("--processes", "2", "--process", "$(SCALING_PROCESS)"),
            ],
        ),
    ],
)
def test_how_processes_meet(case, arguments):
    made = manifest(*CASES[case])
    (container,) = pod_of(made)["containers"]
    name = made["metadata"]["name"]
    assert container["command"] == ["python", "-m", "scaling"]
    assert container["args"] == [
        "job",
        "/runs/quickstart/jobs/w64.json",
        *[word.format(name=name) for word in arguments],
    ]


@pytest.mark.parametrize("case", ["cpu", "gpus"])
def test_the_command_line_itself_understands_the_words(case, tmp_path):
    """Up to the job file, which it refuses: a real process, without joining anybody."""
    made, config = CASES[case]
    file = tmp_path / "job.json"
    file.write_text("{}")
    given = dataclasses.replace(made, job_file=file, next_file=file)
    (container,) = pod_of(manifest(given, config.model_copy(update={"mount_path": str(tmp_path)})))["containers"]
    words = [word.replace("$(SCALING_PROCESS)", "1") for word in (*container["command"][1:], *container["args"])]
    ended = subprocess.run([sys.executable, *words], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == EXIT_BAD_INPUT
    assert f"{file}: name is missing" in ended.stderr


@pytest.mark.parametrize(("case", "hosts", "chips"), [("host", 1, "8"), ("hosts", 2, "4"), ("cube", 16, "4")])
def test_each_host_asks_for_its_chips_and_a_gang_has_its_slice_to_itself(case, hosts, chips):
    made = manifest(*CASES[case])
    job = made["spec"]["replicatedJobs"][0]["template"]["spec"]
    assert (job["completions"], job["parallelism"], job["completionMode"]) == (hosts, hosts, "Indexed")
    amounts = pod_of(made)["containers"][0]["resources"]
    assert amounts == {"requests": {"google.com/tpu": chips}, "limits": {"google.com/tpu": chips}}
    exclusive = made["metadata"].get("annotations", {})
    key = "alpha.jobset.sigs.k8s.io/exclusive-topology"
    assert exclusive == ({key: "cloud.google.com/gke-nodepool"} if hosts > 1 else {})


def test_paths_and_words_with_a_dollar_reach_the_container_unchanged():
    config = BASE.model_copy(update={"mount_path": "/runs"})
    (container,) = pod_of(manifest(order(folder=Path("/runs/$(HOME) a'b")), config))["containers"]
    assert container["args"][1] == "/runs/$$(HOME) a'b/jobs/w64.json"


@pytest.mark.parametrize(
    ("config", "asked", "said"),
    [
        ({"image": None}, {}, "engine.jobset.image is null"),
        ({"claim": None}, {}, "engine.jobset.claim is null"),
        ({"topology": "2x4", "accelerator": "tpu-v6e-slice"}, {"hosts": 4}, "hosts: 1 of 8 chips or 2 of 4 chips"),
        ({"topology": "4x4", "accelerator": "tpu-v6e-slice"}, {}, "engine.resources.hosts is 1, and a slice 4x4"),
        ({"topology": "2x2", "accelerator": "tpu-v6e-slice"}, {"accelerators": 2}, "accelerators 2, and a slice 2x2"),
        ({"accelerator": "nvidia-l4"}, {}, "say how many GPUs"),
        ({"accelerator": "nvidia-l4"}, {"accelerators": 0.5}, "accelerators is 0.5; Kubernetes gives whole ones"),
        ({"accelerator": "nvidia-l4", "chips_per_host": 4}, {"accelerators": 8}, "use at most that"),
        ({}, {"accelerators": 1}, "engine.jobset.accelerator is null"),
        ({}, {"labels": {"TPU-v4-16-head": 1}}, "Ray's own"),
    ],
)  # fmt: skip
def test_what_no_slice_has_is_refused(config, asked, said):
    engine = JobSetEngine(BASE.model_copy(update=config), 1, Kubectl("lab"))
    with pytest.raises(StudyError, match=re.escape(said)):
        engine.refuse(Resources(**asked))


def test_a_run_directory_outside_of_the_claim_is_refused():
    with pytest.raises(StudyError, match=r"mount_path is /runs, and /home/me/x/jobs/w64\.json"):
        manifest(order(folder=Path("/home/me/x")), BASE)


def test_no_kubectl_is_said(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(StudyError, match="kubectl is not on the PATH"):
        JobSetEngine(BASE, 1, Kubectl("lab")).refuse(Resources())


def test_the_study_names_the_engine():
    engine = engine_of(EngineConfig(kind="jobset", processes=3, jobset=BASE))
    assert isinstance(engine, JobSetEngine)
    assert (engine.processes, engine.outlives, engine.kubectl) == (3, True, Kubectl("lab"))


def failed(reason="ReachedMaxRestarts"):
    return {"status": {"conditions": [{"type": "Failed", "status": "True", "reason": reason, "message": "why"}]}}


def pod(code=None, **status):
    if code is not None:
        status["containerStatuses"] = [{"state": {"terminated": {"exitCode": code}}}]
    return {"metadata": {"name": "p"}, "status": status}


EVICTED = [{"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler"}]


@pytest.mark.parametrize(
    ("pods", "expected"),
    [
        ([pod(1), pod(137)], Ended(1)),
        ([pod(75), pod(4)], Ended(4)),
        ([pod(76)], Ended(76)),
        ([pod(137), pod(0)], Ended(-9)),
        ([pod(75)], Ended(75)),
        ([pod(75, conditions=EVICTED)], Ended(None, "pod p was taken from its node (PreemptionByScheduler)")),
        ([pod(phase="Failed", reason="UnexpectedAdmissionError")], Ended(None, "pod p: UnexpectedAdmissionError")),
        ([], Ended(None, "ReachedMaxRestarts: why")),
    ],
)
def test_a_failed_jobset_ended_as_its_pods_did(pods, expected):
    assert ended(failed(), pods) == expected


def test_a_jobset_that_failed_at_once_and_has_no_pods_left_is_the_users_own_cause():
    assert ended(failed("FailJobSetFailurePolicyAction"), []) == Ended(1)


@pytest.fixture
def engine(cluster, tmp_path):
    def make(processes=2, **settings):
        config = BASE.model_copy(update={"mount_path": str(tmp_path), "poll_seconds": 0.1, "context": "gke"} | settings)
        return JobSetEngine(config, processes, Kubectl("lab", "gke"))

    return make


def wait_for(true, seconds=20.0):
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_jobs_end_well_and_their_words_are_logged(bench, engine, cluster):
    results = run_all(engine(), [bench.job("a"), bench.job("b_2")], bench.directory)
    assert [(r.status, r.attempts) for r in results] == [("done", 1), ("done", 1)]
    assert (bench.directory.jobs / "a.log").read_text() == "a speaks\n"
    assert len(cluster.calls("apply")) == 2
    for path in cluster.store.glob("scaling-*-??????????.json"):
        given = json.loads(path.read_text())
        given["spec"].pop("suspend")
        validated(given)


def test_what_is_lost_is_started_again_by_the_cluster_itself(bench, engine, cluster):
    (result,) = run_all(engine(), [bench.job("unlucky", exits=[-9, 75, 0])], bench.directory)
    assert (result.status, result.attempts, bench.started()) == ("done", 1, ["unlucky"] * 3)


def test_when_the_cluster_gives_up_the_sweep_tries_again(bench, engine, cluster):
    job = bench.job("unlucky", exits=[-9, -9, -9, 0])
    (result,) = run_all(engine(max_restarts=1), [job], bench.directory, retries=1)
    assert (result.status, result.attempts, bench.started()) == ("done", 2, ["unlucky"] * 4)


@pytest.mark.parametrize("status", [1, EXIT_BAD_INPUT])
def test_the_users_own_cause_is_tried_once(bench, engine, cluster, status):
    failing, fine = run_all(engine(), [bench.job("bad", exits=[status]), bench.job("fine")], bench.directory, retries=3)
    assert (failing.status, failing.attempts, fine.status) == ("failed", 1, "done")
    assert bench.started().count("bad") == 1
    assert f"ended with exit status {status}" in failing.message
    assert "bad speaks" in failing.message


def test_an_eviction_is_no_restart(bench, engine, cluster):
    evicted = []

    def evict(state):
        if bench.events("start") and not evicted:
            (cluster.store / "evict").touch()
            evicted.append(True)

    job = bench.job("evicted", seconds=1)
    (result,) = run_all(engine(max_restarts=0), [job], bench.directory, evict, tick_seconds=0.02)
    assert (result.status, result.attempts, bench.started()) == ("done", 1, ["evicted"] * 2)


def test_a_full_disk_ends_what_runs(bench, engine, cluster):
    jobs = [bench.job("long", steps=90, seconds=60), bench.job("full", exits=[EXIT_DISK_FULL], seconds=0.5)]
    long, full = run_all(engine(), jobs, bench.directory)
    assert (long.status, full.status) == ("interrupted", "disk_full")
    assert len(cluster.jobsets()) == 1  # the finished one


def test_jobs_outlive_the_sweep_and_the_next_one_adopts_them(bench, engine, cluster):
    def stop(state):
        if bench.events("start"):
            raise KeyboardInterrupt

    job = bench.job("long", seconds=1.5)
    with pytest.raises(KeyboardInterrupt):
        run_all(engine(), [job], bench.directory, stop, tick_seconds=0.01)
    (result,) = run_all(engine(), [job], bench.directory)
    assert (result.status, bench.started(), len(cluster.calls("apply"))) == ("done", ["long"], 1)


def test_submitting_twice_makes_one_jobset(bench, engine, cluster):
    job = bench.job("long", seconds=1)
    made = engine()
    bench.directory.jobs.mkdir(parents=True, exist_ok=True)
    file = bench.directory.jobs / "long.json"
    file.write_text(job.model_dump_json())
    given = Order("long", file, file.with_suffix(".log"))
    first, second = made.submit([given])[0], made.submit([given])[0]
    wait_for(lambda: first.poll() is not None and second.poll() is not None)
    assert (first.poll(), second.poll(), bench.started()) == (Ended(0), Ended(0), ["long"])


def test_what_kueue_holds_back_waits_and_can_be_cancelled(bench, engine, cluster):
    (cluster.store / "hold").touch()
    made = engine()
    bench.job("held")
    bench.directory.jobs.mkdir(parents=True, exist_ok=True)
    (submission,) = made.submit([Order("held", bench.directory.jobs / "held.json", bench.directory.jobs / "held.log")])
    assert submission.poll() is None
    assert "waits in the queue" in submission.where
    submission.cancel(force=False)
    wait_for(lambda: submission.poll() is not None)
    assert submission.poll() == Ended(None, f"JobSet {submission.name} is gone")
    assert bench.started() == []


def test_a_deaf_job_is_ended_by_force(bench, engine, cluster, is_alive):
    job = bench.job("deaf", seconds=60, deaf=True)
    made = engine()
    bench.directory.jobs.mkdir(parents=True, exist_ok=True)
    file = bench.directory.jobs / "deaf.json"
    file.write_text(job.model_dump_json())
    (submission,) = made.submit([Order("deaf", file, file.with_suffix(".log"))])
    wait_for(lambda: bench.events("start"))
    submission.cancel(force=False)
    submission.cancel(force=True)
    wait_for(lambda: submission.poll() is not None)
    assert not is_alive(bench.events("start")[0]["pid"])


def test_a_cluster_that_is_away_for_a_while_ends_nothing(bench, engine, cluster):
    seen = []

    def look(state):
        if bench.events("start") and not seen:
            (cluster.store / "down").touch()
            seen.append(time.monotonic())
        elif seen and time.monotonic() - seen[0] > 0.7:
            (cluster.store / "down").unlink(missing_ok=True)

    (result,) = run_all(engine(), [bench.job("a", seconds=0.3)], bench.directory, look, tick_seconds=0.02)
    assert (result.status, result.attempts) == ("done", 1)


def test_a_cluster_that_stays_away_is_said(bench, engine, cluster, monkeypatch):
    monkeypatch.setattr("scaling.engines.jobset.PATIENCE_SECONDS", 0.5)

    def look(state):
        if bench.events("start"):
            (cluster.store / "down").touch()

    with pytest.raises(StudyError, match=r"has not answered for .* i/o timeout.*its jobs go on"):
        run_all(engine(), [bench.job("a", seconds=0.2)], bench.directory, look, tick_seconds=0.02)


def test_a_cluster_that_cannot_be_reached_at_all_is_said(bench, engine, cluster):
    (cluster.store / "down").touch()
    with pytest.raises(StudyError, match=r"Unable to connect to the server.*run again"):
        run_all(engine(), [bench.job("a")], bench.directory)
