"""The process of a command: started in a group of its own, which ends with this process however that ends."""

import contextlib
import fcntl
import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from scaling.config import StudyError, unfit

GRACE_SECONDS = 5.0
"""Between asking it to end and ending it."""
GUARD = 'read -r group && { cat >/dev/null; kill -s KILL -- "-$group" 2>/dev/null; }'
"""Waits until its standard input closes, that is until who holds the other end is gone, by SIGKILL too."""


class Signalled(RuntimeError):
    """A signal ended the command."""

    def __init__(self, number: int, message: str):
        super().__init__(message)
        self.number = number


class Trainer:
    """One run of the command. What it says goes where this process's own words go."""

    def __init__(self, words: Sequence[str], task: Path):
        """Start it with the task file as its last word.

        Where the job before was killed, this waits until the command that it had started is gone too.

        Raises:
          StudyError: it cannot be started.
        """
        self._guard = _guard(task.with_name(".running"))
        try:
            self._process = subprocess.Popen(
                [*words, str(task.absolute())], stdin=subprocess.DEVNULL, start_new_session=True
            )
        except OSError as error:
            self._dismiss_guard()
            why = unfit(words[0]) or (
                f"{words[0]}: {error.strerror}; does its first line (#!) name an interpreter that is here?"
            )
            raise StudyError(f"command cannot be started: {why}") from None
        assert self._guard.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._guard.stdin.write(f"{self._process.pid}\n".encode())
            self._guard.stdin.flush()

    def wait(self, seconds: float) -> int | None:
        """Its exit status, negative for a signal; None where it still runs after `seconds`."""
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def ask(self) -> None:
        """Ask it, and all that it started, to checkpoint and end."""
        self._signal(signal.SIGTERM)

    def end(self, grace: float = GRACE_SECONDS) -> None:
        """End it and all that it started: asked first, if there is a grace, then forced. Nothing runs after this."""
        if grace and self._process.poll() is None:
            self.ask()
            self.wait(grace)
        self._signal(signal.SIGKILL)
        self._process.wait()
        self._dismiss_guard()

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)

    def _dismiss_guard(self) -> None:
        self._guard.kill()
        self._guard.wait()
        if self._guard.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._guard.stdin.close()


def _guard(lock: Path) -> subprocess.Popen[bytes]:
    """The guard, which alone holds the lock, so that it is free when what is guarded is gone."""
    with lock.open("a") as file:
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(file, fcntl.LOCK_EX)
        return subprocess.Popen(
            ["sh", "-c", GUARD], stdin=subprocess.PIPE, start_new_session=True, pass_fds=(file.fileno(),)
        )
