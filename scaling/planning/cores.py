"""Cores for jobs that a scheduler puts side by side without saying which are whose."""

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

TAKEN: list[int] = []
"""Open locks of this process, which hold for as long as it lives."""


def take_cores(count: int, usable: Sequence[int]) -> set[int]:
    """`count` of the cores `usable`, others than its neighbours' as far as there are enough; all where there are fewer.

    A core is taken by a lock in the machine's temporary folder, as long as the process lives. Neighbours that do not
    share that folder start their search at a core of their own.
    """
    groups = [usable[at : at + count] for at in range(0, len(usable) - count + 1, count)] or [usable]
    first = os.getpid() % len(groups)
    for group in (*groups[first:], *groups[:first]):
        if _take(group):
            return set(group)
    return set(groups[first])


def _take(group: Sequence[int]) -> bool:
    locks: list[int] = []
    with contextlib.suppress(OSError):
        folder = Path(tempfile.gettempdir()) / f"scaling-cores-{os.getuid()}"
        folder.mkdir(mode=0o700, exist_ok=True)
        for core in group:
            locks.append(os.open(folder / str(core), os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o600))
            fcntl.flock(locks[-1], fcntl.LOCK_EX | fcntl.LOCK_NB)
        TAKEN.extend(locks)
        return True
    for lock in locks:
        os.close(lock)
    return False
