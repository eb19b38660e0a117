"""How far a run is, from its files alone: what is committed, and the last line of each metrics.jsonl."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from scaling.config import Study, StudyError, load_study
from scaling.data import load_record
from scaling.planning import Plan, left_of, no_collection
from scaling.records import Failure, Observation, RunDirectory, Trajectory, TrajectoryDirectory, read_job, read_json
from scaling.studies import staged
from scaling.studies.own_parts import counter

State = Literal["waiting", "training", "done", "diverged", "stopped", "failed"]
"""stopped: given up at a horizon by the study's rule. failed: its job ended without its results, and was not started
again."""


@dataclass(frozen=True)
class TrajectoryStatus:
    """One trajectory's progress."""

    trajectory: Trajectory
    state: State
    horizons_done: int
    loss: float | None
    """Validation loss of the largest committed horizon when done, else the newest training loss."""
    tokens_per_second: float | None
    done_flops: float

    @property
    def total_flops(self) -> float:
        return self.trajectory.training_flops

    @property
    def share(self) -> float:
        return min(1.0, self.done_flops / self.total_flops)


@dataclass(frozen=True)
class RunStatus:
    """A run's progress."""

    study: Study
    directory: RunDirectory
    planned: Plan
    trajectories: tuple[TrajectoryStatus, ...]
    """Of every stage, as far as it is planned exactly."""
    failures: tuple[Failure, ...]
    """Jobs that failed, with their cause."""
    laws: tuple[str, ...]
    check: dict[str, Any] | None
    """The newest check's result."""

    @property
    def stage(self) -> str:
        """Of a tuned ladder, which one it is at; empty of other studies."""
        found = staged.current_stage(self.planned, self.directory)
        return "" if found is None else str(found)

    @property
    def done_flops(self) -> float:
        return sum(one.done_flops for one in self.trajectories)

    @property
    def total_flops(self) -> float:
        return sum(one.total_flops for one in self.trajectories)


@no_collection()
def read(root: Path) -> RunStatus:
    """The status of the run directory `root`.

    Raises:
      StudyError: `root` is not a run directory.
    """
    directory = RunDirectory(root)
    if not directory.study.is_file():
        raise StudyError(
            f"{root} is not a run directory: it has no study.yaml; give the folder that `scaling run` wrote"
        )
    study = load_study(directory.study)
    planned = staged.planned(study, load_record(directory.data), counter(study, directory), directory)
    every = [one for stage in staged.stages(planned) for one in stage.trajectories] or planned.trajectories
    failures = [one for one in directory.failures() if _left(directory, one)]
    return RunStatus(
        study=study,
        directory=directory,
        planned=planned,
        trajectories=progress(directory, every, failed_trajectories(directory, failures)),
        failures=tuple(failures),
        laws=tuple(path.stem for path in sorted(directory.laws.glob("*.json"))),
        check=check_result(directory),
    )


def _left(directory: RunDirectory, failure: Failure) -> bool:
    """Whether something of the job is left: a later sweep may have done it as part of another."""
    path = directory.jobs / f"{failure.job}.json"
    return not path.exists() or left_of(read_job(path), directory) > 0


def failed_trajectories(directory: RunDirectory, failures: Iterable[Failure]) -> frozenset[str]:
    """Ids of the trajectories of jobs that failed."""
    paths = (directory.jobs / f"{failure.job}.json" for failure in failures)
    jobs = [read_job(path) for path in paths if path.exists()]
    return frozenset(one.id for job in jobs for one in job.trajectories)


def progress(
    directory: RunDirectory, trajectories: Iterable[Trajectory], failed: Collection[str] = ()
) -> tuple[TrajectoryStatus, ...]:
    """The progress of planned trajectories; those of `failed` that are not done were given up."""
    return tuple(trajectory_progress(directory.trajectory(one.id), one, one.id in failed) for one in trajectories)


