"""What every engine does with jobs that end well, crash, cannot work, lie, or fill the disk."""

import errno
import shutil
from collections import namedtuple

import pytest

from scaling.engines import EXIT_BAD_INPUT, EXIT_DISK_FULL, supervision
from scaling.records import Job, read_json


def test_jobs_that_end_well(bench, engine_of):
    jobs = [bench.job("small", steps=10), bench.job("large", steps=30)]
    results = engine_of().run(jobs, bench.directory)
    assert [(r.job.name, r.status, r.attempts, r.message) for r in results] == [
        ("small", "done", 1, ""),
        ("large", "done", 1, ""),
    ]
    assert Job.model_validate(read_json(bench.directory.jobs / "small.json")) == jobs[0]
    assert (bench.directory.jobs / "small.log").read_text() == "small speaks\n"


def test_no_jobs(bench, engine_of):
    assert engine_of().run([], bench.directory) == []


def test_the_longest_job_starts_first(bench, engine_of):
    jobs = [bench.job(f"j{steps}", steps=steps) for steps in (20, 5, 40, 10)]
    engine_of(processes=1).run(jobs, bench.directory)
    assert bench.started() == ["j40", "j20", "j10", "j5"]


def test_as_many_side_by_side_as_allowed_and_no_more(bench, engine_of):
    jobs = [bench.job(f"j{at}", seconds=0.4) for at in range(5)]
    results = engine_of(processes=2).run(jobs, bench.directory)
    assert {r.status for r in results} == {"done"}
    edges = sorted(
        (event["time"], +1 if kind == "start" else -1) for kind in ("start", "end") for event in bench.events(kind)
    )
    running = [sum(step for _, step in edges[: at + 1]) for at in range(len(edges))]
    assert max(running) == 2


def test_a_crash_is_tried_again(bench, engine_of):
    jobs = [bench.job("unlucky", exits=[1, -9, 0]), bench.job("fine")]
    results = engine_of(retries=2).run(jobs, bench.directory)
    assert [(r.status, r.attempts) for r in results] == [("done", 3), ("done", 1)]
    assert (bench.directory.jobs / "unlucky.log").read_text() == "unlucky speaks\n" * 3


def test_a_job_that_was_asked_to_end_goes_on_and_has_not_crashed(bench, engine_of):
    job = bench.job("preempted", exits=[75, 75, 75, 75, 0])
    (result,) = engine_of(processes=1, retries=1).run([job], bench.directory)
    assert (result.status, result.attempts) == ("done", 1)
    assert len(bench.events("start")) == 5


def test_a_job_that_keeps_crashing_is_reported_and_the_others_go_on(bench, engine_of):
    say = "\n".join(f"line {number}" for number in range(40))
    jobs = [bench.job("broken", steps=50, exits=[1], say=say), bench.job("a"), bench.job("b")]
    broken, *others = engine_of(processes=1, retries=1).run(jobs, bench.directory)
    assert [r.status for r in others] == ["done", "done"]
    assert (broken.status, broken.attempts) == ("failed", 2)
    assert broken.message.startswith("job broken ended with exit status 1 (started 2 times); the last lines of ")
    assert str(bench.directory.jobs / "broken.log") in broken.message
    assert "    line 39\nit alone, again: " in broken.message
    assert "line 25\n" in broken.message
    assert "line 24\n" not in broken.message
    assert str(bench.directory.jobs / "broken.json") in broken.message.splitlines()[-1]


def test_a_signal_is_named(bench, engine_of):
    (result,) = engine_of().run([bench.job("killed", exits=[-9])], bench.directory)
    assert result.message.startswith("job killed was ended by SIGKILL; the last lines of ")


def test_the_tail_is_that_of_the_last_attempt(bench, engine_of):
    job = bench.job("broken", exits=[1], say="old words")
    engine_of().run([job], bench.directory)
    bench.table.write_text(bench.table.read_text().replace("old words", ""))
    (result,) = engine_of().run([job], bench.directory)
    assert "old words" not in result.message
    assert "old words" in (bench.directory.jobs / "broken.log").read_text()


def test_bad_input_is_not_tried_again(bench, engine_of):
    (result,) = engine_of(retries=3).run([bench.job("wrong", exits=[EXIT_BAD_INPUT])], bench.directory)
    assert (result.status, result.attempts) == ("failed", 1)


def test_an_exit_status_without_the_records_is_not_done(bench, engine_of):
    (result,) = engine_of(retries=1).run([bench.job("liar", commit=False)], bench.directory)
    assert (result.status, result.attempts) == ("failed", 2)
    assert "ended as done, but not all of its results are committed" in result.message


def test_a_diverged_trajectory_is_done(bench, engine_of):
    job = bench.job("diverged", commit=False)
    directory = bench.directory.trajectory(job.trajectories[0].id)
    directory.root.mkdir(parents=True)
    directory.commit_diverged(b"{}")
    assert [r.status for r in engine_of().run([job], bench.directory)] == ["done"]


