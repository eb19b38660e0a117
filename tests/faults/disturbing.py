"""Kills of a sweep's processes at moments that its files tell of, and what must be true however often it was killed."""

import hashlib
import json
import math
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from scaling.records import Job, RunDirectory, TrajectoryDirectory, pretty_json, read_json

SWEEPER = Path(__file__).with_name("sweeper.py")
LOOK_SECONDS = 0.001
"""Between two looks for a moment."""
NOTE_SECONDS = 0.5
"""Between two looks at all that is committed, at most."""
DEADLINE = 900.0

Seen = dict[str, object]
"""What the files of one trajectory looked like at the last look."""


def look(directory: TrajectoryDirectory) -> Seen:
    """What can tell a moment from another."""
    folders = list(directory.checkpoints.glob("*/*")) if directory.checkpoints.is_dir() else []
    return {
        "begun": directory.record.exists(),
        "writing": any("tmp" in path.name for path in folders),
        "checkpoints": sum(path.name.isdigit() for path in folders),
        "models": len(list(directory.models.glob("horizon-*"))) if directory.models.is_dir() else 0,
        "commits": len(list(directory.root.glob("horizon-*.json"))),
        "lines": directory.metrics.stat().st_size if directory.metrics.exists() else 0,
    }


MOMENTS: dict[str, Callable[[Seen, Seen], bool]] = {
    "before a checkpoint": lambda before, now: bool(now["writing"]) and not before["writing"],
    "after a checkpoint": lambda before, now: int(str(now["checkpoints"])) > int(str(before["checkpoints"])),
    "before a commit": lambda before, now: int(str(now["models"])) > int(str(before["models"])),
    "after a commit": lambda before, now: int(str(now["commits"])) > int(str(before["commits"])),
    "while it trains": lambda before, now: int(str(now["lines"])) > int(str(before["lines"])),
    "at its start": lambda before, now: bool(now["begun"]) and not before["begun"],
}
"""Of a worker, by what changed between two looks."""
ANY_TIME = "at any time"
BEFORE_INDEX = "between commit and index"
"""Of the sweeper: all is committed, and the index is not written."""


@dataclass
class Kill:
    """One moment, at which one process or all of them were killed."""

    victim: str
    moment: str
    processes: int
    left: dict[str, tuple[int, int]]
    """Trajectory of a process that was killed -> (bytes of its metrics.jsonl, step from which it can go on)."""


