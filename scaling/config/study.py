"""The study: everything that a researcher decides, in frozen parts that are validated where they are read."""

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from scaling.config.data import DataConfig
from scaling.config.engine import EngineConfig
from scaling.config.evaluation import EvaluationConfig
from scaling.config.model import nearest_multiples
from scaling.config.own import Own, OwnPart
from scaling.config.part import Part
from scaling.config.training import TrainingConfig


class FamilyConfig(Part):
    """The rule that makes a ModelConfig for each width."""

    layers: Annotated[int, Field(ge=1)] = 2
    """Layers at training.reference_width."""
    depth_exponent: Annotated[float, Field(ge=0, le=2)] = 0.0
    """layers(width) = layers x (width / reference_width)^depth_exponent, rounded, at least 1."""
    head_width: Annotated[int, Field(ge=1)] = 16
    """Size of one attention head; width must be a multiple of it."""
    heads: Annotated[int, Field(ge=1)] | None = None
    """The same number of heads at every width, each width / heads wide; head_width is not used then."""
    queries_per_kv_head: Annotated[int, Field(ge=1)] = 1
    """Query heads that share one key and value head."""
    ffn_ratio: Annotated[float, Field(gt=0)] = 2.75
    """ffn_width = ffn_ratio x width, rounded up to a multiple of 8."""
    feed_forward: Literal["swiglu", "gelu", "relu2"] = "swiglu"
    """SwiGLU, GELU or squared ReLU."""
    positions: Literal["rotary", "learned", "none"] = "rotary"
    """How a token knows its place."""
    qk_norm: bool = True
    """RMSNorm on queries and keys, per head."""
    tied_head: bool = False
    """The output head is the transpose of the token embedding."""
    sequence_length: Annotated[int, Field(ge=2)] = 128
    """Tokens that one training sequence predicts."""
    layer_loop: Literal["auto", "scan", "unroll"] = "auto"
    """Scan or unroll the layers; auto scans above 6."""
    block: OwnPart | None = None
    """Your own block as module:attribute, in place of attention and feed-forward; see docs/own_parts.md."""
    model: OwnPart | None = None
    """Your own whole model as module:attribute."""

    @model_validator(mode="after")
    def _one_own(self) -> "FamilyConfig":
        if self.block is not None and self.model is not None:
            raise ValueError(
                f"block is {self.block!r}, but model is {self.model!r}, which makes its own; leave one out"
            )
        return self

    @property
    def width_unit(self) -> int:
        """Widths are multiples of this: whole heads, in whole groups on a kv head, even sizes if rotary."""
        if self.heads:
            return self.heads * (2 if self.positions == "rotary" else 1)
        return self.head_width * self.queries_per_kv_head

    def heads_at(self, width: int) -> int:
        """Query heads of the model at `width`."""
        return self.heads or width // self.head_width


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


class SweepConfig(Part):
    """Which sizes, which budgets, which seeds."""

    design: Literal["isoflop"] = "isoflop"
    """At each budget, several sizes around the expected optimum."""
    budgets: Annotated[tuple[float, ...], Field(min_length=1)] = (3e10, 8e10, 2e11, 5e11)
    """Compute budgets in FLOPs, under accounting.flops."""
    widths: Annotated[tuple[int, ...], Field(min_length=1)] = (16, 32, 48, 64, 80, 96, 128)
    """The sizes, as widths of the family."""
    sizes_per_budget: Annotated[int, Field(ge=1)] = 5
    """Sizes trained at each budget: those nearest to expected_tokens_per_param."""
    expected_tokens_per_param: Annotated[float, Field(gt=0)] = 20.0
    """Where the optimum is expected at the smallest budget; centres the first window of sizes."""
    expected_exponent: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Expected growth of the best size with compute, N* ~ C^exponent; moves the window from budget to budget."""
    replicate_widths: tuple[int, ...] = ()
    """Sizes that are trained with several seeds, so that run-to-run noise is measured."""
    replicate_budgets: Annotated[int, Field(ge=1)] = 2
    """How many of a replicated size's lowest budgets the extra seeds cover."""
    replicate_seeds: Annotated[int, Field(ge=1)] = 3
    """Seeds at each replicated size, the first one included."""
    mixtures: tuple[dict[str, Annotated[float, Field(ge=0)]], ...] = ()
    """Other mixtures than data.mixture's own to train on too, as [{web: 1, code: 0}, ...]; a domain left out has 0. The
    study's laws do not see them: they are for the forms mixture, mixture_additive and mixture_joint."""
    mixture_widths: tuple[int, ...] = ()
    """Sizes that are trained on each of mixtures; all of widths where empty."""
    mixture_budgets: Annotated[int, Field(ge=1)] | None = None
    """How many of such a size's lowest budgets; all of them where not given."""

    @field_validator("budgets", "widths", "replicate_widths", "mixture_widths")
    @classmethod
    def _distinct(cls, values: tuple[float, ...]) -> tuple[float, ...]:
        if any(value <= 0 for value in values):
            raise ValueError(f"is {list(values)}; every entry must be positive")
        if len(set(values)) != len(values):
            raise ValueError(f"is {list(values)}; an entry appears twice")
        return tuple(sorted(values))

    @model_validator(mode="after")
    def _enough(self) -> "SweepConfig":
        if len(self.widths) < 2:
            raise ValueError(
                f"widths is {list(self.widths)}: a design with a single size cannot show how loss depends "
                "on size; give at least 2 (7 or more for intervals worth trusting)"
            )
        for name in ("replicate_widths", "mixture_widths"):
            unknown = sorted(set(getattr(self, name)) - set(self.widths))
            if unknown:
                raise ValueError(f"{name} has {unknown}, not among widths {list(self.widths)}")
        return self


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
    sweep: SweepConfig = SweepConfig()
    """Sizes, budgets, seeds."""
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
        """sweep.mixtures, every domain named."""
        return tuple({name: one.get(name, 0.0) for name in self.data.mixture} for one in self.sweep.mixtures)

    @model_validator(mode="after")
    def _mixtures_are_of_the_domains(self) -> "Study":
        if self.sweep.mixtures and not self.data.mixture:
            raise ValueError("sweep.mixtures is set, but data.mixture names no domains; name them there")
        for given, one in zip(self.sweep.mixtures, self.mixtures, strict=True):
            unknown = sorted(set(given) - set(self.data.mixture))
            if unknown:
                raise ValueError(f"sweep.mixtures has {unknown[0]!r}; data.mixture has {', '.join(self.data.mixture)}")
            if not any(one.values()):
                raise ValueError(f"sweep.mixtures has {given}, without a weight above 0; give a domain its share")
        return self

    @model_validator(mode="after")
    def _widths_fit_heads(self) -> "Study":
        name, divisor = ("heads", self.family.heads) if self.family.heads else ("head_width", self.family.head_width)
        for width in self.sweep.widths:
            if width % divisor:
                raise ValueError(
                    f"sweep.widths has {width}, not divisible by family.{name} {divisor}; "
                    f"use {nearest_multiples(width, divisor)}"
                )
            heads = self.family.heads_at(width)
            if heads % self.family.queries_per_kv_head:
                raise ValueError(
                    f"sweep.widths has {width}, that is {heads} heads, not divisible by "
                    f"family.queries_per_kv_head {self.family.queries_per_kv_head}"
                )
        if self.training.batch_tokens < self.family.sequence_length:
            raise ValueError(
                f"training.batch_tokens is {self.training.batch_tokens}, less than one sequence of "
                f"{self.family.sequence_length} tokens"
            )
        return self
