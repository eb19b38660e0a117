"""The study: everything that a researcher decides, in frozen parts that are validated where they are read."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

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


class Study(Part):
    """Everything that a researcher decides."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]*$", max_length=64)]
    """Names the run directory: runs/<name>."""
    seed: Annotated[int, Field(ge=0, lt=2**31 - 1000)] = 0
    """Seed of everything: initial weights, data order, the held-out split, resampling."""
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
    engine: EngineConfig = EngineConfig()
    """What runs the jobs."""

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
