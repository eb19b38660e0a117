"""Where the records lie.

A run directory holds

    study.yaml                          the resolved study
    trajectories/<id>/trajectory.json   what is trained, and where it came from
                      metrics.jsonl     one line a report while it trains
                      checkpoints/      Orbax
                      horizon-*.json    one annealed and evaluated model each: the truth
                      diverged.json     where it ended, if it did
    compiled/                           what each program takes, found before it was run
    observations.csv, laws/, report/    indices of the above: they can be rebuilt
    counts.json                         the same, of models with a part of the user's own
    known_entropy.json                  the entropy of synthetic text, found before training
"""

import json
import os
from pathlib import Path
from typing import Any

from scaling.records.atomic import commit_once, read_json
from scaling.records.schema import Horizon, Observation


class RunDirectory:
    """Paths of one run directory, and what its records say."""

    def __init__(self, root: str | Path):
        self.root = Path(root)

    @property
    def study(self) -> Path:
        return self.root / "study.yaml"

    @property
    def lock(self) -> Path:
        return self.root / ".lock"

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def counts(self) -> Path:
        return self.root / "counts.json"

    @property
    def known_entropy(self) -> Path:
        return self.root / "known_entropy.json"

    @property
    def jobs(self) -> Path:
        return self.root / "jobs"

    @property
    def compiled(self) -> Path:
        return self.root / "compiled"

    @property
    def laws(self) -> Path:
        return self.root / "laws"

    @property
    def check(self) -> Path:
        return self.root / "check"

    @property
    def report(self) -> Path:
        return self.root / "report"

    @property
    def observations(self) -> Path:
        return self.root / "observations.csv"

    @property
    def trajectories(self) -> Path:
        return self.root / "trajectories"

    def trajectory(self, trajectory_id: str) -> "TrajectoryDirectory":
        return TrajectoryDirectory(self.trajectories / trajectory_id)

    def trajectory_directories(self) -> list["TrajectoryDirectory"]:
        """Every trajectory that was begun, by name."""
        if not self.trajectories.is_dir():
            return []
        found = (TrajectoryDirectory(path) for path in sorted(self.trajectories.iterdir()))
        return [directory for directory in found if directory.record.exists()]


class TrajectoryDirectory:
    """Paths of one trajectory, and what its records say."""

    def __init__(self, root: Path):
        self.root = root

    @property
    def record(self) -> Path:
        return self.root / "trajectory.json"

    @property
    def metrics(self) -> Path:
        return self.root / "metrics.jsonl"

    @property
    def checkpoints(self) -> Path:
        return self.root / "checkpoints"

    @property
    def diverged(self) -> Path:
        return self.root / "diverged.json"

    @property
    def lock(self) -> Path:
        return self.root / ".lock"

    def commit_diverged(self, content: bytes) -> None:
        """Record, once, that the training loss became NaN or exploded."""
        commit_once(self.diverged, content)

    def horizon(self, horizon: Horizon) -> Path:
        return self.root / f"{horizon.name}.json"

    def observations(self) -> list[Observation]:
        """Every committed horizon, by tokens."""
        rows = [Observation.model_validate(read_json(path)["observation"]) for path in self.root.glob("horizon-*.json")]
        return sorted(rows, key=lambda row: row.tokens)

    def last_metrics(self) -> dict[str, Any] | None:
        """The newest whole line of metrics.jsonl."""
        try:
            with self.metrics.open("rb") as file:
                file.seek(0, os.SEEK_END)
                file.seek(max(0, file.tell() - 4096))
                lines = file.read().split(b"\n")
        except FileNotFoundError:
            return None
        for line in reversed(lines[:-1]):
            try:
                value = json.loads(line)
            except ValueError:
                continue
            if isinstance(value, dict):
                return value
        return None
