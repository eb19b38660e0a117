"""Records: what crosses between processes and stays on disk. Plain JSON, committed once. No JAX.

A run directory holds

    study.yaml                          the resolved study
    trajectories/<id>/trajectory.json   what is trained, and where it came from
                      metrics.jsonl     one line a report while it trains
                      checkpoints/      Orbax
                      horizon-*.json    one annealed and evaluated model each: the truth
                      diverged.json     where it ended, if it did
    observations.csv, laws/, report/    indices of the above: they can be rebuilt
"""

import errno
import fcntl
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from scaling.config import AccountingConfig, ModelConfig, Part

SCHEMA = 1
"""Version of every record here; a reader refuses a newer one by name."""

Role = Literal["fit", "check"]


class RecordError(RuntimeError):
    """A record on disk that cannot be read, or that another writer holds. The message names the file."""


class DataRecord(Part):
    """What was trained on, as it enters a trajectory's identity."""

    fingerprint: str
    """SHA-256 of the training and validation tokens."""
    tokenizer: str
    """The tokeniser and its hash."""
    train_tokens: int
    """Unique training tokens."""
    validation_tokens: int
    """Held-out tokens."""


class Recipe(Part):
    """One trajectory's resolved training settings: everything that can change its trunk."""

    learning_rate: float
    sequences: int
    """Sequences a batch."""
    warmup_tokens: int
    weight_decay: float
    beta1: float
    beta2: float
    epsilon: float
    gradient_clip: float
    divergence_factor: float
    seed: int
    """Of the initial weights and the data order."""


class Horizon(Part):
    """A token budget at which the trunk is annealed and evaluated."""

    tokens: int
    """D: tokens seen by the annealed model, decay included."""
    steps: int
    """Optimiser steps up to D."""
    decay_steps: int
    """The last steps of those, in which the rate falls to zero."""
    decay_shape: Literal["linear", "1-sqrt"]
    budget: float
    """The nominal budget in FLOPs that this horizon belongs to."""

    @property
    def fork_step(self) -> int:
        """Steps of the trunk before the decay branches off."""
        return self.steps - self.decay_steps

    @property
    def name(self) -> str:
        """File name stem: readable, and unique to the horizon's own settings (the budget is not one of them)."""
        own = self.model_dump(mode="json", exclude={"budget"})
        return f"horizon-{self.tokens}-{content_hash(own)[:8]}"


class Trajectory(Part):
    """One model trained with one recipe; its horizons are not part of its identity."""

    model: ModelConfig
    recipe: Recipe
    data: DataRecord
    accounting: AccountingConfig
    role: Role
    params: int
    """N under accounting.params."""
    flops_per_token: int
    """Training FLOPs for each token under accounting.flops."""
    params_with_embeddings: int
    params_non_embedding: int
    flops_per_token_exact: int
    flops_per_token_causal: int
    horizons: tuple[Horizon, ...]

    @property
    def identity(self) -> dict[str, Any]:
        """The settings that change the trunk's result, as plain data."""
        return {
            "schema": SCHEMA,
            "model": self.model.model_dump(mode="json"),
            "recipe": self.recipe.model_dump(mode="json"),
            "data": self.data.model_dump(mode="json"),
        }

    @property
    def id(self) -> str:
        """A readable slug and a hash of the identity."""
        return f"w{self.model.width}-l{self.model.layers}-s{self.recipe.seed}-{content_hash(self.identity)[:10]}"

    @property
    def batch_tokens(self) -> int:
        return self.recipe.sequences * self.model.sequence_length

    @property
    def last_step(self) -> int:
        return max(horizon.steps for horizon in self.horizons)

    @property
    def training_flops(self) -> float:
        """FLOPs that the trajectory takes: the trunk up to its last fork, and every decay."""
        trunk = max(horizon.fork_step for horizon in self.horizons)
        steps = trunk + sum(horizon.decay_steps for horizon in self.horizons)
        return float(steps) * self.batch_tokens * self.flops_per_token


