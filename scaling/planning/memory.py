"""Memory of this machine that jobs may use."""

from pathlib import Path

import psutil

CGROUP = Path("/sys/fs/cgroup")


def available_bytes() -> int:
    """What the system can give without swapping, or what a control group's limit leaves if that is less."""
    free = int(psutil.virtual_memory().available)
    try:
        most = (CGROUP / "memory.max").read_text().strip()
        used = int((CGROUP / "memory.current").read_text())
        told = dict(line.split() for line in (CGROUP / "memory.stat").read_text().splitlines())
    except OSError:  # another system, or the older kind of control groups
        return free
    # Files that were read count as used, and go when room is needed.
    return free if most == "max" else min(free, max(0, int(most) - used + int(told["inactive_file"])))
