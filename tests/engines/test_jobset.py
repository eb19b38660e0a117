"""Jobs on Kubernetes, by a kubectl that runs them here."""

import json
import os
import re
import shutil
import subprocess
import time

import pytest

from scaling.config import EngineConfig, JobSetConfig, Resources, StudyError
from scaling.engines import EXIT_BAD_INPUT, EXIT_DISK_FULL, Ended, JobSetEngine, Order, engine_of
from scaling.engines.jobset import ended
from scaling.engines.kubectl import Kubectl
from tests.engines.conftest import run_all

BASE = JobSetConfig(image="registry.example/scaling:1", claim="runs", mount_path="/runs", namespace="lab")


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
        (
            [pod(75, conditions=EVICTED)],
            Ended(None, "was lost: pod p was taken from its node (PreemptionByScheduler)", outside=True),
        ),
        (
            [pod(phase="Failed", reason="UnexpectedAdmissionError")],
            Ended(None, "was lost: pod p: UnexpectedAdmissionError", outside=True),
        ),
        ([], Ended(None, "was lost: ReachedMaxRestarts: why", outside=True)),
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
    jobset_schema = pytest.importorskip("tests.engines.jobset_schema", reason="Kubernetes' schemas: scaling[test]")
    results = run_all(engine(), [bench.job("a"), bench.job("b_2")], bench.directory)
    assert [(r.status, r.attempts) for r in results] == [("done", 1), ("done", 1)]
    assert (bench.directory.jobs / "a.log").read_text() == "a speaks\n"
    assert len(cluster.calls("apply")) == 2
    for path in cluster.store.glob("scaling-*-??????????.json"):
        given = json.loads(path.read_text())
        given["spec"].pop("suspend")
        jobset_schema.validated(given)


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
    assert submission.poll() == Ended(None, f"was lost: JobSet {submission.name} is gone", outside=True)
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
        run_all(engine(), [bench.job("a", seconds=3)], bench.directory, look, tick_seconds=0.02)


def test_a_cluster_that_cannot_be_reached_at_all_is_said(bench, engine, cluster):
    (cluster.store / "down").touch()
    with pytest.raises(StudyError, match=r"Unable to connect to the server.*run again"):
        run_all(engine(), [bench.job("a")], bench.directory)


REAL = shutil.which("kubectl")


@pytest.mark.skipif(REAL is None, reason="kubectl is not installed")
def test_the_real_kubectl_knows_every_flag(tmp_path):
    """Its own help: no cluster is asked, and no configuration read."""
    asked: dict[str, set[str]] = {}

    class Listening(Kubectl):
        def _run(self, *words, given="", seconds=0):
            asked.setdefault(words[0], set()).update(word.partition("=")[0] for word in words if word.startswith("--"))
            return '{"items": []}'

    real = Listening("lab")
    real.apply("")
    real.jobsets({"a": "b"})
    real.jobset("a")
    real.pods({"a": "b"})
    real.logs({"a": "b"}, prefix=True)
    real.delete("a")
    real.delete("a", wait_seconds=5)
    real.end_pods({"a": "b"})
    assert set(asked) == {"apply", "get", "logs", "delete"}
    alone = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "KUBECONFIG": os.devnull}

    def said(*words):
        return subprocess.run([str(REAL), *words], env=alone, capture_output=True, text=True, check=True).stdout

    for verb, flags in asked.items():
        assert flags <= set(re.findall(r"^\s+(?:-\w, )?(--[a-z-]+)=", said(verb, "--help"), re.MULTILINE)), verb
    assert {"--context", "--namespace"} <= set(re.findall(r"(--[a-z-]+)=", said("options")))
