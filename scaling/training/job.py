"""A job: trajectories of one shape, in one process group that compiles their program once."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import jax

from scaling.config import MeshConfig, ModelConfig, StudyError, changed
from scaling.data import EvaluationBatches, Tokens, TrainingBatches, domains_of, load
from scaling.planning import in_turn, left_in, usable_cores
from scaling.records import (
    Horizon,
    Job,
    Lease,
    LeaseLost,
    RunDirectory,
    Trajectory,
    TrajectoryDirectory,
    commit_horizon,
    commit_trajectory,
)
from scaling.training import distributed
from scaling.training.distributed import barrier, is_first
from scaling.training.evaluation import evaluate
from scaling.training.giving_up import give_up
from scaling.training.kept import KeptModels, is_kept
from scaling.training.lanes import run_alone, run_together
from scaling.training.loop import Lane, Steps, Task, about, train
from scaling.training.measuring import NamedSets
from scaling.training.mesh import check_model, mesh_of
from scaling.training.observing import made_by, observe
from scaling.training.population import Population, population
from scaling.training.stacking import places, steps_per_second
from scaling.training.state import TrainState
from scaling.training.step import Program, program

LOG = logging.getLogger(__name__)
EVALUATION_TOKENS = 4096
"""Tokens of one evaluation batch, at most: so many that a batch is worth a dispatch, so few that logits stay small."""


class JobError(RuntimeError):
    """A job that does not fit the tokens it points to."""


def run(job: Job, interrupted: Callable[[], bool] = lambda: False) -> None:
    """Train every trajectory of `job` to its horizons, from wherever it was left.

    Raises:
      Interrupted: `interrupted` said so; where the trajectory stands is checkpointed.
      Elsewhere: what is left of it other jobs train.
      JobError: the tokens on disk are not those that the trajectories name.
      RecordError: a named set is missing or damaged.
      StudyError: the mesh cannot hold the model, or steps several trajectories at once in several processes; a part of
        the user's own has another source than when it was planned.
      OSError: nothing more can be written.
    """
    configure(job.settings.compilation_cache)
    tokens = load(job.settings.tokens_dir)
    first = job.trajectories[0]
    model = first.model
    refuse_other_source(job)
    for trajectory in job.trajectories:
        for sequences in trajectory.recipe.batches.sizes:
            check_model(job.settings.mesh, trajectory.model, sequences)
        _refuse_mismatch(job, trajectory, tokens)
    mesh = mesh_of(job.settings.mesh)
    compiled = program(model, first.recipe.optimizer, mesh, job.settings.compute)
    sequences = evaluation_sequences(model, job.settings.mesh)
    sets = NamedSets(job.settings, sequences, model.sequence_length)
    held_out = EvaluationBatches(tokens.validation, tokens.validation_documents, sequences, model.sequence_length)

    def start(trajectory: Trajectory, lease: Lease | None, lane: Lane) -> Steps:
        directory = RunDirectory(job.settings.run_dir).trajectory(trajectory.id)
        try:
            if is_first():
                commit_trajectory(directory, trajectory)
            barrier(f"{trajectory.id} is ours")
            task = _task(job, trajectory, directory, tokens, compiled, held_out, sets, where, lease)
            yield from train(replace(task, interrupted=interrupted), lane)
        except LeaseLost as lost:
            LOG.warning("%s", lost)
        finally:
            if lease is not None:
                lease.release()

    @cache
    def together() -> Population:
        return population(model, first.recipe.optimizer, mesh, job.settings.compute)

    def speed(count: int) -> float | None:
        return steps_per_second(together(), first, job.settings.steps_per_dispatch, count)

    count = places(job.settings.stack, _unfinished(job), job.settings.mesh.population, speed)
    where = where_of(job, compiled, count)
    for held in in_turn(job, interrupted, distributed):
        starts = (partial(start, trajectory, lease) for trajectory, lease in held)
        if count == 1:
            run_alone(compiled, starts)
        else:
            run_together(together(), count, starts)


def where_of(job: Job, compiled: Program, together: int) -> dict[str, str]:
    """What the last digits of a result depend on."""
    mesh = job.settings.mesh.model_dump()
    return {
        "device": jax.devices()[0].device_kind,
        "jax": jax.__version__,
        "cores": str(len(usable_cores())),
        "processes": str(jax.process_count()),
        "mesh": ", ".join(f"{axis} {size}" for axis, size in mesh.items() if size > 1) or "one device",
        "trajectories at once": str(together),
        "precision": compiled.how.computing.precision,
    }


def _unfinished(job: Job) -> int:
    """Trajectories with a horizon to train."""
    directory = RunDirectory(job.settings.run_dir)
    return sum(left_in(directory, trajectory, job.settings.keep_forks) > 0 for trajectory in job.trajectories)


def _task(
    job: Job,
    trajectory: Trajectory,
    directory: TrajectoryDirectory,
    tokens: Tokens,
    compiled: Program,
    held_out: EvaluationBatches,
    sets: NamedSets,
    where: Mapping[str, str],
    lease: Lease | None,
) -> Task:
    batches = TrainingBatches(
        tokens.train,
        sequences=trajectory.recipe.batches,
        sequence_length=trajectory.model.sequence_length,
        seed=trajectory.recipe.seed,
        domains=domains_of(tokens.record, trajectory.recipe.mixture),
    )

    def commit(horizon: Horizon, state: TrainState) -> None:
        """The horizon's own file comes last: where it is, all is."""
        params = compiled.evaluated(state)
        domains = domains_of(tokens.record, trajectory.recipe.mixture)
        score = evaluate(compiled, params, held_out, trajectory.metrics, domains, tokens.validation_bytes)
        sets.measure(compiled, params, trajectory, horizon, directory)
        if is_kept(job.settings.keep_models, trajectory, horizon):
            models = KeptModels(directory.models, params, about(trajectory), where)
            models.keep(horizon, params)
            models.close()
        task.check_lease()
        tail = float(state.tail_loss) / (horizon.steps - trajectory.tail_start(horizon))
        row = observe(trajectory, horizon, tokens, score, tail)
        if is_first():
            commit_horizon(directory, trajectory, horizon, row, made_by(compiled))
        barrier(f"{horizon.name} is committed")

    def hopeless(horizon: Horizon) -> bool:
        return give_up(RunDirectory(job.settings.run_dir), trajectory, horizon, job.settings.stop_above)

    task = Task(trajectory, directory, compiled, batches, job.settings, commit, where, lease=lease, hopeless=hopeless)
    return task