def trajectory_progress(directory: TrajectoryDirectory, trajectory: Trajectory, failed: bool) -> TrajectoryStatus:
    """The progress of one planned trajectory, by the records that are committed now."""
    names = directory.names()
    committed = [horizon for horizon in trajectory.horizons if f"{horizon.name}.json" in names]
    left = [horizon for horizon in trajectory.horizons if f"{horizon.name}.json" not in names]
    diverged = directory.DIVERGED in names
    stopped = directory.STOPPED in names
    if diverged or stopped or not left:
        largest = max(committed, key=lambda horizon: horizon.tokens, default=None)
        return TrajectoryStatus(
            trajectory=trajectory,
            state="diverged" if diverged else "stopped" if left else "done",
            horizons_done=len(committed),
            loss=None if largest is None else directory.loss(largest),
            tokens_per_second=None,
            done_flops=trajectory.training_flops,
        )
    last = directory.last_metrics() if directory.METRICS in names else None
    trunk = max((horizon.fork_step for horizon in committed), default=0)
    decay = sum(map(trajectory.decay_tokens, committed))
    if last is not None and last["branch"] == "trunk":
        trunk = max(trunk, int(last["step"]))
    elif last is not None:
        for horizon in left:
            if horizon.name == last["branch"]:
                trunk = max(trunk, horizon.fork_step)
                decay += trajectory.tokens_at(int(last["step"])) - trajectory.tokens_at(horizon.fork_step)
    return TrajectoryStatus(
        trajectory=trajectory,
        state="failed" if failed else _begun(directory, trajectory, last),
        horizons_done=len(committed),
        loss=None if last is None else float(last["loss"]),
        tokens_per_second=None if last is None else float(last["tokens_per_second"]),
        done_flops=float(trajectory.tokens_at(trunk) + decay) * trajectory.flops_per_token,
    )


def _begun(directory: TrajectoryDirectory, trajectory: Trajectory, last: dict[str, Any] | None) -> State:
    """A command of the user's own writes no losses while it trains."""
    return "training" if last or (trajectory.command and directory.record.exists()) else "waiting"


def check_result(directory: RunDirectory) -> dict[str, Any] | None:
    """The newest check that was measured."""
    results = sorted(directory.check.glob("*/result.json"), key=lambda path: path.stat().st_mtime)
    return read_json(results[-1]) if results else None


def observations(directory: RunDirectory, planned: Plan | None = None) -> tuple[list[Observation], list[str]]:
    """(every committed horizon of trajectories that did not diverge, in the roles that they have in `planned`; a line
    for each that ended early).

    Raises:
      StudyError: they are those of a simulation.
    """
    if directory.simulated.exists():
        raise StudyError(
            f"{directory.root} holds the records of a simulation: nothing was trained, and nothing is learnt"
        )
    rows: list[Observation] = []
    diverged = []
    sets = directory.current_sets()
    for trajectory in directory.trajectory_directories():
        if trajectory.diverged.exists():
            record = read_json(trajectory.diverged)
            loss = "" if record["loss"] == "None" else f" (loss {record['loss']})"
            diverged.append(f"{trajectory.root.name} diverged at step {record['step']}{loss}: left out of the fit")
            continue
        rows.extend(trajectory.observations(sets))
        if trajectory.stopped.exists():
            said = read_json(trajectory.stopped)
            best, above = said["best"], said["above_best"]
            diverged.append(
                f"{trajectory.root.name} was stopped at {said['tokens']:,} tokens: its loss {said['loss']:.4f} "
                f"is above {above:g} times the {best['loss']:.4f} of {best['trajectory']}"
            )
    if planned is not None and (planned.tuning is not None or directory.tuning.exists()):
        rows = staged.relabelled(rows, planned)
    rows.sort(key=lambda row: (row.role != "fit", row.budget, row.params, row.seed))
    return rows, diverged


def as_json(status: RunStatus) -> dict[str, Any]:
    """The status as plain data."""
    return {
        "study": status.study.name,
        "directory": str(status.directory.root),
        **({"stage": status.stage} if status.stage else {}),
        "done_flops": status.done_flops,
        "total_flops": status.total_flops,
        "trajectories": [
            {
                "id": one.trajectory.id,
                "state": one.state,
                "params": one.trajectory.params,
                "seed": one.trajectory.recipe.seed,
                "horizons_done": one.horizons_done,
                "horizons": len(one.trajectory.horizons),
                "loss": one.loss,
                "tokens_per_second": one.tokens_per_second,
                "share": round(one.share, 4),
            }
            for one in status.trajectories
        ],
        "failures": [one.model_dump(mode="json") for one in status.failures],
        "laws": list(status.laws),
        "check": status.check,
    }
