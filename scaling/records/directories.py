"""Where the records lie.

A run directory holds

    study.yaml                          the resolved study
    trajectories/<id>/trajectory.json   what is trained, and where it came from
                      metrics.jsonl     one line a report while it trains
                      checkpoints/      Orbax
                      horizon-*.json    one annealed and evaluated model each: the truth
                      models/<horizon>  its parameters, kept to be measured again
                      evaluations/<horizon>/<set>.json    what was measured of it on a named set, committed once
                      diverged.json     where it ended, if it did
                      stopped.json      at which horizon it was given up, and by which rule
                      trainer/          of a command of the user's own: its task, its checkpoints, what it answered
    jobs/                               what each job reads, its log, and why it failed where it did
    sets/<set>/                         named held-out sets in tokens; sets.json says which are measured now
    compiled/                           what each program takes, found before it was run
    tuning/<bowls>/                     of a tuned ladder: the law of its bowls, what it was fitted to and what it gives
    observations.csv, laws/, report/    indices of the above: they can be rebuilt
    counts.json                         the same, of models with a part of the user's own
    known_entropy.json                  the entropy of synthetic text, found before training
    simulated.json                      nothing here was trained: its records are those of a simulation
"""

import contextlib
import json
import os
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from scaling.records.atomic import RecordError, commit_once, exclusive, pretty_json, read_json, replace
from scaling.records.failures import Failure
from scaling.records.observation import Observation
from scaling.records.schema import Horizon, Trajectory
from scaling.records.scores import Evaluated, Score


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
    def cancel(self) -> Path:
        """Changes when every sweep of this directory is to end."""
        return self.root / ".cancel"

    @property
    def simulated(self) -> Path:
        """There where nothing was trained: its records are those of a simulation."""
        return self.root / "simulated.json"

    def cancelled(self) -> str:
        """What tells whether it has changed; empty where nobody ever asked."""
        return self.cancel.read_text() if self.cancel.exists() else ""

    def failure(self, job: str) -> Path:
        return self.jobs / f"{job}.failure.json"

    def failures(self) -> list[Failure]:
        """Jobs that failed and were not started again, by name."""
        return [Failure.model_validate(read_json(path)) for path in sorted(self.jobs.glob("*.failure.json"))]

    @property
    def sets(self) -> Path:
        return self.root / "sets"

    @property
    def sets_index(self) -> Path:
        return self.root / "sets.json"

    def current_sets(self) -> dict[str, str]:
        """Name -> key of each named held-out set as it is measured now."""
        return dict(read_json(self.sets_index)) if self.sets_index.exists() else {}

    def name_sets(self, keys: Mapping[str, str]) -> dict[str, str]:
        """Let each name stand for the set of its key from now on; returns what the names stood for before."""
        with exclusive(self.root / ".sets.lock", wait=True, holder="evaluation"):
            before = self.current_sets()
            after = {**before, **keys}
            if after != before:
                replace(self.sets_index, pretty_json(after))
        return before

    @property
    def compiled(self) -> Path:
        return self.root / "compiled"

    @property
    def laws(self) -> Path:
        return self.root / "laws"

    @property
    def tuning(self) -> Path:
        return self.root / "tuning"

    @property
    def check(self) -> Path:
        return self.root / "check"

    @property
    def report(self) -> Path:
        return self.root / "report"

    @property
    def observations(self) -> Path:
        return self.root / "observations.csv"

    @cached_property
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

    METRICS, DIVERGED, STOPPED = "metrics.jsonl", "diverged.json", "stopped.json"

    def __init__(self, root: Path):
        self.root = root

    @property
    def record(self) -> Path:
        return self.root / "trajectory.json"

    @property
    def metrics(self) -> Path:
        return self.root / self.METRICS

    @property
    def checkpoints(self) -> Path:
        return self.root / "checkpoints"

    @property
    def models(self) -> Path:
        return self.root / "models"

    @property
    def diverged(self) -> Path:
        return self.root / self.DIVERGED

    @property
    def stopped(self) -> Path:
        return self.root / self.STOPPED

    @property
    def given_up(self) -> bool:
        """Whether no more of it will be trained, though horizons are left: it diverged, or was stopped."""
        return self.diverged.exists() or self.stopped.exists()

    @property
    def trainer(self) -> Path:
        """What crosses between a job and the user's own command that trains."""
        return self.root / "trainer"

    @property
    def own_checkpoints(self) -> Path:
        """The command's own."""
        return self.trainer / "checkpoints"

    def output(self, horizon: Horizon) -> Path:
        """Where the command answers; committed as the horizon's record when it is whole and as it has to be."""
        return self.trainer / f"{horizon.name}.json"

    @property
    def lease(self) -> Path:
        """Who may train it now; see leases.py."""
        return self.root / ".lease"

    def commit_diverged(self, content: bytes) -> None:
        """Record, once, that the training loss became NaN or exploded."""
        commit_once(self.diverged, content)

    def horizon(self, horizon: Horizon) -> Path:
        return self.root / f"{horizon.name}.json"

    def committed(self) -> Trajectory:
        """The trajectory as it is recorded, with the horizons that are committed.

        Raises:
          RecordError: a record is damaged.
        """
        found = [read_json(path)["horizon"] for path in sorted(self.root.glob("horizon-*.json"))]
        record = read_json(self.record)
        plain = {name: value for name, value in record.items() if name not in ("id", "provenance")}
        return Trajectory.model_validate(plain | {"horizons": found})

    def names(self) -> frozenset[str]:
        """What lies in it now, in one look; nothing where it was never begun."""
        try:
            return frozenset(os.listdir(self.root))
        except FileNotFoundError:
            return frozenset()

    def loss(self, horizon: Horizon) -> float:
        """Validation loss of a committed horizon.

        Raises:
          RecordError: its record is damaged.
        """
        path = self.horizon(horizon)
        try:
            return float(read_json(path)["observation"]["loss"])
        except (KeyError, TypeError, ValueError):
            raise RecordError(f"{path} is damaged (it has no loss); remove it to have it made again") from None

    def evaluation(self, horizon: str, key: str) -> Path:
        """Of the horizon of this name on the set of this key."""
        return self.root / "evaluations" / horizon / f"{key}.json"

    def observations(self, sets: Mapping[str, str] | None = None) -> list[Observation]:
        """Every committed horizon, by tokens; with what was measured of it on `sets`, name -> key."""
        rows = [Observation.model_validate(read_json(path)["observation"]) for path in self.root.glob("horizon-*.json")]
        if sets:
            rows = [row.model_copy(update={"sets": self._scores(row.horizon, sets)}) for row in rows]
        return sorted(rows, key=lambda row: row.tokens)

    def _scores(self, horizon: str, sets: Mapping[str, str]) -> dict[str, Score]:
        paths = {name: self.evaluation(horizon, key) for name, key in sets.items()}
        return {name: Evaluated.model_validate(read_json(path)).score for name, path in paths.items() if path.exists()}

    def newest_checkpoint(self) -> str:
        """What tells whether there is a newer one than at an earlier answer; empty where there is none."""
        if self.own_checkpoints.is_dir():
            return _last_written(self.own_checkpoints)
        found = [(int(path.name), path) for path in self.checkpoints.glob("*/*") if path.name.isdigit()]
        return str(max(found)[1].relative_to(self.root)) if found else ""

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


def _last_written(folder: Path) -> str:
    """When, and which file below `folder`; of those that are still there when they are looked at."""
    found = []
    for path in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            if path.is_file():
                found.append(f"{path.stat().st_mtime_ns} {path.relative_to(folder)}")
    return max(found, default="")
