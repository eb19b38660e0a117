"""What every engine does with jobs that end well, crash, cannot work, lie, or fill the disk."""

import errno
import shutil
import signal
from collections import namedtuple

import pytest

from scaling.engines import EXIT_BAD_INPUT, EXIT_DISK_FULL, EXIT_OUTSIDE, LocalEngine, Order, ending, job_files
from scaling.records import Job, pretty_json, read_json
from tests.engines.conftest import run_all, until


def test_jobs_that_end_well(bench, engine_of):
    jobs = [bench.job("small", steps=10), bench.job("large", steps=30)]
    results = run_all(engine_of(), jobs, bench.directory)
    assert [(r.job.name, r.status, r.attempts, r.message) for r in results] == [
        ("small", "done", 1, ""),
        ("large", "done", 1, ""),
    ]
    assert Job.model_validate(read_json(bench.directory.jobs / "small.json")) == jobs[0]
    assert (bench.directory.jobs / "small.log").read_text() == "small speaks\n"


def test_no_jobs(bench, engine_of):
    assert run_all(engine_of(), [], bench.directory) == []


def test_the_longest_job_starts_first(bench, engine_of):
    jobs = [bench.job(f"j{steps}", steps=steps) for steps in (20, 5, 40, 10)]
    run_all(engine_of(processes=1), jobs, bench.directory)
    assert bench.started() == ["j40", "j20", "j10", "j5"]


def test_as_many_side_by_side_as_allowed_and_no_more(bench, engine_of):
    jobs = [bench.job(f"j{at}", seconds=0.4) for at in range(5)]
    results = run_all(engine_of(processes=2), jobs, bench.directory)
    assert {r.status for r in results} == {"done"}
    edges = sorted(
        (event["time"], +1 if kind == "start" else -1) for kind in ("start", "end") for event in bench.events(kind)
    )
    running = [sum(step for _, step in edges[: at + 1]) for at in range(len(edges))]
    assert max(running) == 2


def test_what_is_lost_from_outside_is_tried_again(bench, engine_of):
    jobs = [bench.job("unlucky", exits=[EXIT_OUTSIDE, -9, 0]), bench.job("fine")]
    results = run_all(engine_of(), jobs, bench.directory, retries=2)
    assert [(r.status, r.attempts) for r in results] == [("done", 3), ("done", 1)]
    assert (bench.directory.jobs / "unlucky.log").read_text().count("unlucky speaks\n") == 3


def test_a_job_that_was_asked_to_end_goes_on_and_has_not_crashed(bench, engine_of):
    job = bench.job("preempted", exits=[75, 75, 75, 75, 0], advances=True)
    (result,) = run_all(engine_of(processes=1), [job], bench.directory, retries=1)
    assert (result.status, result.attempts) == ("done", 5)


def test_one_that_never_gets_further_is_given_up_and_the_others_go_on(bench, engine_of):
    jobs = [bench.job("stuck", steps=50, exits=[75]), bench.job("killed", exits=[-9]), bench.job("fine")]
    stuck, killed, fine = run_all(engine_of(), jobs, bench.directory, retries=2)
    assert [(r.status, r.attempts) for r in (stuck, killed, fine)] == [("lost", 3), ("lost", 3), ("done", 1)]
    assert stuck.message.startswith(
        "job stuck was asked to end, or lost one of its processes, before it got any further"
    )
    assert killed.message.startswith(
        "job killed was ended by SIGKILL, as the system does when memory runs out (started 3"
    )


def test_pauses_between_tries_grow(bench, engine_of):
    run_all(engine_of(), [bench.job("unlucky", exits=[-9])], bench.directory, retries=2, backoff_seconds=0.3)
    first, second, third = (event["time"] for event in bench.events("start"))
    assert second - first > 0.3
    assert third - second > 0.6


def test_a_job_that_fails_by_itself_is_reported_and_the_others_go_on(bench, engine_of):
    say = "\n".join(f"line {number}" for number in range(40))
    jobs = [bench.job("broken", steps=50, exits=[1], say=say), bench.job("a"), bench.job("b")]
    broken, *others = run_all(engine_of(processes=1), jobs, bench.directory, retries=3)
    assert [r.status for r in others] == ["done", "done"]
    assert (broken.status, broken.attempts) == ("failed", 1)
    assert broken.message.startswith("job broken ended with exit status 1; the last lines of ")
    assert str(bench.directory.jobs / "broken.log") in broken.message
    assert "    line 39\nit alone, again: " in broken.message
    assert "line 25\n" in broken.message
    assert "line 24\n" not in broken.message
    assert str(bench.directory.jobs / "broken.json") in broken.message.splitlines()[-1]


