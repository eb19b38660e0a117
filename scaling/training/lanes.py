"""Who takes the steps that trajectories ask for: one trajectory at a time, or several side by side.

`Alone` is for CPUs, where the next trajectory begins when the one before has ended. `Together` keeps P lanes of one
stacked state, each with a trajectory of its own somewhere between its first step and its last; when one ends, the next
takes its lane. Both take the same generators, so that checkpoints and records are the same either way.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import jax
import numpy as np

from scaling.planning import Interrupted
from scaling.training.loop import Dispatch, Lane, Steps
from scaling.training.population import Population, stacked
from scaling.training.state import TrainState
from scaling.training.step import Program

Start = Callable[[Lane], Steps]
"""A trajectory that begins, or goes on, in the lane that it is given."""


def run_alone(program: Program, starts: Iterable[Start]) -> None:
    """One after another, on all that `program` runs on.

    Raises:
      Whatever a trajectory raises.
    """
    for start in starts:
        lane = _Whole()
        steps = start(lane)
        dispatch = next(steps, None)
        while dispatch is not None:
            placed = program.placed(dispatch.batches, dispatch.sequences)
            state, losses = program.train(lane.take(), placed, dispatch.count, dispatch.hyper)
            lane.put(state)
            dispatch = _sent(steps, partial(np.asarray, losses, np.float64))


def run_together(population: Population, places: int, starts: Iterable[Start]) -> None:
    """`places` at a time, stepped by one program.

    Raises:
      Interrupted: the job was asked to end; every trajectory that ran has checkpointed where it stands.
      Whatever else a trajectory raises; the others end where their last checkpoint is.
    """
    lanes = _Lanes(population, places)
    try:
        lanes.run(iter(starts))
    finally:
        lanes.close()


class _Whole:
    """A lane that is all there is."""

    _state: TrainState

    def put(self, state: TrainState) -> None:
        self._state = state

    def take(self) -> TrainState:
        return self._state


class _Place:
    """One lane of several."""

    def __init__(self, lanes: "_Lanes", index: int):
        self._lanes, self._index = lanes, index

    def put(self, state: TrainState) -> None:
        self._lanes.put(self._index, state)

    def take(self) -> TrainState:
        return self._lanes.take(self._index)


class _Lanes:
    """The moving parts of one call of `run_together`."""

    def __init__(self, population: Population, places: int):
        self._population, self._places = population, places
        self._state = population.initialise(np.zeros(places, np.int32), np.full(places, 0.9, np.float32))
        self._alive: Any = np.ones(places, bool)
        self._steps: dict[int, Steps] = {}
        self._wanted: dict[int, Dispatch] = {}
        self._ended: Interrupted | None = None

    def put(self, index: int, state: TrainState) -> None:
        self._state = self._population.put(self._state, index, state)
        self._alive = self._population.revive(self._alive, index)

    def take(self, index: int) -> TrainState:
        return self._population.take(self._state, index)

    def run(self, starts: Iterator[Start]) -> None:
        while True:
            for index in range(self._places):
                self._fill(index, starts)
            if not self._wanted:
                break
            # One batch size a dispatch: lanes that want another one wait for the next.
            shapes = {index: dispatch.batches.shape for index, dispatch in self._wanted.items()}
            for shape in dict.fromkeys(shapes.values()):
                self._dispatch([index for index in shapes if shapes[index] == shape])
        if self._ended is not None:
            raise self._ended

    def close(self) -> None:
        for steps in self._steps.values():
            steps.close()

    def _fill(self, index: int, starts: Iterator[Start]) -> None:
        """Put trajectories into an empty lane until one of them wants a step."""
        while index not in self._wanted and self._ended is None:
            try:
                start = next(starts, None)
            except Interrupted as interrupted:
                self._ended = interrupted
                return
            if start is None:
                return
            self._steps[index] = start(_Place(self, index))
            self._resume(index, None)

    def _resume(self, index: int, losses: Any) -> None:
        """Let the trajectory in a lane go on to the next steps that it wants, if there are any."""
        steps = self._steps[index]
        self._wanted.pop(index, None)
        try:
            dispatch = next(steps, None) if losses is None else _sent(steps, losses)
        except Interrupted as interrupted:
            self._ended, dispatch = interrupted, None
        if dispatch is None:
            del self._steps[index]
        else:
            self._wanted[index] = dispatch

    def _dispatch(self, indices: list[int]) -> None:
        any_one = self._wanted[indices[0]]
        batches = np.zeros((self._places, *any_one.batches.shape), any_one.batches.dtype)
        counts, limits = np.zeros(self._places, np.int32), np.full(self._places, np.inf, np.float32)
        hyper = [any_one.hyper] * self._places
        for index in indices:
            wanted = self._wanted[index]
            batches[index], counts[index], limits[index], hyper[index] = (
                wanted.batches,
                wanted.count,
                wanted.limit,
                wanted.hyper,
            )
        self._state, losses, self._alive = self._population.train(
            self._state, batches, counts.max(), counts, stacked(hyper), limits, self._alive
        )
        for index in indices:
            self._resume(index, partial(_row, losses, index))


def _sent(steps: Steps, losses: Callable[[], np.ndarray[Any, Any]]) -> Dispatch | None:
    """What is wanted next; None when all is done."""
    try:
        return steps.send(losses)
    except StopIteration:
        return None


def _row(losses: jax.Array, index: int) -> np.ndarray[Any, Any]:
    return np.asarray(losses, np.float64)[index]
