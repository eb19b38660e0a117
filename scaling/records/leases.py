"""Who may write into a trajectory's folder now: one holder at a time, whatever happens to the one before.

Two kinds. Of a lock file the kernel lets go when its process ends, however it ends; on the file system of one machine.
Of a heartbeat a holder shows by a file that it goes on changing that it lives; on any file system:

    .lease/<token>.json    one holder, committed once: the greatest token is the one that counts
           <token>.beat    a number that its holder raises
           <token>.ended   it was given back, or broken by somebody who saw no beat for so long

Nobody compares clocks of two machines: whoever waits for a holder measures, by a clock of their own, how long the
beat has not changed. A holder that was taken for dead finds a greater token, or its own ended, before it commits or
checkpoints anything more (a fencing token), and stops.
"""

import fcntl
import json
import os
import platform
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Protocol

from scaling.records.atomic import commit_once, pretty_json
from scaling.records.schema import JobSettings

TRIES, TRY_SECONDS = 5, 0.02
"""A look at a lock takes it for an instant: whoever finds it taken tries again."""
BEATS = 12
"""In the time after which a holder is taken for dead."""
LATE = 0.75
"""Share of that time after which a holder that could not write its beat takes itself for dead."""


class LeaseLost(RuntimeError):
    """Another process has taken over what this one held; it must write nothing more."""


class Lease(Protocol):
    """Held from when it was taken until it is released, or lost."""

    def lost(self) -> bool:
        """Whether somebody else has taken over; cheap."""

    def check(self) -> None:
        """Before each commit. LeaseLost where somebody else has taken over."""

    def release(self) -> None:
        """Let others have it."""


class Leases(Protocol):
    """One kind of lease."""

    def take(self, path: Path) -> Lease | None:
        """The lease of `path`; None where a living process has it."""

    def held(self, path: Path) -> bool:
        """Whether a living process has it, as far as is known by now."""

    @property
    def patience(self) -> float:
        """Seconds after which asking again tells a dead holder from a living one."""


def leases_of(settings: JobSettings) -> Leases:
    """The kind that a job's settings name; to be kept, since telling a dead holder takes looks that lie apart."""
    if settings.leases == "flock":
        return LockLeases()
    return BeatLeases(settings.lease_seconds)


class LockLeases:
    """Of the kernel's lock on a file."""

    patience = 0.0

    def take(self, path: Path) -> "_Lock | None":
        path.parent.mkdir(parents=True, exist_ok=True)
        file = _lock_file(path).open("a+b")
        for _ in range(TRIES):
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(TRY_SECONDS)
            else:
                return _Lock(file)
        file.close()
        return None

    def held(self, path: Path) -> bool:
        try:
            with _lock_file(path).open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False


class _Lock:
    """Ends with its process at the latest, so that it is never lost before."""

    def __init__(self, file: IO[bytes]):
        self._file = file

    def lost(self) -> bool:
        return False

    def check(self) -> None:
        return None

    def release(self) -> None:
        self._file.close()


class BeatLeases:
    """Of a heartbeat: a holder whose beat has not changed for `seconds`, by the clock of who looks, is dead."""

    def __init__(self, seconds: float):
        self.patience = seconds
        self._seen: dict[Path, tuple[tuple[int, str], float]] = {}

    def take(self, path: Path) -> "_Beating | None":
        if self.held(path):
            return None
        token = _newest(path) + 1
        if not commit_once(path / _name(token, "json"), pretty_json({"host": platform.node(), "pid": os.getpid()})):
            return None
        return _Beating(path, token, self.patience)

    def held(self, path: Path) -> bool:
        token = _newest(path)
        if token == 0 or (path / _name(token, "ended")).exists():
            self._seen.pop(path, None)
            return False
        now, sign = time.monotonic(), (token, _beat(path, token))
        before, since = self._seen.get(path, (None, now))
        if before != sign:
            since = now
        self._seen[path] = (sign, since)
        if now - since < self.patience:
            return True
        _end(path, token, "broken: no beat")
        return False


class _Beating:
    """A lease whose holder is this process, as long as a thread of it can say so."""

    def __init__(self, path: Path, token: int, seconds: float):
        self._path, self._token, self._seconds = path, token, seconds
        self._beaten, self._stop, self._lost = time.monotonic(), threading.Event(), threading.Event()
        self._beat(0)
        threading.Thread(target=self._go_on, name=f"lease {token}", daemon=True).start()

    def lost(self) -> bool:
        return self._lost.is_set() or time.monotonic() - self._beaten > LATE * self._seconds

    def check(self) -> None:
        if self.lost() or not self._mine():
            self._lost.set()
            raise LeaseLost(f"{self._path.parent} has been taken over by another process")

    def release(self) -> None:
        self._stop.set()
        if self._mine():
            _end(self._path, self._token, "released")

    def _go_on(self) -> None:
        count = 0
        while not self._stop.wait(self._seconds / BEATS):
            count += 1
            try:
                if not self._mine():
                    self._lost.set()
                    return
                self._beat(count)
            except OSError:  # a file server that does not answer: after some time the lease counts as lost
                continue

    def _beat(self, count: int) -> None:
        beat = self._path / _name(self._token, "beat")
        temporary = beat.with_name(f".{beat.name}")
        temporary.write_text(str(count))
        os.replace(temporary, beat)
        self._beaten = time.monotonic()

    def _mine(self) -> bool:
        return _newest(self._path) == self._token and not (self._path / _name(self._token, "ended")).exists()


def _lock_file(path: Path) -> Path:
    """Beside the folder of the other kind, which the directory may have from an engine that it had before."""
    return path.with_name(f"{path.name}.lock")


def _tokens(path: Path) -> Iterator[int]:
    try:
        names = os.listdir(path)
    except (FileNotFoundError, NotADirectoryError):
        return
    yield from (int(name[:-5]) for name in names if name.endswith(".json") and name[:-5].isdigit())


def _newest(path: Path) -> int:
    return max(_tokens(path), default=0)


def _beat(path: Path, token: int) -> str:
    try:
        return (path / _name(token, "beat")).read_text()
    except FileNotFoundError:
        return ""


def _end(path: Path, token: int, why: str) -> None:
    commit_once(path / _name(token, "ended"), json.dumps({"why": why}).encode())


def _name(token: int, kind: str) -> str:
    return f"{token:08d}.{kind}"