def test_the_tail_is_that_of_the_last_attempt(bench, engine_of):
    job = bench.job("broken", exits=[1], say="old words")
    run_all(engine_of(), [job], bench.directory)
    bench.table.write_text(bench.table.read_text().replace("old words", ""))
    (result,) = run_all(engine_of(), [job], bench.directory)
    assert "old words" not in result.message
    assert "old words" in (bench.directory.jobs / "broken.log").read_text()


def test_bad_input_is_not_tried_again(bench, engine_of):
    (result,) = run_all(engine_of(), [bench.job("wrong", exits=[EXIT_BAD_INPUT])], bench.directory, retries=3)
    assert (result.status, result.attempts) == ("failed", 1)


def test_an_exit_status_without_the_records_is_not_done(bench, engine_of):
    (result,) = run_all(engine_of(), [bench.job("liar", commit=False)], bench.directory, retries=1)
    assert (result.status, result.attempts) == ("failed", 1)
    assert "ended as done, but not all of its results are committed" in result.message


def test_a_diverged_trajectory_is_done(bench, engine_of):
    job = bench.job("diverged", commit=False)
    directory = bench.directory.trajectory(job.trajectories[0].id)
    directory.root.mkdir(parents=True)
    directory.commit_diverged(b"{}")
    assert [r.status for r in run_all(engine_of(), [job], bench.directory)] == ["done"]


def test_a_full_disk_stops_the_sweep(bench, engine_of, is_alive):
    jobs = [
        bench.job("long", steps=90, seconds=60),
        bench.job("full", steps=80, exits=[EXIT_DISK_FULL], seconds=0.3),
        bench.job("never", steps=10),
    ]
    results = run_all(engine_of(processes=2), jobs, bench.directory, retries=5)
    assert [(r.status, r.attempts) for r in results] == [("interrupted", 1), ("disk_full", 1), ("interrupted", 0)]
    assert results[0].message.startswith("stopped, because full found no space on the disk")
    assert results[1].message == f"no space is left in {bench.directory.root}"
    assert results[2].message == "not started, because full found no space on the disk"
    assert "never" not in bench.started()
    assert not any(is_alive(event["pid"]) for event in bench.events("start"))


def test_two_jobs_that_find_the_disk_full_at_once(bench, engine_of):
    jobs = [bench.job(name, exits=[EXIT_DISK_FULL], seconds=0.2) for name in "ab"]
    results = run_all(engine_of(processes=2), jobs, bench.directory)
    assert "disk_full" in {r.status for r in results}
    assert {r.status for r in results} <= {"disk_full", "interrupted"}


def test_a_crash_on_a_full_disk_is_a_full_disk(bench, engine_of, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(100, 100, 0))
    jobs = [bench.job("fine", steps=20), bench.job("crash", exits=[120], steps=10), bench.job("never", steps=5)]
    results = run_all(engine_of(processes=1), jobs, bench.directory, retries=5)
    assert [r.status for r in results] == ["done", "disk_full", "interrupted"]


def test_no_room_for_a_job_file_is_a_full_disk(bench, engine_of, monkeypatch):
    def full(files):
        raise OSError(errno.ENOSPC, "No space left on device", str(next(iter(files))))

    monkeypatch.setattr(job_files, "replace_all", full)
    results = run_all(engine_of(), [bench.job("a", steps=20), bench.job("b")], bench.directory)
    assert [(r.status, r.attempts) for r in results] == [("disk_full", 0), ("interrupted", 0)]
    assert bench.started() == []


def test_ticks_tell_what_waits_runs_and_ended(bench, engine_of):
    jobs = [bench.job("first", steps=30, seconds=0.3), bench.job("second", steps=20, seconds=0.3)]
    seen = []
    run_all(engine_of(processes=1), jobs, bench.directory, seen.append, tick_seconds=0.05)
    stages = {(state.waiting, tuple(job.name for job in state.running), len(state.finished)) for state in seen}
    assert {(("second",), ("first",), 0), ((), ("second",), 1), ((), (), 2)} <= stages
    first = next(state.running[0] for state in seen if state.running)
    assert first.attempt == 1
    assert first.where
    assert 0 <= first.seconds < 5