def refuse_other_source(job: Job) -> None:
    """StudyError where a part of the user's own has another source than when the job was planned."""
    for part in {part for trajectory in job.trajectories for part in trajectory.own}:
        different = changed(part)
        if different is not None:
            raise StudyError(
                f"{job.name} was planned with {part!r} as it was: {different}; put the source back, or run the study "
                "again under another --out"
            )


def _refuse_mismatch(job: Job, trajectory: Trajectory, tokens: Tokens) -> None:
    first = job.trajectories[0]
    if trajectory.data != tokens.record:
        raise JobError(
            f"{trajectory.id} trains on tokens {trajectory.data.fingerprint[:12]}, but {job.settings.tokens_dir} "
            f"holds {tokens.record.fingerprint[:12]}; start the study again"
        )
    if trajectory.shape != first.shape:
        raise JobError(f"{trajectory.id} has another shape than {first.id}; make it a job of its own")


def evaluation_sequences(model: ModelConfig, mesh: MeshConfig) -> int:
    """Sequences of one evaluation batch: as many in each part of it."""
    parts = mesh.data * mesh.fsdp
    return parts * max(1, EVALUATION_TOKENS // (model.sequence_length * parts))


def configure(compilation_cache: str | None) -> None:
    """Keep every compiled program in a folder, however small it is; nothing without one."""
    if compilation_cache is None:
        return
    jax.config.update("jax_compilation_cache_dir", str(Path(compilation_cache).expanduser()))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