class JobSettings(Part):
    """How a job runs; nothing here may change a result."""

    run_dir: str
    tokens_dir: str
    steps_per_dispatch: int
    checkpoint_seconds: float
    keep_forks: Literal["last", "all"]
    compilation_cache: str | None


class Job(Part):
    """What one process group runs: trajectories of one shape, which share one compiled program."""

    schema_version: Literal[1] = 1
    name: str
    settings: JobSettings
    trajectories: Annotated[tuple[Trajectory, ...], Field(min_length=1)]

    @property
    def training_flops(self) -> float:
        return sum(trajectory.training_flops for trajectory in self.trajectories)


class Observation(Part):
    """One row of what was learnt: a horizon's N, D, C and loss, under one convention, and where it came from."""

    trajectory: str
    role: Role
    seed: int
    width: int
    layers: int
    params: int
    tokens: int
    flops: float
    budget: float
    loss: float
    """Mean validation cross-entropy in nats a token."""
    loss_se: float
    """Its standard error over held-out documents."""
    bits_per_byte: float
    train_loss: float
    """Mean training loss of the decay's last tenth."""
    params_convention: str
    flops_convention: str
    params_non_embedding: int
    flops_causal: float
    unique_tokens: int
    epochs: float
    """tokens / unique training tokens."""
    steps: int
    decay_steps: int
    learning_rate: float
    batch_tokens: int
    horizon: str


def canonical_json(value: Any) -> bytes:
    """Plain data as JSON with sorted keys: equal data gives equal bytes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def pretty_json(value: Any) -> bytes:
    """Plain data as JSON for people."""
    return (json.dumps(value, indent=2, allow_nan=False) + "\n").encode()


def content_hash(value: Any) -> str:
    """SHA-256 of plain data's canonical JSON, in hexadecimal."""
    return hashlib.sha256(canonical_json(value)).hexdigest()


def commit_once(path: Path, content: bytes) -> bool:
    """Put `content` at `path` whole or not at all, and never over what is there.

    Returns:
      True when this call wrote it; False when `path` was already there (and stays as it was).
    """
    with _durable_temporary(path, content) as temporary:
        try:
            os.link(temporary, path)
        except FileExistsError:
            return False
    _sync_folder(path.parent)
    return True


def replace(path: Path, content: bytes) -> None:
    """Put `content` at `path` whole or not at all, over what is there: for indices that can be rebuilt."""
    with _durable_temporary(path, content) as temporary:
        os.replace(temporary, path)
    _sync_folder(path.parent)


@contextmanager
def _durable_temporary(path: Path, content: bytes) -> Iterator[Path]:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(file.fileno(), 0o644)
            os.fsync(file.fileno())
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def exclusive(path: Path, *, wait: bool, holder: str) -> Iterator[None]:
    """Hold the lock file `path` while the block runs; the lock ends with the process, however it ends.

    Raises:
      RecordError: another process holds it and `wait` is False.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise RecordError(f"{path.parent} is in use by another {holder}; wait for it or end it") from None
        yield


def is_disk_full(error: BaseException) -> bool:
    """Whether an error, or what caused it, says that no space is left."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        if "RESOURCE_EXHAUSTED" in str(seen) and "space" in str(seen) or "No space left" in str(seen):
            return True
        seen = seen.__cause__ or seen.__context__
    return False


def read_json(path: Path) -> Any:
    """A JSON record; RecordError names a file that is damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, UnicodeDecodeError) as error:
        raise RecordError(f"{path} is damaged ({error}); remove it to have it made again") from None


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
    def jobs(self) -> Path:
        return self.root / "jobs"

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

    def horizon(self, horizon: Horizon) -> Path:
        return self.root / f"{horizon.name}.json"

    def observations(self) -> list[Observation]:
        """Every committed horizon, by tokens."""
        rows = [
            Observation.model_validate(read_json(path)["observation"]) for path in self.root.glob("horizon-*.json")
        ]
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
