"""The study: everything that a researcher decides, in frozen parts that are validated where they are read."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from scaling.config.command import OwnCommand
from scaling.config.crossed import CrossedConfig
from scaling.config.data import DataConfig
from scaling.config.engine import EngineConfig
from scaling.config.evaluation import EvaluationConfig
from scaling.config.family import FamilyConfig
from scaling.config.isoflop import IsoflopConfig
from scaling.config.model import nearest_multiples, unused
from scaling.config.own import Own
from scaling.config.part import Part
from scaling.config.sweep import SweepConfig
from scaling.config.training import TrainingConfig
from scaling.config.tuning import TuningConfig


class CheckpointConfig(Part):
    """When checkpoints are written and which are kept."""

    every_seconds: Annotated[float, Field(gt=0)] = 60.0
    """Time between two checkpoints of a running trajectory; each fork is checkpointed too."""
    every_steps: Annotated[int, Field(ge=1)] | None = None
    """Optimiser steps between two checkpoints, where they are to come sooner than by time."""
    keep_forks: Literal["last", "all"] = "last"
    """Forks of the trunk to keep once their horizon is committed; the last one lets a study be extended."""
    keep_models: Literal["all", "last", "none"] = "all"
    """Annealed models to keep, parameters alone: of every horizon, or of each trajectory's largest; `scaling evaluate`
    needs them."""


class AccountingConfig(Part):
    """One convention of N and one of C; plan, fit, answer and check all use it."""

    params: Literal["with_embeddings", "without_embeddings"] = "with_embeddings"
    """N counts every parameter, or leaves out embeddings and an untied head (Kaplan 2020)."""
    flops: Literal["exact", "6N", "6N_non_embedding"] = "exact"
    """C per token: every matrix product, 6 N (Hoffmann 2022), or 6 N without embeddings (Kaplan 2020)."""


class LawsConfig(Part):
    """How the laws are fitted and what they are asked."""

    delta: Annotated[float, Field(gt=0)] = 1e-3
    """Huber threshold on residuals of ln L."""
    resamples: Annotated[int, Field(ge=20)] = 1000
    """Resamples behind every interval."""
    level: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    """Level of every interval."""
    answer_multiples: Annotated[tuple[float, ...], Field(min_length=1)] = (1.0, 10.0, 100.0, 1000.0)
    """Budgets to answer for, in multiples of the largest fitted budget."""


class CheckConfig(Part):
    """A larger model that the fit never sees, predicted before it is trained."""

    enabled: bool = True
    """Train the check."""
    budget_multiple: Annotated[float, Field(gt=1)] = 4.0
    """The check's budget in multiples of the largest fitted one; at least this much is spent."""
    seeds: Annotated[int, Field(ge=1)] = 2
    """Seeds of the check, trained side by side."""


class StoppingConfig(Part):
    """When a run is not worth going on with. What is measured of it stays in the fits."""

    above_best: Annotated[float, Field(gt=1)] | None = None
    """A trajectory ends at a horizon where its loss is above this multiple of the least that another one of the same N
    has committed at the same D. null: none ends so. Divergence is training.divergence_factor's."""


