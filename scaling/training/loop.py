"""One trajectory, from wherever it was left: the trunk, and from it a decay to each horizon not yet committed.

    trunk ----o---------o-------------o      o = fork: checkpointed
               \\decay    \\decay        \\decay, evaluation, horizon-*.json

It is a generator of the optimiser steps that it wants taken, so that it need not know whether they are taken for it
alone or for several trajectories at once (lanes.py). A result depends on nothing but the trajectory: not on dispatch
length, checkpoints or kills, and on neighbours in its last digits only.
"""

import time
from collections.abc import Callable, Generator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from scaling.data import TrainingBatches
from scaling.models import multipliers
from scaling.planning import Interrupted
from scaling.records import (
    Horizon,
    JobSettings,
    Lease,
    LeaseLost,
    Trajectory,
    TrajectoryDirectory,
    content_hash,
    pretty_json,
)
from scaling.training.checkpoints import TRUNK, Checkpoints
from scaling.training.distributed import agreed, any_says, barrier, is_first
from scaling.training.metrics import MetricsFile
from scaling.training.optimizers import Settings
from scaling.training.schedules import NEVER, schedule
from scaling.training.state import TrainState
from scaling.training.step import Hyper, Program


class Diverged(RuntimeError):
    """The training loss became NaN or exploded."""

    def __init__(self, branch: str, step: int, loss: float):
        super().__init__(f"the loss was {loss} at step {step} of {branch}")
        self.branch, self.step, self.loss = branch, step, loss


@dataclass(frozen=True)
class Dispatch:
    """Optimiser steps that a trajectory wants taken on the state in its lane."""

    batches: np.ndarray[Any, Any]
    """int32[K, rows, L + 1]: one batch a step, this process's rows of it."""
    sequences: int
    """Of a whole batch."""
    count: int
    """How many of the K steps."""
    hyper: Hyper
    limit: float
    """A loss above this ends the trajectory."""


Losses = Callable[[], np.ndarray[Any, Any]]
"""Waits for the device: float64[K], the loss of each step."""
Steps = Generator[Dispatch, Losses, None]


class Lane(Protocol):
    """Where the state of a trajectory lies while it trains."""

    def put(self, state: TrainState) -> None:
        """Go on from `state`, which is the lane's from now on."""

    def take(self) -> TrainState:
        """The state as it is now, good until the next dispatch."""


@dataclass(frozen=True)
class Task:
    """What training one trajectory needs."""

    trajectory: Trajectory
    directory: TrajectoryDirectory
    program: Program
    batches: TrainingBatches
    settings: JobSettings
    commit: Callable[[Horizon, TrainState], None]
    """Evaluates an annealed state and commits its horizon."""
    where: Mapping[str, str]
    """Device, mesh and company: what the last digits depend on."""
    interrupted: Callable[[], bool] = lambda: False
    """Whether the job has been asked to end."""
    hopeless: Callable[[Horizon], bool] = lambda _: False
    """Whether the trajectory is given up at a horizon that was just committed; recorded where it is."""
    lease: Lease | None = None
    """That nobody else writes into `directory`; None in processes that write nothing."""

    def check_lease(self) -> None:
        """Before anything is written. LeaseLost, in every process, where another job has taken over."""
        lost: LeaseLost | None = None
        try:
            if self.lease is not None:
                self.lease.check()
        except LeaseLost as error:
            lost = error
        if agreed(lost is not None):
            raise lost or LeaseLost(f"{self.directory.root} has been taken over by another process")


def train(task: Task, lane: Lane) -> Steps:
    """Train `task.trajectory` in `lane` until each of its horizons is committed, or until it diverges.

    Raises:
      Interrupted: the job was asked to end; the next one goes on from here.
      LeaseLost: another job has taken over; nothing was written since.
      OSError: nothing more can be written; all that was committed stays.
    """
    left = [horizon for horizon in task.trajectory.horizons if not task.directory.horizon(horizon).exists()]
    done = not left or task.directory.given_up
    barrier(f"{task.trajectory.id} is read")
    if done:
        return
    initial = task.program.initialise(task.trajectory.recipe.seed, task.trajectory.recipe.beta1)
    checkpoints = Checkpoints(task.directory.checkpoints, initial, about(task.trajectory), task.where)
    left.sort(key=lambda horizon: horizon.fork_step)
    state = checkpoints.restore(TRUNK, at_most=left[0].fork_step) or initial
    del initial  # or it would be kept beside a restored one
    with MetricsFile(task.directory.metrics) if is_first() else nullcontext() as metrics:
        run = _Run(task, lane, checkpoints, metrics)
        try:
            for horizon in left:
                state = yield from run.advance(TRUNK, state, horizon.fork_step, horizon)
                task.check_lease()
                checkpoints.save(TRUNK, state)
                yield from run.anneal(state, horizon)
                run.tidy(horizon)
                if agreed(is_first() and horizon is not left[-1] and task.hopeless(horizon)):
                    break
        except Diverged as diverged:
            task.check_lease()
            record = {"branch": diverged.branch, "step": diverged.step, "loss": repr(diverged.loss)}
            if is_first():
                task.directory.commit_diverged(pretty_json(record))
        except (
            Interrupted,
            LeaseLost,
            GeneratorExit,
        ):  # what is being written is on disk before the lease is given back
            checkpoints.close()
            raise
    checkpoints.close()