def test_a_full_disk_stops_the_sweep(bench, engine_of, is_alive):
    jobs = [
        bench.job("long", steps=90, seconds=60),
        bench.job("full", steps=80, exits=[EXIT_DISK_FULL], seconds=0.3),
        bench.job("never", steps=10),
    ]
    results = engine_of(processes=2, retries=5).run(jobs, bench.directory)
    assert [(r.status, r.attempts) for r in results] == [("interrupted", 1), ("disk_full", 1), ("interrupted", 0)]
    assert results[0].message.startswith("stopped, because full found no space on the disk")
    assert results[1].message == f"no space is left in {bench.directory.root}"
    assert results[2].message == "not started, because full found no space on the disk"
    assert sorted(bench.started()) == ["full", "long"]
    assert not any(is_alive(event["pid"]) for event in bench.events("start"))


def test_two_jobs_that_find_the_disk_full_at_once(bench, engine_of):
    jobs = [bench.job(name, exits=[EXIT_DISK_FULL], seconds=0.2) for name in "ab"]
    results = engine_of(processes=2).run(jobs, bench.directory)
    assert "disk_full" in {r.status for r in results}
    assert {r.status for r in results} <= {"disk_full", "interrupted"}


def test_a_crash_on_a_full_disk_is_a_full_disk(bench, engine_of, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(100, 100, 0))
    jobs = [bench.job("fine", steps=20), bench.job("crash", exits=[120], steps=10), bench.job("never", steps=5)]
    results = engine_of(processes=1, retries=5).run(jobs, bench.directory)
    assert [r.status for r in results] == ["done", "disk_full", "interrupted"]


def test_no_room_for_a_job_file_is_a_full_disk(bench, engine_of, monkeypatch):
    def full(path, content):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(supervision, "replace", full)
    results = engine_of().run([bench.job("a", steps=20), bench.job("b")], bench.directory)
    assert [(r.status, r.attempts) for r in results] == [("disk_full", 0), ("interrupted", 0)]
    assert bench.started() == []


def test_ticks_tell_what_waits_runs_and_ended(bench, engine_of):
    jobs = [bench.job("first", steps=30, seconds=0.3), bench.job("second", steps=20, seconds=0.3)]
    seen = []
    engine_of(processes=1).run(jobs, bench.directory, seen.append, tick_seconds=0.05)
    stages = {(state.waiting, tuple(job.name for job in state.running), len(state.finished)) for state in seen}
    assert {(("second",), ("first",), 0), ((), ("second",), 1), ((), (), 2)} <= stages
    first = next(state.running[0] for state in seen if state.running)
    assert first.attempt == 1
    assert first.where
    assert 0 <= first.seconds < 5


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_whatever_ends_the_sweep_ends_its_jobs(bench, engine_of, is_alive, error):
    def stop(state):
        if len(bench.events("start")) == 2:
            raise error("stop")

    with pytest.raises(error):
        engine_of().run([bench.job(name, seconds=60) for name in "abc"], bench.directory, stop, tick_seconds=0.01)
    pids = [event["pid"] for event in bench.events("start")]
    assert len(pids) == 2
    assert not any(map(is_alive, pids))


def test_a_job_that_is_deaf_to_sigterm_is_ended_all_the_same(bench, engine_of, is_alive, monkeypatch):
    monkeypatch.setattr(supervision, "GRACE_SECONDS", 0.2)

    def stop(state):
        if bench.events("start"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        engine_of().run([bench.job("deaf", seconds=60, deaf=True)], bench.directory, stop, tick_seconds=0.01)
    (event,) = bench.events("start")
    assert not is_alive(event["pid"])


def test_running_again_leaves_what_is_done(bench, engine_of):
    engine = engine_of()
    jobs = [bench.job("a"), bench.job("b")]
    engine.run(jobs, bench.directory)
    assert [r.status for r in engine.run(jobs, bench.directory)] == ["done", "done"]


def test_a_job_is_handed_the_next_one_of_another_program(bench, engine_of):
    """Each program once, and none that runs already or is the job's own."""
    jobs = [bench.job(f"j{steps}", steps=steps) for steps in (50, 40, 30, 20, 10)]
    widths = {"j50": 8, "j40": 8, "j30": 16, "j20": 16, "j10": 24}

    def wider(job):
        (one,) = job.trajectories
        model = one.model.model_copy(update={"width": widths[job.name]})
        return job.model_copy(update={"trajectories": (one.model_copy(update={"model": model}),)})

    engine_of(processes=1).run([wider(job) for job in jobs], bench.directory)
    handed = {event["name"]: event["next"] for event in bench.events("start")}
    assert handed == {"j50": "j30", "j40": "j10", "j30": None, "j20": None, "j10": None}
