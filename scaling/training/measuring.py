"""Named held-out sets: what a model says of each, committed once beside its horizon; while it is trained or later."""

import logging
from collections.abc import Callable, Mapping

from scaling.config import StudyError
from scaling.data import load_set
from scaling.planning import unmeasured
from scaling.records import (
    Evaluated,
    Horizon,
    Job,
    RunDirectory,
    Trajectory,
    TrajectoryDirectory,
    commit_once,
    pretty_json,
    provenance,
)
from scaling.training.distributed import agreed, barrier, is_first
from scaling.training.evaluation import losses
from scaling.training.kept import KeptModels
from scaling.training.loop import Interrupted, about
from scaling.training.state import Params
from scaling.training.step import Program

LOG = logging.getLogger(__name__)


class NamedSets:
    """The sets of a job, in batches of its shape."""

    def __init__(self, job: Job, sequences: int):
        """RecordError where one is missing or damaged."""
        folder = RunDirectory(job.settings.run_dir).sets
        found = {key: load_set(folder / key) for key in job.settings.sets}
        length = job.trajectories[0].model.sequence_length
        self._sets = {key: (one.record, one.batches(sequences, length)) for key, one in found.items()}

    def measure(
        self, program: Program, params: Params, trajectory: Trajectory, horizon: Horizon, directory: TrajectoryDirectory
    ) -> None:
        """Score the model of `horizon` on each set on which it was not, and commit that once."""
        for key, (record, batches) in self._sets.items():
            path = directory.evaluation(horizon.name, key)
            there = path.exists()
            barrier(f"{path} is looked for")
            if there:
                continue
            score = batches.score(losses(program, params, batches.tokens))
            row = Evaluated(
                trajectory=trajectory.id,
                horizon=horizon.name,
                tokens=horizon.tokens,
                set=record,
                score=score,
                provenance=provenance(),
            )
            if is_first():
                commit_once(path, pretty_json(row.model_dump(mode="json")))
            barrier(f"{path} is committed")


def measure_kept(
    job: Job, program: Program, sets: NamedSets, where: Mapping[str, str], interrupted: Callable[[], bool]
) -> None:
    """Measure the kept models of the job's horizons on its sets, as far as they were not.

    Raises:
      Interrupted: `interrupted` said so.
      StudyError: models are damaged; the others were measured.
    """
    run = RunDirectory(job.settings.run_dir)
    damaged = []
    for trajectory in job.trajectories:
        directory = run.trajectory(trajectory.id)
        left = unmeasured(directory, trajectory, job.settings.sets)
        barrier(f"{trajectory.id} is looked at")
        if not left:
            continue
        like = program.initialise(trajectory.recipe.seed, trajectory.recipe.beta1).params
        models = KeptModels(directory.models, like, about(trajectory), where)
        for horizon in left:
            if agreed(interrupted()):
                raise Interrupted(f"asked to end before {trajectory.id} {horizon.name}")
            params = models.read(horizon)
            if params is None:
                damaged.append(str(directory.models / horizon.name))
            else:
                sets.measure(program, params, trajectory, horizon, directory)
        models.close()
    if damaged:
        raise StudyError(
            f"{len(damaged)} kept model(s) cannot be read and were not measured: {', '.join(damaged)}; remove "
            "them, and train these trajectories again under another --out to have them"
        )