class Sweep:
    """A sweep in a process of its own, that is started again however often it is killed."""

    def __init__(self, folder: Path, jobs: Sequence[Job], processes: int = 2):
        folder.mkdir(parents=True, exist_ok=True)
        self.jobs, self.directory = jobs, RunDirectory(jobs[0].settings.run_dir)
        self.directory.root.mkdir(parents=True, exist_ok=True)
        self._listed, self._said = folder / "jobs.json", folder / "sweeper.log"
        self._listed.write_bytes(pretty_json([job.model_dump(mode="json") for job in jobs]))
        self._processes, self.kills = processes, list[Kill]()
        self._known: dict[int, Job | None] = {}
        self.process = self.start()
        self.committed: dict[Path, str] = {}
        self._noted = -math.inf

    def start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, str(SWEEPER), str(self.directory.root), str(self._listed), str(self._processes)]
        with self._said.open("ab") as said:
            return subprocess.Popen(command, stdout=said, stderr=said, stdin=subprocess.DEVNULL)

    def finish(self) -> None:
        """Until it ends by itself, with all done."""
        deadline = time.monotonic() + DEADLINE
        while self.process.poll() is None:
            assert time.monotonic() < deadline, self._said.read_text()
            self._note_commits()
            time.sleep(0.05)
        assert self.process.returncode == 0, self._said.read_text()
        self._note_commits()

    def kill_at(self, victim: str, moment: str, rng: random.Random, patience: float = 20.0) -> bool:
        """SIGKILL a worker, the sweeper, or the sweeper and all workers, at the next such moment; False where all was
        done before it came."""
        rank = rng.random()
        deadline = time.monotonic() + (rng.uniform(0.1, 4.0) if moment == ANY_TIME else patience)
        before = {one.id: look(self.directory.trajectory(one.id)) for job in self.jobs for one in job.trajectories}
        while True:
            if self.process.poll() is not None:
                return False
            if time.monotonic() > self._noted + NOTE_SECONDS:
                self._note_commits()
            due = time.monotonic() > deadline
            chosen = self._pid(victim, moment, before, due, rank)
            if chosen is not None:
                break
            time.sleep(LOOK_SECONDS)
        workers = self._workers()
        struck = list(workers.values()) if victim != "worker" else [workers[chosen]] if chosen in workers else []
        killed = [pid for pid in ([chosen, *workers] if victim == "all" else [chosen]) if _kill(pid)]
        if victim != "worker":
            self.process.wait()
            self._until_workers_are_gone()
        else:
            _until_gone(chosen)
        # A worker may be started again at once, but trains nothing before it has imported JAX.
        ids = [one.id for job in struck for one in job.trajectories]
        left = {name: _left(self.directory.trajectory(name)) for name in ids}
        self.kills.append(Kill(victim, ANY_TIME if due else moment, len(killed), left))
        if victim != "worker":
            self.process = self.start()
        return True

    def _pid(self, victim: str, moment: str, before: dict[str, Seen], due: bool, rank: float) -> int | None:
        """Whom to kill now; None where the moment has not come."""
        workers = self._workers()
        if victim == "sweeper" and moment == BEFORE_INDEX:
            whole = all(self.directory.trajectory(one.id).horizon(horizon).exists()
                        for job in self.jobs for one in job.trajectories for horizon in one.horizons)  # fmt: skip
            return self.process.pid if whole and not self.directory.observations.exists() else None
        if moment == ANY_TIME or due:
            if not due or not workers:
                return None
            return list(workers)[int(rank * len(workers))] if victim == "worker" else self.process.pid
        for pid, job in workers.items():
            for one in job.trajectories:
                now = look(self.directory.trajectory(one.id))
                if MOMENTS[moment](before[one.id], now):
                    return pid if victim == "worker" else self.process.pid
                before[one.id] = now
        return None

    def _workers(self) -> dict[int, Job]:
        """Pid -> job of each worker of this sweep."""
        pid = self.process.pid  # its main thread starts them; the kernel's list is read far sooner than all processes
        try:
            pids = [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        except FileNotFoundError:
            return {}
        self._known = {pid: self._known.get(pid) or self._job_of(pid) for pid in pids}
        return {pid: job for pid, job in self._known.items() if job is not None}

    def _job_of(self, pid: int) -> Job | None:
        named = {f"{job.name}.json": job for job in self.jobs}
        try:
            words = psutil.Process(pid).cmdline()
        except psutil.Error:
            return None
        return next((named[Path(word).name] for word in words if Path(word).name in named), None)

    def _until_workers_are_gone(self) -> None:
        for process in psutil.process_iter(["cmdline"]):
            if str(self.directory.jobs) in " ".join(process.info["cmdline"] or []):
                _until_gone(process.pid)

    def _note_commits(self) -> None:
        """Every committed file, whole and never changed again."""
        self._noted = time.monotonic()
        for path in self.directory.trajectories.glob("*/horizon-*.json"):
            content = path.read_bytes()
            digest = hashlib.sha256(content).hexdigest()
            if path not in self.committed:
                json.loads(content)
            assert self.committed.setdefault(path, digest) == digest, f"{path} was written twice"

    def table(self) -> Counter[tuple[str, str]]:
        """How many processes, of whom, when."""
        found: Counter[tuple[str, str]] = Counter()
        for kill in self.kills:
            found[kill.victim, kill.moment] += kill.processes
        return found

    @property
    def killed(self) -> int:
        """Processes, in all."""
        return self.table().total()


def losses(directory: RunDirectory, jobs: Sequence[Job]) -> dict[str, list[tuple[str, float]]]:
    """Trajectory -> its horizons' losses."""
    ids = [one.id for job in jobs for one in job.trajectories]
    return {name: [(row.horizon, row.loss) for row in directory.trajectory(name).observations()] for name in ids}


def repeated_steps(directory: TrajectoryDirectory) -> int:
    """Dispatches that metrics.jsonl shows more than once."""
    lines = [(row["branch"], row["step"]) for row in _whole(directory.metrics.read_bytes())]
    return len(lines) - len(set(lines))


def went_back(kill: Kill, directory: RunDirectory) -> list[str]:
    """Trajectories that went on from before the newest checkpoint that this kill left them."""
    found = []
    for name, (size, step) in kill.left.items():
        metrics = directory.trajectory(name).metrics
        after = next(_whole(metrics.read_bytes()[size:]), None) if metrics.exists() else None
        if after is not None and after["step"] <= step:
            found.append(f"{name}: step {after['step']} after a checkpoint at {step}")
    return found


def _left(directory: TrajectoryDirectory) -> tuple[int, int]:
    """(bytes of metrics.jsonl, the newest step of a checkpoint that is still needed)."""
    done = {path.stem for path in directory.root.glob("horizon-*.json")}
    kept = [path for path in directory.checkpoints.glob("*/*") if path.name.isdigit() and path.parent.name not in done]
    size = directory.metrics.stat().st_size if directory.metrics.exists() else 0
    return size, max((int(path.name) for path in kept), default=0)


def _whole(content: bytes) -> Iterator[dict[str, Any]]:
    """Lines that are JSON: a kill may have torn one."""
    for line in content.split(b"\n"):
        try:
            yield dict(json.loads(line))
        except ValueError:
            continue


def torn(root: Path) -> list[Path]:
    """JSON files that cannot be read, and temporary ones that were left where records lie."""
    found = []
    for path in root.rglob("*.json"):
        if "checkpoints" in path.parts or "models" in path.parts:
            continue
        try:
            read_json(path)
        except Exception:
            found.append(path)
    return found


def _kill(pid: int) -> bool:
    """Whether there was one to kill."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def _until_gone(pid: int) -> None:
    deadline = time.monotonic() + 30.0
    while psutil.pid_exists(pid):
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return
        except psutil.NoSuchProcess:
            return
        assert time.monotonic() < deadline, f"process {pid} goes on"
        time.sleep(0.002)
