"""Tuned ladders: a few bowls first, a law of their best settings, and the sweep at the rates read off that law."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field, model_validator

from scaling.config.crossed import check_distinct, check_whole
from scaling.config.part import Part

Positive = Annotated[float, Field(gt=0)]
LEAST_CELLS = 3
"""A law of one input has two parameters, and one cell more shows how far cells stray from it."""
LEAST_FACTORS = 3
"""A bowl's curvature takes three settings."""
RATES = frozenset({"training.learning_rate", "training.learning_rate_exponent", "learning_rate_factor"})
BATCHES = frozenset({"training.batch_tokens", "training.batch_exponent", "batch_factor"})


class TuningCell(Part):
    """One size at one horizon, at which settings are swept."""

    width: Annotated[int, Field(ge=1)] | None = None
    """The size, as a width of the family; or give params."""
    params: Positive | None = None
    """The size as N: the family's width that is nearest in log N."""
    tokens: Positive | None = None
    """The horizon as D; or give tokens_per_param."""
    tokens_per_param: Positive | None = None
    """The horizon as D / N."""

    @property
    def values(self) -> dict[str, float]:
        """What of it is given, by name."""
        return {name: value for name, value in self if value is not None}

    @model_validator(mode="after")
    def _whole(self) -> "TuningCell":
        check_whole(self.values, f"is {self.values}, which")
        return self


class TuningConfig(Part):
    """Bowls at a few cells; the sweep's learning rates, and batch sizes where they were swept, read off their law."""

    cells: Annotated[tuple[TuningCell, ...], Field(min_length=LEAST_CELLS)]
    """Where the bowls are that the law is fitted to, as [{width: 24, tokens_per_param: 20}, ...]."""
    held_out: Annotated[tuple[TuningCell, ...], Field(min_length=1)]
    """Bowls that the law does not see: what its rate loses there is its regret."""
    learning_rate_factors: Annotated[tuple[Positive, ...], Field(min_length=LEAST_FACTORS)] = (0.25, 0.5, 1.0, 2.0, 4.0)
    """Learning rates of each bowl, in multiples of what the family's rules give."""
    batch_factors: Annotated[tuple[Positive, ...], Field(min_length=1)] = (1.0,)
    """Batch sizes of each bowl, in multiples of the rules'; more than one: the batch size is read off a law too."""
    seeds: Annotated[int, Field(ge=1)] = 1
    """Runs of each setting, which differ in their seed."""
    tokens_per_param: Positive | None = None
    """D / N at which each size's settings are read off the law, whatever its horizons; the geometric mean over cells
    where not given."""
    corners: Annotated[int, Field(ge=0, le=4)] = 2
    """Where a branch of a trunk is compared with a run of its own, at the settings of exactly its N and D: the smallest
    size's shortest horizon, the largest's longest, then the smallest's longest and the largest's shortest."""

    @property
    def over(self) -> tuple[str, ...]:
        """What is swept and read off a law."""
        return ("learning_rate", "batch_size") if len(self.batch_factors) > 1 else ("learning_rate",)

    @property
    def read_off(self) -> frozenset[str]:
        """Names that a sweep may not vary, as the law gives them."""
        return RATES | (BATCHES if len(self.batch_factors) > 1 else frozenset())

    @property
    def widths(self) -> dict[str, tuple[int, ...]]:
        """Field -> the widths that it names."""
        named: Sequence[tuple[str, tuple[TuningCell, ...]]] = (("cells", self.cells), ("held_out", self.held_out))
        return {where: tuple(one.width for one in some if one.width is not None) for where, some in named}

    @model_validator(mode="after")
    def _tell_bowls(self) -> "TuningConfig":
        for name in ("learning_rate_factors", "batch_factors"):
            check_distinct(name, getattr(self, name))
        if len(self.batch_factors) == 2:
            raise ValueError(
                f"batch_factors is {list(self.batch_factors)}: two batch sizes show no least between them; give one, "
                f"or at least {LEAST_FACTORS}"
            )
        if len(self.learning_rate_factors) == LEAST_FACTORS and self.seeds == 1 and len(self.batch_factors) == 1:
            raise ValueError(
                f"learning_rate_factors has {LEAST_FACTORS}: each bowl goes through all of its runs, and nothing shows "
                "the noise; give a fourth, or seeds 2"
            )
        return self

    @model_validator(mode="after")
    def _each_cell_once(self) -> "TuningConfig":
        check_distinct("cells", [one.values for one in self.cells])
        check_distinct("held_out", [one.values for one in self.held_out])
        both = [one.values for one in self.held_out if one in self.cells]
        if both:
            raise ValueError(f"held_out has {both[0]}, which cells has too; leave it out of one")
        return self
