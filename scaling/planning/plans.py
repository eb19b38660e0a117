"""A plan: the trajectories of a study and what they take. Plain data; nothing is written, nothing is trained."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from scaling.config import Study
from scaling.planning.cells import Skipped
from scaling.planning.disk import checkpoint_bytes, model_bytes, sweep_bytes
from scaling.planning.machine import process_count
from scaling.planning.packing import packed_makespan
from scaling.planning.tuning import Tuning
from scaling.records import DataRecord, Role, Trajectory


@dataclass(frozen=True)
class PlanRow:
    """One trajectory as a person reads it; the tuples hold one entry a horizon."""

    id: str
    role: Role
    width: int
    layers: int
    seed: int
    params: int
    """N, under the study's convention."""
    budgets: tuple[float, ...]
    tokens: tuple[int, ...]
    """D."""
    flops: tuple[float, ...]
    """C that is really spent on each D, under the study's convention."""
    steps: tuple[int, ...]
    decay_steps: tuple[int, ...]
    tokens_per_param: tuple[float, ...]
    epochs: tuple[float, ...]
    """D / unique training tokens."""
    mixture: dict[str, float]
    """Domain -> share of the training tokens; empty where the text is no mixture."""
    learning_rate: float
    batch_tokens: int
    """At the first step; training.batch_ramp may let it grow."""
    training_flops: float
    """Trunk and every decay, under the study's convention."""
    expected_seconds: float
    """On one process, at engine.expected_flops_per_second."""
    checkpoint_bytes: int
    """Most that its checkpoints take at once."""


