"""What the records say: frozen pydantic models, one JSON object each."""

from fractions import Fraction
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import Field

from scaling.config import (
    AccountingConfig,
    Command,
    ComputeConfig,
    MeshConfig,
    ModelConfig,
    Optimizer,
    Own,
    OwnPart,
    Part,
    Schedule,
    unused,
)
from scaling.records.atomic import content_hash
from scaling.records.batches import BatchSizes, BatchStage

SCHEMA = 1
"""Version of every record here; a reader refuses a newer one by name."""

Role = Literal["fit", "check", "mixture", "tuning", "regret", "corner", "earlier"]
"""fit: what the study's laws see; check: the larger model; mixture: at another mixture than the study's own. Of a tuned
ladder tuning: its bowls; regret, corner: what its law is judged by; earlier, in indices alone: trained for the sweep at
settings that it no longer has."""


class DomainRecord(Part):
    """One domain of a mixture, in the order in which its tokens lie in the streams."""

    name: str
    train_tokens: int
    """Unique training tokens."""
    validation_tokens: int
    """Held-out tokens."""
    validation_documents: int
    """Held-out documents."""
    corpus: Annotated[OwnPart | None, Field(exclude_if=unused)] = None
    """The user's own function that yielded the text."""


class DataRecord(Part):
    """What was trained on, as it enters a trajectory's identity."""

    fingerprint: str
    """SHA-256 of the training and validation tokens."""
    tokenizer: str
    """The tokeniser and its hash."""
    train_tokens: int
    """Unique training tokens."""
    validation_tokens: int
    """Held-out tokens."""
    corpus: Annotated[OwnPart | None, Field(exclude_if=unused)] = None
    """The user's own function that yielded the text."""
    domains: Annotated[tuple[DomainRecord, ...], Field(exclude_if=unused)] = ()
    """Of a mixture; how much is trained of each is the recipe's."""


class Recipe(Part):
    """One trajectory's resolved training settings: everything that can change its trunk."""

    learning_rate: float
    optimizer: Optimizer = "adamw"
    sequences: int
    """Sequences a batch, at the first step."""
    batch_ramp: tuple[BatchStage, ...] = ()
    """From which steps on a batch has another size."""
    warmup_tokens: int
    schedule: Schedule = "wsd"
    total_steps: int | None = None
    """Of a schedule that falls over the whole run; None where the trunk does not know how long it will be."""
    final_rate: float = 0.0
    weight_decay: float
    independent_weight_decay: bool = False
    beta1: float
    beta2: float
    epsilon: float
    momentum: float = 0.95
    gradient_clip: float
    divergence_factor: float
    seed: int
    """Of the initial weights and the data order."""
    mixture: Annotated[dict[str, float], Field(exclude_if=unused, default_factory=dict)]
    """Domain -> share of the training sequences, where the text is a mixture."""

    @property
    def batches(self) -> BatchSizes:
        return BatchSizes(self.sequences, self.batch_ramp)

    def warmup_steps(self, sequence_length: int) -> Fraction:
        """Optimiser steps of the warm-up."""
        return self.batches.steps(Fraction(self.warmup_tokens, sequence_length))

    @property
    def identity(self) -> dict[str, Any]:
        """All of it as plain data, without what it does not use."""
        return self.model_dump(mode="json", exclude=None if self.batch_ramp else {"batch_ramp"})


