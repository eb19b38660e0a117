"""How far a run is, from its files alone: what is committed, and the last line of each metrics.jsonl."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from scaling.config import Study, StudyError, load_study
from scaling.data import load_record
from scaling.planning import Plan
from scaling.records import Observation, RunDirectory, Trajectory, TrajectoryDirectory, read_json
from scaling.studies import staged
from scaling.studies.own_parts import counter

State = Literal["waiting", "training", "done", "diverged"]


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
    return RunStatus(
        study=study,
        directory=directory,
        planned=planned,
        trajectories=progress(directory, every),
        laws=tuple(path.stem for path in sorted(directory.laws.glob("*.json"))),
        check=check_result(directory),
    )


def progress(directory: RunDirectory, trajectories: Iterable[Trajectory]) -> tuple[TrajectoryStatus, ...]:
    """The progress of planned trajectories."""
    return tuple(trajectory_progress(directory.trajectory(one.id), one) for one in trajectories)


def trajectory_progress(directory: TrajectoryDirectory, trajectory: Trajectory) -> TrajectoryStatus:
    """The progress of one planned trajectory."""
    committed = [horizon for horizon in trajectory.horizons if directory.horizon(horizon).exists()]
    left = [horizon for horizon in trajectory.horizons if horizon not in committed]
    diverged = directory.diverged.exists()
    if diverged or not left:
        rows = directory.observations()
        return TrajectoryStatus(
            trajectory=trajectory,
            state="diverged" if diverged else "done",
            horizons_done=len(committed),
            loss=rows[-1].loss if rows else None,
            tokens_per_second=None,
            done_flops=trajectory.training_flops,
        )
    last = directory.last_metrics()
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
        state="waiting" if last is None else "training",
        horizons_done=len(committed),
        loss=None if last is None else float(last["loss"]),
        tokens_per_second=None if last is None else float(last["tokens_per_second"]),
        done_flops=float(trajectory.tokens_at(trunk) + decay) * trajectory.flops_per_token,
    )


def check_result(directory: RunDirectory) -> dict[str, Any] | None:
    """The newest check that was measured."""
    results = sorted(directory.check.glob("*/result.json"), key=lambda path: path.stat().st_mtime)
    return read_json(results[-1]) if results else None


def observations(directory: RunDirectory, planned: Plan | None = None) -> tuple[list[Observation], list[str]]:
    """(every committed horizon of trajectories that did not diverge, a line for each that did), in the roles that they
    have in `planned`."""
    rows: list[Observation] = []
    diverged = []
    sets = directory.current_sets()
    for trajectory in directory.trajectory_directories():
        if trajectory.diverged.exists():
            record = read_json(trajectory.diverged)
            diverged.append(
                f"{trajectory.root.name} diverged at step {record['step']} (loss {record['loss']}): left out of the fit"
            )
        else:
            rows.extend(trajectory.observations(sets))
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
        "laws": list(status.laws),
        "check": status.check,
    }
