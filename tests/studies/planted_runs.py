"""Run directories whose losses follow a known law, as if every run had been trained."""

import math
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from scaling.records import Horizon, RunDirectory, Trajectory, content_hash, observation_of, pretty_json

LossOf = Callable[[Trajectory, Horizon], float]
CURVATURE = 0.03
"""ln L rises by half of it times the square of ln (setting / best)."""


def best_rate(params: float, tokens: float) -> float:
    return 6e-3 * (params / 1e4) ** -0.6 * (tokens / 1e5) ** 0.3


def best_batch(tokens: float) -> float:
    return 256 * (tokens / 2e5) ** 0.5


def loss_at(params: float, tokens: float) -> float:
    """Of a run with the best settings."""
    return 1.2 + 65 / params**0.4 + 490 / tokens**0.45


def planted(noise: float = 5e-4, batch: bool = False) -> LossOf:
    """The law, a bowl about the best learning rate (and batch size), and noise that is the run's own."""

    def loss(trajectory: Trajectory, horizon: Horizon) -> float:
        off = math.log(trajectory.recipe.learning_rate / best_rate(trajectory.params, horizon.tokens)) ** 2
        off += math.log(trajectory.batch_tokens / best_batch(horizon.tokens)) ** 2 if batch else 0.0
        seed = int(content_hash([trajectory.id, horizon.name])[:8], 16)
        scatter = noise * float(np.random.default_rng(seed).standard_normal())
        return loss_at(trajectory.params, horizon.tokens) * math.exp(CURVATURE * off / 2 + scatter)

    return loss


def train(directory: RunDirectory, trajectories: Iterable[Trajectory], loss_of: LossOf) -> int:
    """Commit every horizon that is not there yet; how many that were. A loss that is infinite is a divergence."""
    trained = 0
    for one in trajectories:
        records = directory.trajectory(one.id)
        records.root.mkdir(parents=True, exist_ok=True)
        if not records.record.exists():
            records.record.write_bytes(pretty_json(one.model_dump(mode="json") | {"id": one.id}))
        for horizon in one.horizons:
            path, loss = records.horizon(horizon), loss_of(one, horizon)
            if math.isinf(loss):
                records.commit_diverged(pretty_json({"step": 1, "loss": 9.9}))
            elif not path.exists():
                told = {"horizon": horizon.model_dump(mode="json"), "observation": _observed(one, horizon, loss)}
                path.write_bytes(pretty_json(told))
                trained += 1
    return trained


def _observed(one: Trajectory, horizon: Horizon, loss: float) -> dict[str, object]:
    measured = {"loss": loss, "loss_se": 0.001, "bits_per_byte": None, "train_loss": loss}
    return observation_of(one, horizon, **measured).model_dump(mode="json")


def made(root: Path) -> RunDirectory:
    root.mkdir(parents=True, exist_ok=True)
    return RunDirectory(root)
