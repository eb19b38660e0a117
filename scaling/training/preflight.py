"""What a program takes, from the compiled program itself: bytes of one device, FLOPs, and seconds where it can run.

    memory = state + kept + max(batch + temporaries, evaluation) + process

state and batch are the training step's arguments, which it donates or reads; temporaries are what it allocates beside
them; kept is the trunk's state while a decay is trained. Sources: XLA's buffer assignment (`memory_analysis`) and cost
analysis of the compiled program.
"""

import time
from pathlib import Path
from typing import Any

import jax
import numpy as np
import psutil
from jax.errors import JaxRuntimeError
from jax.sharding import Mesh

from scaling.records import Compiled, CompileRequest, Job, ProgramRequest, Refused, Where, pretty_json, replace
from scaling.training.ahead import Ahead, compile_ahead
from scaling.training.job import configure
from scaling.training.mesh import check_model
from scaling.training.targets import devices_for, memory_limit

MEASURED_SECONDS = 0.15
"""Of training that a speed is measured over."""


def compile_all(request: CompileRequest) -> None:
    """Compile every program of `request`, and write a report of each as soon as it is known.

    Raises:
      StudyError: the mesh does not fit the devices or a model.
    """
    settings = request.programs[0].job.settings
    mesh, where = devices_for(request.target, settings.mesh)
    limit = memory_limit(request.target)
    if where == "here":
        configure(settings.compilation_cache)
    own: int | None = None
    for wanted in request.programs:
        ahead = attempt(wanted, mesh)
        if own is None:  # as a job's: with all that it imports, and a program compiled; of later ones too much is left
            own = psutil.Process().memory_info().rss
        found = ahead if isinstance(ahead, Refused) else report(wanted, ahead, where, limit, own)
        for path in wanted.reports:
            replace(Path(path), pretty_json(found.model_dump(mode="json")))


def attempt(wanted: ProgramRequest, mesh: Mesh | None) -> Ahead | Refused:
    """The compiled programs, or what the compiler says where the devices of `mesh` cannot hold them.

    Raises:
      StudyError: the mesh cannot hold the model's heads or split its batch.
    """
    first = wanted.job.trajectories[0]
    for sequences in first.recipe.batches.sizes:
        check_model(wanted.job.settings.mesh, first.model, sequences)
    try:
        return compile_ahead(wanted.job, mesh)
    except JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        reason = str(error).splitlines()[0][:300]
        return Refused(key=wanted.key, device=_devices(mesh)[0].device_kind, refused=reason)


def report(wanted: ProgramRequest, ahead: Ahead, where: Where, limit: int | None, own: int) -> Compiled:
    """What the programs take on devices of `limit` bytes each; `own` are those of this process."""
    job, devices = wanted.job, _devices(ahead.program.mesh)
    first = job.trajectories[0]
    fullest = ahead.train[ahead.largest]
    one, train, counted = _memory(ahead.fork).argument_size_in_bytes, _memory(fullest), _flops(fullest)
    state = one if ahead.stack is None else _memory(ahead.stack).argument_size_in_bytes
    found = Compiled(
        key=wanted.key,
        where=where,
        device=devices[0].device_kind,
        devices=len(devices),
        state_bytes=state,
        places=ahead.places,
        kept_bytes=ahead.places * one if any(horizon.decay_steps for horizon in first.horizons) else 0,
        batch_bytes=train.argument_size_in_bytes - state,
        temporary_bytes=max(map(_beside, ahead.train.values())),
        evaluation_bytes=_evaluation(ahead, job),
        process_bytes=own if where == "here" and limit is None else 0,
        limit_bytes=limit,
        flops_per_step=float(first.flops_per_token_exact) * ahead.places * ahead.largest * first.model.sequence_length,
        compiled_flops_per_step=None if counted is None else counted * len(devices),
        compile_seconds=ahead.seconds,
        cached=where == "here" and job.settings.compilation_cache is not None,
        seconds_per_step=None,
    )
    room = psutil.virtual_memory().available if limit is None else limit
    if where != "here" or ahead.places > 1 or found.memory_bytes > room:
        return found
    return found.model_copy(update={"seconds_per_step": seconds_per_step(job, ahead)})


def seconds_per_step(job: Job, ahead: Ahead) -> float:
    """Seconds of an optimiser step with the largest batch, over as many as take MEASURED_SECONDS, one dispatch at most;
    on no text. One trajectory at a time."""
    first, most, train = job.trajectories[0], job.settings.steps_per_dispatch, ahead.train[ahead.largest]
    rows = len(ahead.program.rows(ahead.largest))
    tokens = np.zeros((most, rows, first.model.sequence_length + 1), np.int32)
    batches = ahead.program.placed(tokens, ahead.largest)
    state = ahead.initialise(first.recipe.seed, first.recipe.beta1)

    def seconds(state: Any, count: int) -> tuple[Any, float]:
        started = time.monotonic()
        state, losses = train(state, batches, count, ahead.hyper)
        jax.block_until_ready(losses)
        return state, time.monotonic() - started

    state, _ = seconds(state, 1)
    state, once = seconds(state, 1)
    count = max(1, min(most, int(MEASURED_SECONDS / max(once, 1e-6))))
    _, spent = seconds(state, count)
    return spent / count


def _devices(mesh: Mesh | None) -> list[Any]:
    return [jax.local_devices()[0]] if mesh is None else list(mesh.devices.flat)


def _evaluation(ahead: Ahead, job: Job) -> int:
    """Beside the states: a batch, what is allocated on the way, the losses, and averaged parameters if there are."""
    batch = ahead.losses.in_avals[0][1]
    own = batch.size * batch.dtype.itemsize // (job.settings.mesh.data * job.settings.mesh.fsdp)
    averaged = 0 if ahead.average is None else _memory(ahead.average).output_size_in_bytes
    return int(own + averaged + _beside(ahead.losses))


def _beside(program: jax.stages.Compiled) -> int:
    """Bytes that one call allocates beside its arguments."""
    found = _memory(program)
    return int(found.temp_size_in_bytes + found.output_size_in_bytes - found.alias_size_in_bytes)


def _memory(program: jax.stages.Compiled) -> Any:
    return program.memory_analysis()


def _flops(program: jax.stages.Compiled) -> float | None:
    cost = program.cost_analysis()
    return None if not cost else cost.get("flops")
