"""Local processes: one core each, and no life after their sweep."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from scaling.config import EngineConfig
from scaling.engines import LocalEngine, Order, local_engine
from scaling.planning import usable_cores
from tests.engines.conftest import run_all, until

SWEEPER = Path(__file__).with_name("sweeper.py")
pins = pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no affinity")


@pytest.fixture
def sweep(bench, tmp_path):
    """A sweep of two jobs that would take a minute, in a process of its own, with both jobs running."""
    jobs = [bench.job(name, seconds=60).model_dump(mode="json") for name in ("a", "b")]
    (tmp_path / "jobs.json").write_text(json.dumps(jobs))
    command = [sys.executable, str(SWEEPER), str(bench.table), str(bench.directory.root), str(tmp_path / "jobs.json")]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True)
    try:
        until(lambda: len(bench.events("start")) == 2)
        yield process
    finally:
        process.kill()
        process.communicate()


@pins
def test_each_job_has_one_core_and_no_two_at_once_the_same(bench):
    cores = usable_cores()[:2]
    if len(cores) < 2:
        pytest.skip("one usable core")
    jobs = [bench.job(f"j{at}", seconds=0.3 if at % 2 else 0.1) for at in range(5)]
    run_all(LocalEngine(2, bench.command, cores=cores), jobs, bench.directory)
    starts, ends = bench.events("start"), {event["name"]: event["time"] for event in bench.events("end")}
    assert all(len(event["cores"]) == 1 for event in starts)
    assert {event["cores"][0] for event in starts} == set(cores)
    for event in starts:
        others = [e for e in starts if e["name"] != event["name"] and e["time"] <= event["time"] < ends[e["name"]]]
        assert all(other["cores"] != event["cores"] for other in others)


@pins
def test_more_processes_than_cores_share_them_evenly(bench):
    core = usable_cores()[0]
    jobs = [bench.job(name, seconds=0.2) for name in "abc"]
    results = run_all(LocalEngine(3, bench.command, cores=[core]), jobs, bench.directory)
    assert {r.status for r in results} == {"done"}
    assert {tuple(event["cores"]) for event in bench.events("start")} == {(core,)}


def test_the_engine_of_a_study():
    assert local_engine(EngineConfig(processes=3)).processes == 3
    assert local_engine(EngineConfig()).processes == len(usable_cores())


def test_a_job_is_a_fresh_process_of_this_interpreter(tmp_path):
    (tmp_path / "job.json").write_text("{}")
    (process,) = local_engine(EngineConfig()).submit([Order("a", tmp_path / "job.json", tmp_path / "job.log")])
    process.cancel(force=True)
    until(lambda: process.poll() is not None)
    assert process.command[:5] == (sys.executable, "-m", "scaling", "job", str(tmp_path / "job.json"))


def test_sigkill_of_the_sweep_ends_its_jobs(bench, sweep, is_alive):
    pids = [event["pid"] for event in bench.events("start")]
    assert all(map(is_alive, pids))
    sweep.send_signal(signal.SIGKILL)
    sweep.wait()
    until(lambda: not any(map(is_alive, pids)))


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, -signal.SIGINT)])
def test_a_signal_to_the_sweep_ends_its_jobs_first(bench, sweep, is_alive, number, status):
    pids = [event["pid"] for event in bench.events("start")]
    sweep.send_signal(number)
    assert sweep.wait(timeout=20) == status
    assert not any(map(is_alive, pids))


def test_the_callers_own_signal_handler_is_put_back(bench):
    before = signal.getsignal(signal.SIGTERM)
    run_all(LocalEngine(1, bench.command), [bench.job("a")], bench.directory)
    assert signal.getsignal(signal.SIGTERM) is before