@dataclass(frozen=True)
class Plan:
    """What a study would train."""

    study: Study
    data: DataRecord
    trajectories: tuple[Trajectory, ...]
    expected_check: tuple[Trajectory, ...]
    """The check where the study expects it; the fit decides where it will really be."""
    notes: tuple[str, ...]
    """What a person should know and that does not forbid the plan."""
    skipped: tuple[Skipped, ...] = ()
    """Cells that are left out: by sweep.skip, or of a tuned ladder."""
    tuning: Tuning | None = None
    """Of a tuned ladder: what is trained beside the sweep, before and after."""

    @property
    def rates_are_known(self) -> bool:
        """Whether the sweep is planned as it will be trained: a tuned ladder has to have its law."""
        return self.tuning is None or self.tuning.beside is not None

    def of(self, trajectories: Sequence[Trajectory]) -> "Plan":
        """The plan of these trajectories alone, as one stage of this one."""
        return Plan(self.study, self.data, tuple(trajectories), (), ())

    @property
    def stages(self) -> tuple["Plan", ...]:
        """Of a tuned ladder the bowls, the ladder, and what is trained beside it as soon as that is known."""
        if self.tuning is None:
            return (self,)
        beside = self.tuning.beside
        further = () if beside is None else (self.of(beside.trajectories),)
        return (self.of(self.tuning.trajectories), self, *further)

    @cached_property
    def training_tokens(self) -> tuple[int, ...]:
        """Of each trajectory: its trunk and every decay."""
        return tuple(one.training_tokens for one in self.trajectories)

    @property
    def flops(self) -> float:
        """Of the sweep without the check, under the study's convention."""
        return sum(
            float(tokens) * one.flops_per_token
            for one, tokens in zip(self.trajectories, self.training_tokens, strict=True)
        )

    @property
    def steps(self) -> int:
        """Optimiser steps of the sweep: trunks and decays."""
        return sum(trajectory.training_steps for trajectory in self.trajectories)

    @property
    def observations(self) -> int:
        """Horizons of the sweep."""
        return sum(len(trajectory.horizons) for trajectory in self.trajectories)

    @property
    def processes(self) -> int:
        return process_count(self.study.engine)

    @property
    def expected_seconds(self) -> float:
        """Wall time of the sweep without the check, on `processes` processes."""
        return self._wall_seconds(self.trajectories, self.training_tokens)

    @property
    def expected_check_seconds(self) -> float:
        return self._wall_seconds(self.expected_check, [one.training_tokens for one in self.expected_check])

    def _wall_seconds(self, trajectories: Sequence[Trajectory], training_tokens: Sequence[int]) -> float:
        priced = [
            (one, float(tokens) * one.flops_per_token_exact)
            for one, tokens in zip(trajectories, training_tokens, strict=True)
        ]
        return packed_makespan(priced, self.processes) / self.study.engine.expected_flops_per_second

    def rows(self) -> tuple[PlanRow, ...]:
        """The sweep's trajectories in the plan's order: by width, then seed."""
        return tuple(self._row(trajectory) for trajectory in self.trajectories)

    def check_rows(self) -> tuple[PlanRow, ...]:
        return tuple(self._row(trajectory) for trajectory in self.expected_check)

    def as_json(self) -> dict[str, Any]:
        """The plan as plain data."""
        return {
            "study": self.study.name,
            "accounting": self.study.accounting.model_dump(mode="json"),
            "data": self.data.model_dump(mode="json"),
            "trajectories": [vars(row) for row in self.rows()],
            "expected_check": [vars(row) for row in self.check_rows()],
            "total": {
                "trajectories": len(self.trajectories),
                "observations": self.observations,
                "flops": self.flops,
                "steps": self.steps,
                "processes": self.processes,
                "expected_seconds": self.expected_seconds,
                "expected_check_seconds": self.expected_check_seconds,
                "checkpoint_bytes": plan_checkpoint_bytes(self),
                "model_bytes": plan_model_bytes(self),
            },
            "notes": list(self.notes),
        } | (self._skipped() | self._tuning())

    def _tuning(self) -> dict[str, Any]:
        if self.tuning is None:
            return {}
        bowls, _, *beside = self.stages
        told = {
            "tokens_per_param": self.tuning.ratio,
            "rates_are_known": self.rates_are_known,
            "bowls": [vars(row) for row in bowls.rows()],
            "beside": [vars(row) for one in beside for row in one.rows()],
        }
        return {"tuning": told}

    def _skipped(self) -> dict[str, Any]:
        if not self.skipped:
            return {}
        told = [
            {"cell": dict(one.cell.values), "seed": one.cell.seed, "width": one.width, "because": one.because}
            for one in self.skipped
        ]
        return {"skipped": told}

    def _row(self, trajectory: Trajectory) -> PlanRow:
        horizons = sorted(trajectory.horizons, key=lambda horizon: horizon.tokens)
        tokens = tuple(horizon.tokens for horizon in horizons)
        return PlanRow(
            id=trajectory.id,
            role=trajectory.role,
            width=trajectory.model.width,
            layers=trajectory.model.layers,
            seed=trajectory.recipe.seed,
            params=trajectory.params,
            budgets=tuple(horizon.budget for horizon in horizons),
            tokens=tokens,
            flops=tuple(float(count) * trajectory.flops_per_token for count in tokens),
            steps=tuple(horizon.steps for horizon in horizons),
            decay_steps=tuple(horizon.decay_steps for horizon in horizons),
            tokens_per_param=tuple(count / trajectory.params for count in tokens),
            epochs=tuple(count / trajectory.unique_tokens for count in tokens),
            mixture=trajectory.recipe.mixture,
            learning_rate=trajectory.recipe.learning_rate,
            batch_tokens=trajectory.batch_tokens,
            training_flops=trajectory.training_flops,
            expected_seconds=exact_flops(trajectory) / self.study.engine.expected_flops_per_second,
            checkpoint_bytes=checkpoint_bytes(trajectory, self.study.checkpoints.keep_forks),
        )


def repeated(trajectories: Sequence[Trajectory]) -> Iterator[str]:
    """A note for each domain of a mixture that some trajectory sees more than once."""
    for domain in trajectories[0].data.domains if trajectories else ():
        most = max(
            max(horizon.tokens for horizon in one.horizons) * one.recipe.mixture.get(domain.name, 0.0)
            for one in trajectories
        )
        epochs = most / domain.train_tokens
        if epochs > 1:
            yield (
                f"data.mixture.{domain.name} has {domain.train_tokens:,} training tokens, seen up to {epochs:.1f} "
                "times: repeated tokens are worth less than the laws assume"
            )


def exact_flops(trajectory: Trajectory) -> float:
    """What a machine really computes for all of `trajectory`, whatever the study's convention."""
    return float(trajectory.training_tokens) * trajectory.flops_per_token_exact


def plan_checkpoint_bytes(plan: Plan) -> int:
    """Most bytes that the checkpoints of a plan and of its expected check take at once; 0 where a command trains, whose
    own are not known."""
    if plan.study.command is not None:
        return 0
    return sweep_bytes(
        [*plan.trajectories, *plan.expected_check], plan.study.checkpoints.keep_forks, process_count(plan.study.engine)
    )


def plan_model_bytes(plan: Plan) -> int:
    """Bytes of the annealed models that a plan and its expected check keep; 0 where a command trains."""
    if plan.study.command is not None:
        return 0
    return model_bytes([*plan.trajectories, *plan.expected_check], plan.study.checkpoints.keep_models)
