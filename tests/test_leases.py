"""Leases of both kinds: one holder at a time, let go by the dead, never taken from the living, whatever clocks say."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from scaling.records.leases import BeatLeases, LeaseLost, Leases, LockLeases

SECONDS = 1.2
HOLD = """
import sys, time
from pathlib import Path
from scaling.records.leases import BeatLeases, LockLeases
leases = LockLeases() if sys.argv[1] == "flock" else BeatLeases(float(sys.argv[3]))
lease = leases.take(Path(sys.argv[2]))
print(lease is not None, flush=True)
while True:
    time.sleep(0.05)
    try:
        lease.check()
    except Exception as error:
        print(type(error).__name__, flush=True)
        break
"""


@contextmanager
def held_elsewhere(kind: str, path: Path, *before: str) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lease."""
    command = [*before, sys.executable, "-c", HOLD, kind, str(path), str(SECONDS)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "True\n"
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(params=["flock", "heartbeat"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def leases(kind: str) -> Callable[[], Leases]:
    return {"flock": LockLeases, "heartbeat": lambda: BeatLeases(SECONDS)}[kind]


def until_free(leases: Leases, path: Path, seconds: float = 10.0) -> float:
    """How long it took."""
    began = time.monotonic()
    while leases.held(path):
        assert time.monotonic() - began < seconds
        time.sleep(0.02)
    return time.monotonic() - began


def test_one_holder_at_a_time(leases: Callable[[], Leases], tmp_path: Path) -> None:
    path = tmp_path / "deep/.lease"
    assert not leases().held(path)
    first = leases().take(path)
    assert first is not None
    assert leases().held(path)
    assert leases().take(path) is None
    assert not first.lost()
    first.check()
    first.release()
    assert not leases().held(path)
    second = leases().take(path)
    assert second is not None
    second.check()
    second.release()


def test_a_directory_may_change_its_engine(tmp_path: Path) -> None:
    """And with it the kind of its leases."""
    for leases in (LockLeases(), BeatLeases(SECONDS), LockLeases()):
        assert not leases.held(tmp_path / ".lease")
        lease = leases.take(tmp_path / ".lease")
        assert lease is not None
        lease.release()


def test_the_living_keep_it(kind: str, leases: Callable[[], Leases], tmp_path: Path) -> None:
    path, watch = tmp_path / ".lease", leases()
    with held_elsewhere(kind, path):
        began = time.monotonic()
        while time.monotonic() - began < 2.5 * SECONDS:
            assert watch.held(path)
            assert watch.take(path) is None
            time.sleep(0.1)


def test_the_dead_let_it_go(kind: str, leases: Callable[[], Leases], tmp_path: Path) -> None:
    path, watch = tmp_path / ".lease", leases()
    with held_elsewhere(kind, path) as holder:
        assert watch.held(path)
        holder.kill()
        holder.wait()
        took = until_free(watch, path)
    assert took < (0.5 if kind == "flock" else SECONDS + 1)
    lease = watch.take(path)
    assert lease is not None
    lease.release()


def test_whoever_was_taken_for_dead_stops(tmp_path: Path) -> None:
    """A process that stood still, and comes back when another has what it held: the fencing token is no longer its."""
    path, watch = tmp_path / ".lease", BeatLeases(SECONDS)
    with held_elsewhere("heartbeat", path) as holder:
        holder.send_signal(signal.SIGSTOP)
        until_free(watch, path)
        lease = watch.take(path)
        assert lease is not None
        holder.send_signal(signal.SIGCONT)
        assert holder.stdout is not None
        assert holder.stdout.readline() == "LeaseLost\n"
        lease.check()
        lease.release()


def test_two_who_wait_do_not_both_get_it(tmp_path: Path) -> None:
    path = tmp_path / ".lease"
    first, second = BeatLeases(SECONDS), BeatLeases(SECONDS)
    with held_elsewhere("heartbeat", path) as holder:
        holder.kill()
        holder.wait()
        until_free(first, path)
        taken = [leases.take(path) for leases in (first, second, BeatLeases(SECONDS))]
    assert sum(lease is not None for lease in taken) == 1
    next(lease for lease in taken if lease is not None).release()


def test_a_holder_that_cannot_beat_takes_itself_for_dead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / ".lease"
    lease = BeatLeases(SECONDS).take(path)
    assert lease is not None

    def no_server(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "replace", no_server)
    time.sleep(SECONDS)
    assert lease.lost()
    with pytest.raises(LeaseLost):
        lease.check()


@pytest.mark.parametrize("stamp", [0, 4e9])
def test_times_on_files_mean_nothing(tmp_path: Path, stamp: float) -> None:
    """A file server's clock, or another machine's, may stand anywhere."""
    path, watch = tmp_path / ".lease", BeatLeases(SECONDS)
    with held_elsewhere("heartbeat", path):
        began = time.monotonic()
        while time.monotonic() - began < 2 * SECONDS:
            for file in path.iterdir():
                if not file.name.startswith("."):
                    try:
                        os.utime(file, (stamp, stamp))
                    except FileNotFoundError:
                        continue
            assert watch.held(path)
            time.sleep(0.05)


@pytest.mark.skipif(
    subprocess.run(["unshare", "-T", "true"], capture_output=True, check=False).returncode != 0
    if os.path.exists("/usr/bin/unshare")
    else True,
    reason="this system makes no time namespaces",
)
@pytest.mark.parametrize("ahead", [1_000_000, -int(time.monotonic() / 2)], ids=["ahead", "behind"])
def test_clocks_that_differ(tmp_path: Path, ahead: int) -> None:
    """By days; behind by half of what this machine has been up, for none may show less than nothing."""
    path, watch = tmp_path / ".lease", BeatLeases(SECONDS)
    with held_elsewhere("heartbeat", path, "unshare", "-T", "--fork", "--monotonic", str(ahead)) as holder:
        began = time.monotonic()
        while time.monotonic() - began < 2 * SECONDS:
            assert watch.held(path)
            time.sleep(0.1)
        subprocess.run(["pkill", "-KILL", "-P", str(holder.pid)], check=False)
        holder.wait()
        assert until_free(watch, path) < SECONDS + 1
