"""A job's programs, compiled on abstract shapes before there is a batch or a parameter.

What is lowered here is lowered from the same shapes and types as the job's own calls, so that it is the same entry of
the persistent compilation cache: the job that follows compiles nothing.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from scaling.planning import usable_cores
from scaling.records import Job
from scaling.training.job import evaluation_sequences
from scaling.training.loop import hyper_parameters
from scaling.training.mesh import mesh_of
from scaling.training.population import population, stacked
from scaling.training.stacking import least_places
from scaling.training.step import Hyper, Program, program
from scaling.training.stored import checksums_of


@dataclass(frozen=True)
class Ahead:
    """The compiled programs of a job's first trajectory, and of as many as are stepped at once."""

    program: Program
    places: int
    """Trajectories that are stepped at once."""
    initialise: jax.stages.Compiled
    """(seed, beta1) -> state."""
    train: Mapping[int, jax.stages.Compiled]
    """Sequences a batch, each size that occurs -> the training steps of all places."""
    fork: jax.stages.Compiled
    """state -> its copy, of one trajectory."""
    stack: jax.stages.Compiled | None
    """Takes one trajectory's state out of those of all places; None where there is one place."""
    losses: jax.stages.Compiled
    """(params, int32[B, T + 1]) -> losses of an evaluation batch."""
    average: jax.stages.Compiled | None
    """state -> the parameters that are evaluated, where those are not the trained ones."""
    hyper: Hyper
    seconds: float
    """That tracing and compiling took."""

    @property
    def largest(self) -> int:
        """The largest batch, in sequences."""
        return max(self.train)


def compile_ahead(job: Job, mesh: Mesh | None) -> Ahead:
    """Trace and compile, on the devices of `mesh` or the default one, all that the job's first trajectory calls.

    How many trajectories are stepped at once is as the job's settings say; where it is to be measured, the least.

    Raises:
      JaxRuntimeError: the compiler found no room on the devices (RESOURCE_EXHAUSTED), or failed.
    """
    started = time.monotonic()
    first = job.trajectories[0]
    recipe, model = first.recipe, first.model
    one = program(model, recipe.optimizer, mesh, job.settings.compute)
    state = jax.eval_shape(one.initialise, recipe.seed, recipe.beta1)
    hyper = hyper_parameters(first, first.horizons[0], trunk=True)
    held_out = _tokens(evaluation_sequences(model, job.settings.mesh), model.sequence_length + 1)
    averaged = recipe.optimizer == "schedule_free"
    for tree in (state, state.params):  # of checkpoints, and of the models that are kept
        checksums, arrays = checksums_of(tree)
        _compiled(checksums, arrays)
    places = least_places(job.settings.stack, len(job.trajectories), job.settings.mesh.population)
    train, stack = _alone(job, one, state, hyper) if places == 1 else _together(job, mesh, state, hyper, places)
    return Ahead(
        program=one,
        places=places,
        initialise=_compiled(one.initialise, recipe.seed, recipe.beta1),
        train=train,
        fork=_compiled(one.fork, state),
        stack=stack,
        losses=_compiled(one.losses, state.params, held_out),
        average=_compiled(one.evaluated, state) if averaged else None,
        hyper=hyper,
        seconds=time.monotonic() - started,
    )


def _alone(job: Job, one: Program, state: Any, hyper: Hyper) -> tuple[dict[int, jax.stages.Compiled], None]:
    most, length = job.settings.steps_per_dispatch, job.trajectories[0].model.sequence_length + 1
    sizes = job.trajectories[0].recipe.batches.sizes
    return {size: _compiled(one.train, state, _tokens(most, size, length), most, hyper) for size in sizes}, None


def _together(
    job: Job, mesh: Mesh | None, state: Any, hyper: Hyper, places: int
) -> tuple[dict[int, jax.stages.Compiled], jax.stages.Compiled]:
    """The programs of several places, called as lanes.py calls them."""
    first, most = job.trajectories[0], job.settings.steps_per_dispatch
    length = first.model.sequence_length + 1
    several = population(first.model, first.recipe.optimizer, mesh, job.settings.compute)
    given = np.zeros(places, np.int32), np.full(places, 0.9, np.float32)
    _compiled(several.initialise, *given)
    all_of_them = jax.eval_shape(several.initialise, *given)
    alive = np.ones(places, bool)
    rest = (np.zeros(places, np.int32), stacked([hyper] * places), np.zeros(places, np.float32), alive)
    train = {
        size: _compiled(several.train, all_of_them, _tokens(places, most, size, length), np.int32(most), *rest)
        for size in first.recipe.batches.sizes
    }
    _compiled(several.put, all_of_them, 0, state)
    _compiled(several.revive, alive, 0)
    return train, _compiled(several.take, all_of_them, 0)


class Beside:
    """Compiles the next job's programs in a thread of this job's process, while this one trains.

    It is what the training asks, before each trajectory and at every dispatch, whether it is to end: once it has asked
    more often than there are trajectories, its own programs are compiled, and the thread starts. Nothing of the
    training depends on it. Where it would only take time from the training it does nothing: on a CPU whose cores are
    all the training's, and in one of several processes, which compile together or not at all.
    """

    def __init__(self, following: Job, asked: Callable[[], bool], after: int):
        self._following, self._asked, self._left = following, asked, after
        self._thread: threading.Thread | None = None

    def __call__(self) -> bool:
        self._left -= 1
        if self._left == -1 and _worth_it(self._following):
            self._thread = threading.Thread(target=self._compile, name="next job's programs", daemon=True)
            self._thread.start()
        return self._asked()

    @property
    def busy(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def wait(self) -> None:
        """Until the thread is done: the next job would have to wait for the same."""
        if self._thread is not None:
            self._thread.join()

    def _compile(self) -> None:
        # What is wrong with the next job is for that job to say.
        with contextlib.suppress(Exception):
            compile_ahead(self._following, mesh_of(self._following.settings.mesh))
            print(f"compiled the programs of {self._following.name}, the next job", flush=True)


def _worth_it(following: Job) -> bool:
    if following.settings.compilation_cache is None or jax.process_count() > 1:
        return False
    return jax.default_backend() != "cpu" or len(usable_cores()) > jax.local_device_count()


def _compiled(function: Any, *given: Any) -> jax.stages.Compiled:
    compiled: jax.stages.Compiled = function.lower(*given).compile()
    return compiled


def _tokens(*shape: int) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, np.int32)
