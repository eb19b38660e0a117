"""Why a job ended: by the user's own cause, or from outside, which alone is worth another try."""

import signal

from scaling.engines.base import (
    EXIT_BAD_INPUT,
    EXIT_DISK_FULL,
    EXIT_DONE,
    EXIT_ELSEWHERE,
    EXIT_FAILED,
    EXIT_OUTSIDE,
    EXIT_RESUME,
    Ended,
)

WORST_FIRST = (EXIT_DISK_FULL, EXIT_BAD_INPUT, EXIT_FAILED)
"""Statuses that say why all processes of a gang ended, whatever the others saw of it."""
ASKED = 128
"""A shell's status for a process that a signal ended, less the signal."""


def is_outside(ended: Ended) -> bool:
    """Whether something other than the job ended it: a kill, a lost node, a device or file server that is gone."""
    if ended.status is None or ended.words:
        return ended.outside
    return ended.status < 0 or ended.status in (EXIT_OUTSIDE, EXIT_RESUME)


def of_gang(ends: list[Ended]) -> Ended:
    """How a job of several processes ended: the cause, and not what the others saw of it."""
    for status in WORST_FIRST:
        for ended in ends:
            if ended.status == status:
                return ended
    for ended in ends:
        if ended.status not in (EXIT_DONE, EXIT_RESUME):
            return ended
    return next((ended for ended in ends if ended.status != EXIT_DONE), Ended(EXIT_DONE))


def of_shell(status: int) -> Ended:
    """A status as a shell gives it: above 128 a signal ended the process."""
    known = {
        signal.SIGHUP,
        signal.SIGINT,
        signal.SIGABRT,
        signal.SIGKILL,
        signal.SIGTERM,
        signal.SIGBUS,
        signal.SIGSEGV,
    }
    return Ended(ASKED - status) if status - ASKED in known else Ended(status)


def said(ended: Ended) -> str:
    """How it ended, in words that follow the job's name."""
    if ended.words:
        return ended.words
    if ended.status is None:
        return "ended, and nobody saw how"
    if ended.status == EXIT_DONE:
        return "ended as done, but not all of its results are committed"
    if ended.status == EXIT_ELSEWHERE:
        return "found its trajectories held by others, who have not committed them"
    if ended.status == EXIT_RESUME:
        return "was asked to end, or lost one of its processes, before it got any further"
    if ended.status < 0:
        return f"was ended by {_signal(-ended.status)}"
    return f"ended with exit status {ended.status}"


def _signal(number: int) -> str:
    try:
        name = signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
    return f"{name}, as the system does when memory runs out" if name == "SIGKILL" else name