class _Run:
    """The moving parts of one call of `train`."""

    def __init__(self, task: Task, lane: Lane, checkpoints: Checkpoints, metrics: MetricsFile | None):
        self.task, self.lane, self.checkpoints, self.metrics = task, lane, checkpoints, metrics
        self.saved_at, self.saved_step = time.monotonic(), 0
        self.limit = task.trajectory.recipe.divergence_factor * float(np.log(task.trajectory.model.vocabulary))

    def anneal(self, fork: TrainState, horizon: Horizon) -> Steps:
        """Decay from a fork of the trunk, which stays usable, if there is a decay; evaluate; commit."""
        if not horizon.decay_steps:
            return self.task.commit(horizon, fork)
        state = self.checkpoints.restore(horizon.name, at_most=horizon.steps)
        if state is None:
            state = self.task.program.fork(fork)
        state = yield from self.advance(horizon.name, state, horizon.steps, horizon)
        self.task.commit(horizon, state)

    def tidy(self, horizon: Horizon) -> None:
        """Drop the checkpoints that a committed horizon no longer needs."""
        self.checkpoints.drop(horizon.name)
        if self.task.settings.keep_forks == "last":
            done = [one.fork_step for one in self.task.trajectory.horizons if self.task.directory.horizon(one).exists()]
            self.checkpoints.keep(TRUNK, {max(done, default=horizon.fork_step)})

    def advance(
        self, branch: str, state: TrainState, until: int, horizon: Horizon
    ) -> Generator[Dispatch, Losses, TrainState]:
        """Train up to step `until` on the way to `horizon`.

        Losses are read one dispatch late, so that the device never waits for the host.
        """
        trajectory, most = self.task.trajectory, self.task.settings.steps_per_dispatch
        hyper = hyper_parameters(trajectory, horizon, trunk=branch == TRUNK)
        step, pending, sizes = int(state.step), None, trajectory.recipe.batches
        self.saved_step = step
        self.lane.put(state)
        while step < until:
            sequences = sizes.at(step)
            rows = self.task.program.rows(sequences)
            count = min(most - step % most, until - step, (sizes.same_until(step) or until) - step)
            batches = np.zeros((most, len(rows), trajectory.model.sequence_length + 1), np.int32)
            batches[:count] = self.task.batches.dispatch(step, count, rows)
            losses = yield Dispatch(batches, sequences, count, hyper, self.limit)
            self._report(branch, pending)
            pending = (step, count, losses, time.monotonic())
            step += count
            lost = self.task.lease is not None and self.task.lease.lost()
            interrupted, lost = any_says(self.task.interrupted(), lost)
            if lost:
                raise LeaseLost(f"{self.task.directory.root} has been taken over by another process")
            if step < until and (interrupted or agreed(self._due(step))):
                self._report(branch, pending)
                pending = None
                self._checkpoint(branch, self.lane.take())
                if interrupted:
                    raise Interrupted(f"asked to end at step {step} of {branch}")
        self._report(branch, pending)
        return self.lane.take()

    def _due(self, step: int) -> bool:
        """Whether a checkpoint is: by time, or by step."""
        settings = self.task.settings
        late = time.monotonic() - self.saved_at > settings.checkpoint_seconds
        return late or (settings.checkpoint_steps is not None and step - self.saved_step >= settings.checkpoint_steps)

    def _checkpoint(self, branch: str, state: TrainState) -> None:
        self.task.check_lease()
        before = set(self.checkpoints.steps(branch))
        self.checkpoints.save(branch, state)
        forks = {horizon.fork_step for horizon in self.task.trajectory.horizons} if branch == TRUNK else set()
        self.checkpoints.keep(branch, {int(state.step)} | (before & forks))
        self.saved_at, self.saved_step = time.monotonic(), int(state.step)

    def _report(self, branch: str, pending: tuple[int, int, Losses, float] | None) -> None:
        """Read the losses of a dispatch; write them down.

        Raises:
          Diverged: at the first step whose loss is not finite, or above the recipe's limit.
        """
        if pending is None:
            return
        first, count, losses, started = pending
        values = losses()[:count]
        bad = np.flatnonzero(~(values <= self.limit))
        if bad.size:
            raise Diverged(branch, first + int(bad[0]), float(values[bad[0]]))
        trajectory = self.task.trajectory
        tokens = trajectory.tokens_at(first + count) - trajectory.tokens_at(first)
        line: dict[str, Any] = {
            "branch": branch,
            "step": first + count,
            "tokens": trajectory.tokens_at(first + count),
            "loss": round(float(values.mean()), 6),
            "tokens_per_second": round(tokens / (time.monotonic() - started)),
            "time": round(time.time(), 3),
        }
        if self.metrics is not None:
            self.metrics.write(line)


def about(trajectory: Trajectory) -> dict[str, str]:
    """What a checkpoint of `trajectory` must agree with, by name."""
    return {
        "model": content_hash(trajectory.model.model_dump(mode="json")),
        "recipe": content_hash(trajectory.recipe.identity),
        "text": trajectory.data.fingerprint,
        "tokenizer": trajectory.data.tokenizer,
    }


def hyper_parameters(trajectory: Trajectory, horizon: Horizon, trunk: bool) -> Hyper:
    """The traced numbers on the way to `horizon`, along the trunk or through its decay."""
    measured = not trunk or not horizon.decay_steps
    recipe = trajectory.recipe
    return Hyper(
        schedule=schedule(recipe, trajectory.model.sequence_length, None if trunk else horizon),
        optimizer=Settings(
            beta1=recipe.beta1,
            beta2=recipe.beta2,
            epsilon=recipe.epsilon,
            momentum=recipe.momentum,
            weight_decay=recipe.weight_decay,
            peak=recipe.learning_rate if recipe.independent_weight_decay else 0.0,
            gradient_clip=recipe.gradient_clip,
        ),
        scales=multipliers(trajectory.model),
        tail_start=float(trajectory.tail_start(horizon)) if measured else NEVER,
    )
