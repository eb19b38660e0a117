"""Designs as cells: the design's own, crossed with factors, values that vary together, and seeds."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any

from scaling.accounting import Count
from scaling.config import MIXTURE, CrossedConfig, DrawnConfig, IsoflopConfig, ListConfig, RandomConfig, Study
from scaling.planning import isoflop
from scaling.planning.cells import Cell
from scaling.planning.drawing import drawn
from scaling.records import shares


def cells(study: Study, count: Count) -> Iterator[Cell]:
    """Every cell of the study's sweep, skipped ones included, in the plan's order."""
    if isinstance(study.sweep, IsoflopConfig):
        yield from isoflop.cells(study, study.sweep, count)
        return
    combinations = [_merged(parts) for parts in product(*map(_rows, study.sweep.crossed))]
    own_mixture = shares(study.data.weights)
    for own in own_cells(study.sweep, study.seed):
        for further in combinations:
            values = {**own, **further}
            mixture = values.get(MIXTURE)
            other = mixture is not None and shares(_every(study, mixture)) != own_mixture
            for k in range(study.sweep.seeds):
                yield Cell(values, k, "mixture" if other else "fit")


def own_cells(sweep: CrossedConfig, seed: int) -> Iterator[Mapping[str, Any]]:
    """The design's own cells, before anything is crossed with them."""
    if isinstance(sweep, DrawnConfig):
        yield from drawn(sweep.ranges, sweep.samples, seed, even=not isinstance(sweep, RandomConfig))
    elif isinstance(sweep, ListConfig):
        yield from sweep.cells
    else:
        own = sweep.own_cells
        for values in product(*own.values()):
            yield dict(zip(own, values, strict=True))


def _rows(group: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """The first values of all names, then the second, ..."""
    return [dict(zip(group, values, strict=True)) for values in zip(*group.values(), strict=True)]


def _merged(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {name: value for part in parts for name, value in part.items()}


def _every(study: Study, mixture: Mapping[str, float]) -> dict[str, float]:
    return {name: mixture.get(name, 0.0) for name in study.data.mixture}
