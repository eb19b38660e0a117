"""Designs of sizes by horizons: ladder, chinchilla, overtraining, bowls."""

import math
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from scaling.config.crossed import CrossedConfig, check_distinct
from scaling.config.part import Part

CHINCHILLA = 20.0
"""Tokens a parameter of compute-optimal models (Hoffmann 2022, table 3)."""
SAME = 1e-9
"""Relative: a ladder that ends so near to its last rung has it."""
Positive = Annotated[float, Field(gt=0)]


class Rungs(Part):
    """Numbers from first to last, each so many times the one before."""

    first: Positive
    """The lowest."""
    last: Positive
    """The highest is at most this."""
    factor: Annotated[float, Field(gt=1)] = 2.0
    """Of one to the next."""

    @model_validator(mode="after")
    def _ascend(self) -> "Rungs":
        if self.last < self.first:
            raise ValueError(f"last is {self.last:g}, below first {self.first:g}; swap them")
        return self

    @property
    def values(self) -> tuple[float, ...]:
        count = math.floor(math.log(self.last / self.first) / math.log(self.factor) + SAME) + 1
        return tuple(self.first * self.factor**rung for rung in range(count))


class SizedConfig(CrossedConfig):
    """A design of several sizes."""

    widths: tuple[Annotated[int, Field(ge=1)], ...] = ()
    """The sizes, as widths of the family; or give params."""
    params: Rungs | None = None
    """The sizes, as N from first to last by a factor: each the family's width that is nearest in log N."""

    @property
    def size_cells(self) -> dict[str, tuple[Any, ...]]:
        return {"width": self.widths} if self.params is None else {"params": self.params.values}

    @model_validator(mode="after")
    def _one_kind_of_size(self) -> "SizedConfig":
        if bool(self.widths) == (self.params is not None):
            both = "both are given; leave one out" if self.widths else "neither is given; give one"
            raise ValueError(f"widths and params say the sizes of design {self.design}, and {both}")
        check_distinct("widths", self.widths)
        return self


class LadderConfig(SizedConfig):
    """Every size at every horizon."""

    design: Literal["ladder"]
    """Sizes by horizons."""
    tokens_per_param: tuple[Positive, ...] = ()
    """The horizons as D / N; or give tokens."""
    tokens: tuple[Positive, ...] = ()
    """The horizons as D."""

    @property
    def own_cells(self) -> dict[str, tuple[Any, ...]]:
        return self.size_cells | horizon_cells(self.tokens_per_param, self.tokens)

    @model_validator(mode="after")
    def _one_kind_of_horizon(self) -> "LadderConfig":
        check_horizons(self.design, self.tokens_per_param, self.tokens)
        return self


class ChinchillaConfig(SizedConfig):
    """Every size at one number of tokens a parameter."""

    design: Literal["chinchilla"]
    """Sizes by one D / N."""
    tokens_per_param: Positive = CHINCHILLA
    """D / N."""

    @property
    def own_cells(self) -> dict[str, tuple[Any, ...]]:
        return self.size_cells | {"tokens_per_param": (self.tokens_per_param,)}


class OvertrainingConfig(SizedConfig):
    """Every size from the compute-optimal horizon to far beyond it."""

    design: Literal["overtraining"]
    """Sizes by D / N that rises by a factor."""
    least: Positive = CHINCHILLA
    """The first D / N."""
    most: Positive = 320.0
    """The last D / N is at most this."""
    factor: Annotated[float, Field(gt=1)] = 2.0
    """Of one D / N to the next."""

    @property
    def own_cells(self) -> dict[str, tuple[Any, ...]]:
        ratios = Rungs(first=self.least, last=self.most, factor=self.factor).values
        return self.size_cells | {"tokens_per_param": ratios}

    @model_validator(mode="after")
    def _ascend(self) -> "OvertrainingConfig":
        if self.most < self.least:
            raise ValueError(f"most is {self.most:g}, below least {self.least:g}; swap them")
        return self


class BowlsConfig(SizedConfig):
    """At every size and horizon, learning rates by batch sizes around what the family's rules give there."""

    design: Literal["bowls"]
    """Sizes by horizons by learning rates by batch sizes."""
    tokens_per_param: tuple[Positive, ...] = ()
    """The horizons as D / N; or give tokens."""
    tokens: tuple[Positive, ...] = ()
    """The horizons as D."""
    learning_rate_factors: Annotated[tuple[Positive, ...], Field(min_length=1)] = (0.25, 0.5, 1.0, 2.0, 4.0)
    """Learning rates, in multiples of the rule's."""
    batch_factors: Annotated[tuple[Positive, ...], Field(min_length=1)] = (0.5, 1.0, 2.0)
    """Batch sizes, in multiples of the rule's."""

    @property
    def own_cells(self) -> dict[str, tuple[Any, ...]]:
        around = {"learning_rate_factor": self.learning_rate_factors, "batch_factor": self.batch_factors}
        return self.size_cells | horizon_cells(self.tokens_per_param, self.tokens) | around

    @model_validator(mode="after")
    def _one_of_each(self) -> "BowlsConfig":
        check_horizons(self.design, self.tokens_per_param, self.tokens)
        for name in ("learning_rate_factors", "batch_factors"):
            check_distinct(name, getattr(self, name))
        return self


def horizon_cells(ratios: tuple[float, ...], tokens: tuple[float, ...]) -> dict[str, tuple[Any, ...]]:
    return {"tokens": tokens} if tokens else {"tokens_per_param": ratios}


def check_horizons(design: str, ratios: tuple[float, ...], tokens: tuple[float, ...]) -> None:
    """ValueError where neither or both say a design's horizons, or one says one twice."""
    if bool(ratios) == bool(tokens):
        both = "both are given; leave one out" if tokens else "neither is given; give one"
        raise ValueError(f"tokens_per_param and tokens say the horizons of design {design}, and {both}")
    check_distinct("tokens_per_param", ratios)
    check_distinct("tokens", tokens)
