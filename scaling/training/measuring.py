"""Named held-out sets: what a model says of each, committed once beside its horizon; while it is trained or later."""

import jax

from scaling.data import load_set
from scaling.records import (
    Evaluated,
    Horizon,
    JobSettings,
    RunDirectory,
    Trajectory,
    TrajectoryDirectory,
    commit_once,
    pretty_json,
    provenance,
)
from scaling.training.distributed import barrier, is_first
from scaling.training.evaluation import losses
from scaling.training.state import Params
from scaling.training.step import Program


class NamedSets:
    """The sets of a job, in batches of one shape."""

    def __init__(self, settings: JobSettings, sequences: int, sequence_length: int):
        """RecordError where one is missing or damaged."""
        folder = RunDirectory(settings.run_dir).sets
        found = {key: load_set(folder / key) for key in settings.sets}
        self._sets = {key: (one.record, one.batches(sequences, sequence_length)) for key, one in found.items()}

    def measure(
        self, program: Program, params: Params, trajectory: Trajectory, horizon: Horizon, directory: TrajectoryDirectory
    ) -> None:
        """Score the model of `horizon` on each set on which it was not, and commit that once."""
        made = {"device": jax.devices()[0].device_kind, "precision": program.how.computing.precision}
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
                provenance=provenance() | made,
            )
            if is_first():
                commit_once(path, pretty_json(row.model_dump(mode="json")))
            barrier(f"{path} is committed")