class Study(Part):
    """Everything that a researcher decides."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]*$", max_length=64)]
    """Names the run directory: runs/<name>."""
    seed: Annotated[int, Field(ge=0, lt=2**31 - 1000)] = 0
    """Seed of everything: initial weights, data order, the held-out split, resampling."""
    command: Annotated[OwnCommand | None, Field(exclude_if=unused)] = None
    """A command that trains in place of the laboratory, as a list of words: [python, train.py]; docs/any_trainer.md."""
    data: DataConfig = DataConfig()
    """The text."""
    family: FamilyConfig = FamilyConfig()
    """From a width to a model."""
    training: TrainingConfig = TrainingConfig()
    """From a model to a trained one."""
    evaluation: EvaluationConfig = EvaluationConfig()
    """What is measured beside the loss."""
    sweep: SweepConfig = IsoflopConfig()
    """Sizes, budgets, seeds."""
    tuning: Annotated[TuningConfig | None, Field(exclude_if=unused)] = None
    """Bowls before the sweep, whose learning rates (and batch sizes) are then read off a law of them."""
    accounting: AccountingConfig = AccountingConfig()
    """How N and C are counted."""
    laws: LawsConfig = LawsConfig()
    """Fits and answers."""
    check: CheckConfig = CheckConfig()
    """The held-out larger model."""
    checkpoints: CheckpointConfig = CheckpointConfig()
    """What is saved while training."""
    stopping: StoppingConfig = StoppingConfig()
    """When a run is given up."""
    engine: EngineConfig = EngineConfig()
    """What runs the jobs."""
    arms: Mapping[str, Mapping[str, Any]] = {}
    """Ways to train the same sweep, to be compared: {adamw: {}, muon: {training.optimizer: muon}}, each with the fields
    in which it differs. The first is what the others are held against."""

    @model_validator(mode="after")
    def _arms_differ(self) -> "Study":
        check_arms(self.arms)
        return self

    @property
    def own(self) -> dict[str, Own]:
        """Dotted field -> the part of the user's own that it names."""
        named: dict[str, object] = {
            "data.corpus": self.data.corpus,
            "family.block": self.family.block,
            "family.model": self.family.model,
            "training.optimizer": self.training.optimizer,
            "training.schedule": self.training.schedule,
        }
        named |= {f"data.mixture.{name}.corpus": domain.corpus for name, domain in self.data.mixture.items()}
        found = {field: part for field, part in named.items() if isinstance(part, Own)}
        return found | {f"evaluation.metrics.{place}": part for place, part in enumerate(self.evaluation.metrics)}

    @property
    def mixtures(self) -> tuple[dict[str, float], ...]:
        """Of the sweep beside data.mixture's own, every domain named."""
        return tuple({name: one.get(name, 0.0) for name in self.data.mixture} for one in self.sweep.mixtures)

    @model_validator(mode="after")
    def _command_trains_alone(self) -> "Study":
        if self.command is None:
            return self
        for field, part in self.own.items():
            if not field.endswith(".corpus"):
                raise ValueError(
                    f"{field} is {part!r}, but command trains, and does not know it; leave one of them out"
                )
        if self.evaluation.sets:
            names = ", ".join(self.evaluation.sets)
            raise ValueError(
                f"evaluation.sets has {names}, but command trains, and its models cannot be read here; leave it out, "
                "and have the command report metrics"
            )
        for name in ("compute", "mesh", "stack"):
            if getattr(self.engine, name) != type(self.engine).model_fields[name].default:
                raise ValueError(
                    f"engine.{name} is set, but command trains, and computes as it likes; leave it out "
                    "(engine.resources says what a job takes)"
                )
        if self.stopping.above_best is not None:
            raise ValueError(
                f"stopping.above_best is {self.stopping.above_best:g}, but command trains all horizons of a run at "
                "once; leave it out"
            )
        if self.engine.resources.hosts > 1:
            raise ValueError(
                f"engine.resources.hosts is {self.engine.resources.hosts}, but command is started on one host; use 1"
            )
        return self

    @model_validator(mode="after")
    def _mixtures_are_of_the_domains(self) -> "Study":
        where = f"sweep.{self.sweep.mixture_field}"
        if self.sweep.mixtures and not self.data.mixture:
            raise ValueError(f"{where} is set, but data.mixture names no domains; name them there")
        for given, one in zip(self.sweep.mixtures, self.mixtures, strict=True):
            unknown = sorted(set(given) - set(self.data.mixture))
            if unknown:
                raise ValueError(f"{where} has {unknown[0]!r}; data.mixture has {', '.join(self.data.mixture)}")
            if not any(one.values()):
                raise ValueError(f"{where} has {given}, without a weight above 0; give a domain its share")
        return self

    @model_validator(mode="after")
    def _law_gives_the_rates(self) -> "Study":
        if self.tuning is None:
            return self
        varied = self.sweep.names if isinstance(self.sweep, CrossedConfig) else frozenset[str]()
        both = sorted(varied & self.tuning.read_off)
        if both:
            raise ValueError(
                f"sweep varies {both[0]}, which tuning reads off its law; leave it out, or do without tuning"
            )
        if self.training.batch_ramp and "batch_size" in self.tuning.over:
            raise ValueError(
                "training.batch_ramp is set, but tuning.batch_factors has several: a ramp has no one batch size to "
                "tune; leave one of the two out"
            )
        return self

    @model_validator(mode="after")
    def _widths_fit_heads(self) -> "Study":
        name, divisor = ("heads", self.family.heads) if self.family.heads else ("head_width", self.family.head_width)
        fields = {f"sweep.{where}": some for where, some in self.sweep.width_fields.items()}
        fields |= {f"tuning.{where}": some for where, some in self.tuning.widths.items()} if self.tuning else {}
        for where, width in ((where, one) for where, some in fields.items() for one in some):
            if width % divisor:
                raise ValueError(
                    f"{where} has {width}, not divisible by family.{name} {divisor}; "
                    f"use {nearest_multiples(width, divisor)}"
                )
            heads = self.family.heads_at(width)
            if heads % self.family.queries_per_kv_head:
                raise ValueError(
                    f"{where} has {width}, that is {heads} heads, not divisible by "
                    f"family.queries_per_kv_head {self.family.queries_per_kv_head}"
                )
        if self.training.batch_tokens < self.family.sequence_length:
            raise ValueError(
                f"training.batch_tokens is {self.training.batch_tokens}, less than one sequence of "
                f"{self.family.sequence_length} tokens"
            )
        return self


CHANGEABLE = ("data", "family", "training", "tuning")
"""Parts of a study in which its arms may differ."""


def check_arms(arms: Mapping[str, Mapping[str, Any]]) -> None:
    """ValueError where arms cannot be told apart, or would change what makes them comparable."""
    if len(arms) == 1:
        raise ValueError(f"arms has one arm, {next(iter(arms))}; give two or more, or none")
    for arm, changes in arms.items():
        if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,31}", arm):
            raise ValueError(f"arms has {arm!r}; a name is lower-case letters, digits, _ and -, at most 32")
        for dotted in changes:
            if dotted.partition(".")[0] not in CHANGEABLE or "." not in dotted:
                raise ValueError(f"arms.{arm} has {dotted}; arms differ in fields of {', '.join(CHANGEABLE)}")
    said = [dict(changes) for changes in arms.values()]
    for place, changes in enumerate(said):
        if changes in said[:place]:
            names = list(arms)
            raise ValueError(f"arms.{names[place]} and arms.{names[said.index(changes)]} are the same; leave one out")
