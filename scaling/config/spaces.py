"""Designs whose cells are any combination of what may vary: grid, random, quasirandom, list."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from scaling.config.crossed import CrossedConfig
from scaling.config.factors import adapters, check_name, checked, is_number
from scaling.config.skip import flat

MOST_DIMENSIONS = 64
"""Names that a draw may have."""


class GridConfig(CrossedConfig):
    """Every combination of factors, sizes and horizons among them."""

    design: Literal["grid"]
    """Every combination of factors."""

    @property
    def own_cells(self) -> Mapping[str, tuple[Any, ...]]:
        return {}


def _checked_ranges(given: Any) -> Any:
    if not isinstance(given, Mapping):
        raise ValueError(f"is {given!r}; write NAME: [least, most]")
    numbers = [name for name in adapters() if is_number(name)]
    found = {}
    for name, ends in flat(given).items():
        check_name(name, numbers)
        if not isinstance(ends, list | tuple) or len(ends) != 2:
            raise ValueError(f"has {name} {ends!r}; give two numbers, [least, most]")
        low, high = (checked(name, end) for end in ends)
        if not 0 < low < high:
            raise ValueError(f"has {name} {list(ends)}; draws are even in the logarithm: give 0 < least < most")
        found[name] = (low, high)
    return found


Ranges = Annotated[
    Mapping[str, tuple[Any, Any]], BeforeValidator(_checked_ranges), Field(min_length=1, max_length=MOST_DIMENSIONS)
]


class DrawnConfig(CrossedConfig):
    """Cells drawn from a box, even in the logarithm of each side."""

    samples: Annotated[int, Field(ge=1)]
    """Cells that are drawn. More of them later leave the first as they are."""
    ranges: Ranges
    """NAME: [least, most] of what is drawn: params, tokens, tokens_per_param, training.* and family.* numbers,
    learning_rate_factor, batch_factor."""

    @property
    def own_cells(self) -> Mapping[str, tuple[Any, ...]]:
        return {}

    @property
    def own_names(self) -> tuple[frozenset[str], ...]:
        return (frozenset(self.ranges),)


class RandomConfig(DrawnConfig):
    """Cells drawn independently."""

    design: Literal["random"]
    """Drawn independently, from the study's seed."""


class QuasirandomConfig(DrawnConfig):
    """Cells of a scrambled Sobol sequence, which leaves no part of the box empty."""

    design: Literal["quasirandom"]
    """A scrambled Sobol sequence, from the study's seed; a power of 2 of samples is the most even."""


def _checked_cells(given: Any) -> Any:
    if not isinstance(given, list | tuple) or not given:
        raise ValueError(f"is {given!r}; give a list of cells, as [{{width: 64, tokens: 1e6}}]")
    found = []
    for place, one in enumerate(given):
        if not isinstance(one, Mapping):
            raise ValueError(f"has {one!r}; write a cell as {{width: 64, tokens: 1e6}}")
        cell = flat(one)
        for name in cell:
            try:
                check_name(name, adapters())
                cell[name] = checked(name, cell[name])
            except ValueError as error:
                raise ValueError(f"{str(error).replace('has', f'has at {place}', 1)}") from None
        found.append(cell)
    return tuple(found)


class ListConfig(CrossedConfig):
    """The cells that are listed."""

    design: Literal["list"]
    """The cells that are listed."""
    cells: Annotated[tuple[Mapping[str, Any], ...], BeforeValidator(_checked_cells)]
    """[{width: 64, tokens: 1e6, training.learning_rate: 1e-3}, ...]: what may be a factor, by name."""

    @property
    def own_cells(self) -> Mapping[str, tuple[Any, ...]]:
        return {}

    @property
    def own_names(self) -> tuple[frozenset[str], ...]:
        return tuple(frozenset(cell) for cell in self.cells)

    def _listed(self, name: str) -> Iterator[tuple[str, tuple[Any, ...]]]:
        yield "cells", tuple(cell[name] for cell in self.cells if name in cell)
        yield from super()._listed(name)

    @model_validator(mode="after")
    def _each_once(self) -> "ListConfig":
        seen: dict[str, int] = {}
        for place, cell in enumerate(self.cells):
            key = repr(sorted(cell.items(), key=lambda item: item[0]))
            if key in seen:
                raise ValueError(f"cells has {dict(cell)} twice, at {seen[key]} and {place}; leave one out")
            seen[key] = place
        return self
