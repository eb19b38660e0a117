"""A job that trains nothing: kept models of any shapes, measured on named held-out sets."""

from collections.abc import Callable, Sequence
from itertools import groupby

from scaling.config import StudyError
from scaling.planning import Interrupted, unmeasured
from scaling.records import Job, RunDirectory, Trajectory
from scaling.training.distributed import agreed, barrier
from scaling.training.job import configure, evaluation_sequences, refuse_other_source, where_of
from scaling.training.kept import KeptModels
from scaling.training.loop import about
from scaling.training.measuring import NamedSets
from scaling.training.mesh import check_model, mesh_of
from scaling.training.step import program


def run(job: Job, interrupted: Callable[[], bool] = lambda: False) -> None:
    """Measure the kept models of the job's horizons on its sets, as far as they were not.

    No lock is taken, so that it may run beside training: a result is a file of its own, committed once.

    Raises:
      Interrupted: `interrupted` said so; what was measured stays.
      RecordError: a named set is missing or damaged.
      StudyError: the mesh cannot hold a model; a part of the user's own has another source than when it was planned; or
        models are damaged, which the others' results do not wait for.
      OSError: nothing more can be written.
    """
    configure(job.settings.compilation_cache)
    refuse_other_source(job)
    damaged: list[str] = []
    for _, group in groupby(job.trajectories, key=lambda one: one.shape):
        damaged += _measure(job, list(group), interrupted)
    if damaged:
        raise StudyError(
            f"{len(damaged)} kept model(s) cannot be read and were not measured: {', '.join(damaged)}; remove "
            "them, and train these trajectories again under another --out to have them"
        )


def _measure(job: Job, trajectories: Sequence[Trajectory], interrupted: Callable[[], bool]) -> list[str]:
    """Measure trajectories of one shape; returns the folders of damaged models."""
    first, mesh = trajectories[0], job.settings.mesh
    sequences = evaluation_sequences(first.model, mesh)
    check_model(mesh, first.model, sequences)
    compiled = program(first.model, first.recipe.optimizer, mesh_of(mesh), job.settings.compute)
    sets = NamedSets(job.settings, sequences, first.model.sequence_length)
    damaged = []
    for trajectory in trajectories:
        directory = RunDirectory(job.settings.run_dir).trajectory(trajectory.id)
        left = unmeasured(directory, trajectory, job.settings.sets)
        barrier(f"{trajectory.id} is looked at")
        if not left:
            continue
        like = compiled.initialise(trajectory.recipe.seed, trajectory.recipe.beta1).params
        models = KeptModels(directory.models, like, about(trajectory), where_of(job, compiled, 1))
        for horizon in left:
            if agreed(interrupted()):
                raise Interrupted(f"asked to end before {trajectory.id} {horizon.name}")
            params = models.read(horizon)
            if params is None:
                damaged.append(str(directory.models / horizon.name))
            else:
                sets.measure(compiled, params, trajectory, horizon, directory)
        models.close()
    return damaged