@pytest.mark.parametrize("error", [RuntimeError, pytest.param(KeyboardInterrupt, marks=pytest.mark.full)])
def test_whatever_ends_the_sweep_ends_its_jobs_or_leaves_them_to_the_next(bench, engine_of, is_alive, error):
    def stop(state):
        if len(bench.events("start")) == 2:
            raise error("stop")

    engine = engine_of()
    jobs = [bench.job(name, seconds=5 if engine.outlives else 60) for name in "abc"]
    with pytest.raises(error):
        run_all(engine, jobs, bench.directory, stop, tick_seconds=0.01)
    pids = [event["pid"] for event in bench.events("start")]
    assert len(pids) == 2
    if not engine.outlives:
        assert not any(map(is_alive, pids))
        return
    assert all(map(is_alive, pids))
    engine = engine_of()
    assert sorted(path.stem for path in engine.queued(bench.directory.jobs)) == sorted(bench.started())
    results = run_all(engine, jobs, bench.directory)
    assert [(r.status, r.attempts) for r in results] == [("done", 1)] * 3
    assert sorted(bench.started()) == ["a", "b", "c"]


@pytest.mark.parametrize("deaf", [False, True])
def test_a_job_is_asked_to_end_and_then_ended(bench, engine_of, is_alive, deaf):
    job, engine = bench.job("job", seconds=60, deaf=deaf), engine_of()
    bench.directory.jobs.mkdir()
    file, log = bench.directory.jobs / "job.json", bench.directory.jobs / "job.log"
    file.write_bytes(pretty_json(job.model_dump(mode="json")))
    (submission,) = engine.submit([Order("job", file, log)])
    until(lambda: bench.events("start"))
    assert submission.poll() is None
    ending.end([submission], grace_seconds=1.5)
    ended = submission.poll()
    (event,) = bench.events("start")
    assert not is_alive(event["pid"])
    assert ended.words or ended.status == (-signal.SIGKILL if deaf else -signal.SIGTERM)


def test_who_asks_twice_is_not_kept_waiting(bench, engine_of, is_alive):
    if not isinstance(engine_of(), LocalEngine):
        pytest.skip("the wait is the same for every engine")
    bench.directory.jobs.mkdir()
    file, log = bench.directory.jobs / "job.json", bench.directory.jobs / "job.log"
    file.write_bytes(pretty_json(bench.job("job", seconds=60, deaf=True).model_dump(mode="json")))
    (submission,) = engine_of().submit([Order("job", file, log)])
    until(lambda: bench.events("start"))
    previous = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 1.0)
        with pytest.raises(KeyboardInterrupt):
            ending.end([submission], grace_seconds=600.0)
    finally:
        signal.signal(signal.SIGALRM, previous)
    assert not is_alive(bench.events("start")[0]["pid"])


def test_running_again_leaves_what_is_done(bench, engine_of):
    engine = engine_of()
    jobs = [bench.job("a"), bench.job("b")]
    run_all(engine, jobs, bench.directory)
    assert [r.status for r in run_all(engine, jobs, bench.directory)] == ["done", "done"]


def test_a_job_is_handed_the_next_one_of_another_program(bench, engine_of):
    """Each program once, and none that runs already or is the job's own."""
    if not isinstance(engine_of(), LocalEngine):
        pytest.skip("its jobs run on other machines")
    jobs = [bench.job(f"j{steps}", steps=steps) for steps in (50, 40, 30, 20, 10)]
    widths = {"j50": 8, "j40": 8, "j30": 16, "j20": 16, "j10": 24}

    def wider(job):
        (one,) = job.trajectories
        model = one.model.model_copy(update={"width": widths[job.name]})
        return job.model_copy(update={"trajectories": (one.model_copy(update={"model": model}),)})

    run_all(engine_of(processes=1), [wider(job) for job in jobs], bench.directory)
    handed = {event["name"]: event["next"] for event in bench.events("start")}
    assert handed == {"j50": "j30", "j40": "j10", "j30": None, "j20": None, "j10": None}