class Horizon(Part):
    """A token budget at which the trunk is annealed and evaluated."""

    tokens: int
    """D: tokens seen by the annealed model, decay included."""
    steps: int
    """Optimiser steps up to D."""
    decay_steps: int
    """The last steps of those, branched off the trunk, in which its rate falls; 0 under other schedules than wsd."""
    decay_shape: Literal["linear", "1-sqrt"]
    budget: float
    """The nominal budget in FLOPs that this horizon belongs to."""

    @property
    def fork_step(self) -> int:
        """Steps of the trunk before the decay branches off."""
        return self.steps - self.decay_steps

    @property
    def tail_steps(self) -> int:
        """The last steps, over which the training loss is averaged: a tenth of the decay, else a fiftieth of all."""
        return max(1, self.decay_steps // 10 if self.decay_steps else self.steps // 50)

    @cached_property
    def name(self) -> str:
        """File name stem: readable, and unique to the horizon's own settings (the budget is not one of them)."""
        own = self.model_dump(mode="json", exclude={"budget"})
        return f"horizon-{self.tokens}-{content_hash(own)[:8]}"


class Trajectory(Part):
    """One model trained with one recipe; its horizons are not part of its identity."""

    model: ModelConfig
    recipe: Recipe
    data: DataRecord
    accounting: AccountingConfig
    role: Role
    params: int
    """N under accounting.params."""
    flops_per_token: int
    """Training FLOPs for each token under accounting.flops."""
    params_with_embeddings: int
    params_non_embedding: int
    flops_per_token_exact: int
    flops_per_token_causal: int
    metrics: Annotated[tuple[OwnPart, ...], Field(exclude_if=unused)] = ()
    """The user's own, measured at each horizon."""
    command: Annotated[Command | None, Field(exclude_if=unused)] = None
    """The user's own, which trains it in place of the laboratory."""
    horizons: tuple[Horizon, ...]

    @property
    def identity(self) -> dict[str, Any]:
        """The settings that change the trunk's result, and what is measured of it, as plain data."""
        own: dict[str, Any] = {}
        if self.metrics:
            own["metrics"] = [metric.model_dump(mode="json") for metric in self.metrics]
        if self.command is not None:
            own["command"] = self.command.model_dump(mode="json")
        return own | {
            "schema": SCHEMA,
            "model": self.model.model_dump(mode="json"),
            "recipe": self.recipe.identity,
            "data": self.data.model_dump(mode="json"),
        }

    @cached_property
    def id(self) -> str:
        """A readable slug and a hash of the identity."""
        return f"w{self.model.width}-l{self.model.layers}-s{self.recipe.seed}-{content_hash(self.identity)[:10]}"

    @property
    def unique_tokens(self) -> int:
        """Training tokens that it may see, each counted once: of every domain that it has a share of."""
        domains = [one.train_tokens for one in self.data.domains if self.recipe.mixture.get(one.name)]
        return sum(domains) if self.data.domains else self.data.train_tokens

    @property
    def own(self) -> tuple[Own, ...]:
        """The parts of the user's own that it runs; the text of an own corpus is on disk already."""
        parts = (self.model.own, self.recipe.optimizer, self.recipe.schedule, *self.metrics)
        return tuple(part for part in parts if isinstance(part, Own))

    @property
    def shape(self) -> tuple[ModelConfig, Optimizer, Own | None]:
        """Trajectories of one shape share one compiled program; all built-in schedules are one formula."""
        schedule = self.recipe.schedule
        return self.model, self.recipe.optimizer, schedule if isinstance(schedule, Own) else None

    @property
    def batch_tokens(self) -> int:
        """Of the first batch."""
        return self.recipe.sequences * self.model.sequence_length

    def tokens_at(self, step: int) -> int:
        """Tokens that the trunk, or a decay, has seen after `step` optimiser steps."""
        return self.recipe.batches.before(step) * self.model.sequence_length

    def tail_start(self, horizon: Horizon) -> int:
        """The step from which on the training loss is averaged: for the horizon's last steps, as far as they lie behind
        the horizon before it where both are measured on the trunk."""
        start = horizon.steps - horizon.tail_steps
        if horizon.decay_steps:
            return start
        return max([start, *(one.steps for one in self.horizons if not one.decay_steps and one.steps < horizon.steps)])

    def decay_tokens(self, horizon: Horizon) -> int:
        """Tokens of the decay that ends at `horizon`."""
        return self.tokens_at(horizon.steps) - self.tokens_at(horizon.fork_step)

    @property
    def last_step(self) -> int:
        return max(horizon.steps for horizon in self.horizons)

    @property
    def training_tokens(self) -> int:
        """Tokens that the trajectory takes: the trunk up to its last fork, and every decay."""
        batches, forks = self.recipe.batches, [horizon.fork_step for horizon in self.horizons]
        decays = sum(
            batches.before(horizon.steps) - batches.before(fork)
            for horizon, fork in zip(self.horizons, forks, strict=True)
        )
        return (batches.before(max(forks)) + decays) * self.model.sequence_length

    @cached_property
    def training_flops(self) -> float:
        """FLOPs of `training_tokens`, under the study's convention."""
        return float(self.training_tokens) * self.flops_per_token

    @property
    def training_steps(self) -> int:
        """Optimiser steps that the trajectory takes: the trunk up to its last fork, and every decay."""
        trunk = max(horizon.fork_step for horizon in self.horizons)
        return trunk + sum(horizon.decay_steps for horizon in self.horizons)


class JobSettings(Part):
    """How a job runs; nothing here may change a result, but the mesh in its last digits."""

    run_dir: str
    tokens_dir: str
    steps_per_dispatch: int
    checkpoint_seconds: float
    checkpoint_steps: int | None = None
    keep_forks: Literal["last", "all"]
    keep_models: Literal["all", "last", "none"] = "all"
    sets: tuple[str, ...] = ()
    """Keys of the named held-out sets that each model is measured on: folders of the run directory's sets/."""
    compilation_cache: str | None
    mesh: MeshConfig = MeshConfig()
    compute: ComputeConfig = ComputeConfig()
    stack: Literal["auto"] | int = "auto"
    stop_above: float | None = None
    """Multiple of the least loss of the same N and D, above which a trajectory ends at a horizon."""
    leases: Literal["flock", "heartbeat"] = "flock"
    """How a job keeps others off the trajectories that it trains."""
    lease_seconds: float = 60.0
    """Without a heartbeat for so long, a holder is taken for dead."""


class Job(Part):
    """What one process group runs: trajectories of one shape, which share one compiled program; of any, to evaluate."""

    schema_version: Literal[1] = 1
    name: str
    task: Literal["train", "evaluate"] = "train"
    """evaluate: measure the kept models of the trajectories' horizons on settings.sets, and train nothing."""
    settings: JobSettings
    trajectories: Annotated[tuple[Trajectory, ...], Field(min_length=1)]

    @property
    def command(self) -> Command | None:
        """What trains in place of the laboratory."""
        return self.trajectories[0].command

    @property
    def training_flops(self) -> float:
        return sum(trajectory.training_flops for trajectory in self.trajectories)
