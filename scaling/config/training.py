"""How a model of any width is trained."""

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from scaling.config.model import Optimizer, RuleName, Schedule
from scaling.config.part import Part


class BatchStage(Part):
    """Another batch size from some number of tokens on."""

    tokens: Annotated[int, Field(ge=1)]
    """Tokens seen when it begins."""
    factor: Annotated[float, Field(gt=0)]
    """Its size over batch_tokens."""


class TrainingConfig(Part):
    """How a model of any width is trained."""

    reference_width: Annotated[int, Field(ge=1)] = 64
    """The width at which the learning rate and batch size below were tuned."""
    parameterization: RuleName = "standard"
    """How initial scales, rates and multipliers follow width and depth: standard, mup or completep."""
    learning_rate: Annotated[float, Field(gt=0)] = 3e-3
    """Peak learning rate at the reference width."""
    learning_rate_exponent: float | None = None
    """rate(width) = learning_rate x (width / reference_width)^exponent: -0.5 unless given under the standard
    parameterisation, 0 under mup and completep, whose own multipliers follow the width."""
    batch_tokens: Annotated[int, Field(ge=1)] = 1024
    """Tokens an optimiser step at the reference width; rounded to whole sequences."""
    batch_exponent: float = 0.0
    """batch(width) = batch_tokens x (width / reference_width)^batch_exponent. Never depends on the final D."""
    batch_ramp: tuple[BatchStage, ...] = ()
    """Other batch sizes from so many tokens on, ascending, as [{tokens: 100000, factor: 2}]. Each compiles anew."""
    warmup_tokens: Annotated[int, Field(ge=0)] = 16_384
    """Tokens of linear warm-up: at most a tenth of a trajectory's shortest horizon."""
    schedule: Schedule = "wsd"
    """wsd: one trunk at the peak rate, a decay branched off at each horizon. cosine, linear: one run for each horizon,
    whose rate falls from the warm-up on. constant: one trunk, measured at each horizon as it is. Your own formula, as
    module:attribute: one run for each horizon."""
    decay_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """Share of a horizon that wsd's decay takes."""
    decay_shape: Literal["linear", "1-sqrt"] = "1-sqrt"
    """The form of wsd's decay."""
    final_rate: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Where the rate ends, as a share of the peak; 0.1 in Hoffmann 2022."""
    optimizer: Optimizer = "adamw"
    """adamw, muon (matrices orthogonalised, AdamW for the rest), lion, schedule_free (AdamW, averaged), or your own as
    module:attribute."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.1
    """Decoupled weight decay of matrices, times the learning rate."""
    independent_weight_decay: bool = False
    """The decay is weight_decay times the schedule alone, whatever the peak rate (Wortsman 2023)."""
    beta1: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """First-moment decay; schedule_free's interpolation."""
    beta2: Annotated[float, Field(ge=0, lt=1)] = 0.99
    """Second-moment decay; of Lion's momentum."""
    epsilon: Annotated[float, Field(gt=0)] = 1e-8
    """Adam's epsilon."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.95
    """Muon's momentum."""
    gradient_clip: Annotated[float, Field(gt=0)] = 1.0
    """Largest global norm of the gradient."""
    minimum_steps: Annotated[int, Field(ge=1)] = 300
    """A horizon of fewer optimiser steps is refused: such cells bend the fit."""
    minimum_decay_steps: Annotated[int, Field(ge=1)] = 50
    """Of wsd: a decay of fewer optimiser steps is refused."""
    steps_per_dispatch: Annotated[int, Field(ge=1)] = 64
    """Optimiser steps that one call of the compiled program takes. Does not change results."""
    divergence_factor: Annotated[float, Field(gt=1)] = 1.5
    """A training loss above this multiple of ln(vocabulary), or NaN, ends a trajectory as diverged."""

    @field_validator("batch_ramp")
    @classmethod
    def _ascends(cls, stages: tuple[BatchStage, ...]) -> tuple[BatchStage, ...]:
        tokens = [stage.tokens for stage in stages]
        if tokens != sorted(set(tokens)):
            raise ValueError(f"is at {tokens} tokens; each stage must begin after the one before")
        return stages

    @model_validator(mode="after")
    def _agree(self) -> "TrainingConfig":
        if self.optimizer == "schedule_free" and self.schedule != "constant":
            raise ValueError(
                f"schedule is {self.schedule}, but optimizer schedule_free averages in place of a decay; "
                "use schedule constant, or another optimizer"
            )
        if self.learning_rate_exponent and self.parameterization != "standard":
            raise ValueError(
                f"learning_rate_exponent is {self.learning_rate_exponent}, but parameterization "
                f"{self.parameterization} follows the width by itself; leave it out, or use parameterization standard"
            )
        return self
