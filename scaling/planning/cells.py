"""A cell: what varies from one run of a sweep to another. All else is the study's."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scaling.records import Role

FLOPS = "flops"
"""Of an IsoFLOP cell: its horizon is a budget."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One size at one horizon, trained in one way.

    Attributes:
      values: name -> value: its size (width or params), its horizon (tokens, tokens_per_param or flops), and factors as
        config/factors.py has them.
      seed: k of the trajectory's seed, 1000 x study.seed + k.
    """

    values: Mapping[str, Any]
    seed: int = 0
    role: Role = "fit"

    def __str__(self) -> str:
        seed = f", seed {self.seed}" if self.seed else ""
        return f"{', '.join(f'{name} {shown(value)}' for name, value in self.values.items())}{seed}"


@dataclass(frozen=True, slots=True)
class Skipped:
    """A cell that is left out, and why."""

    cell: Cell
    width: int
    because: str


def shown(value: Any) -> str:
    """A value as a person writes it."""
    return f"{value:g}" if isinstance(value, float) else str(value)
