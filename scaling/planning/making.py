"""From cells to trajectories. What a cell trains depends on nothing else in the sweep.

Models, batches and horizons are checked once each, for they are few; what is only a number of the recipe was checked
where the study was read, and is put in its place.
"""

from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Any, NamedTuple

from scaling.accounting import Count
from scaling.config import HORIZONS, MIXTURE, SIZES, Study
from scaling.planning.cells import FLOPS, Cell
from scaling.planning.family import batch_at
from scaling.planning.horizons import falls, horizon_at
from scaling.planning.rates import Rate, Rule
from scaling.planning.sizes import BATCH_FACTOR, Settings, Size, Sizes
from scaling.records import DataRecord, Horizon, Recipe, Role, Trajectory, shares

SEEDS_PER_STUDY = 1000
"""Trajectory seeds are 1000 x study.seed + k, so that two study seeds never share one."""
RATE, RATE_FACTOR = "training.learning_rate", "learning_rate_factor"
COPIED = (
    "final_rate",
    "weight_decay",
    "independent_weight_decay",
    "beta1",
    "beta2",
    "epsilon",
    "momentum",
    "gradient_clip",
    "divergence_factor",
)
"""Fields of training that are the recipe's as they are, and decide neither model nor horizon."""
NUMBERS = frozenset({RATE, RATE_FACTOR, *(f"training.{name}" for name in COPIED)})


class Placed(NamedTuple):
    """A cell with all that is worked out for it."""

    cell: Cell
    size: Size
    recipe: Recipe
    identity: Any
    """The same for cells of one trajectory, and for no others."""
    horizon: Horizon

    def value(self, name: str) -> Any:
        """What a condition may ask for: N is that of the model, not what it was chosen by."""
        if name in self.cell.values and name != "params":
            return self.cell.values[name]
        match name:
            case "width":
                return self.size.model.width
            case "params":
                return self.size.params
            case "tokens":
                return self.horizon.budget / self.size.flops_per_token
            case "tokens_per_param":
                return self.horizon.budget / self.size.flops_per_token / self.size.params
            case "flops":
                return self.horizon.budget
            case "learning_rate":
                return self.recipe.learning_rate
            case "batch_tokens":
                return self.recipe.sequences * self.size.model.sequence_length
            case "seed":
                return self.cell.seed
        return None  # a factor that other cells of a list have


class _Names(NamedTuple):
    """The names of a cell by what they decide."""

    size: str
    horizon: str
    settings: tuple[str, ...]
    numbers: tuple[str, ...]


class Maker:
    """Makes the trajectories of cells; what several of them have in common is made once."""

    def __init__(self, study: Study, data: DataRecord, count: Count, rule: Rule | None = None):
        """`rule` takes the place of the family's rules, where there is one."""
        self._study, self._data, self._rule = study, data, rule
        self.sizes = Sizes(study, count)
        self._names: dict[tuple[str, ...], _Names] = {}
        self._shares: dict[str, dict[str, float]] = {}
        self._horizons: dict[tuple[Size, str, float, bool], Horizon] = {}
        self._recipes: dict[Any, tuple[Recipe, Any]] = {}
        self._templates: dict[Size, Trajectory] = {}

    def placed(self, cell: Cell, round_up: bool = False) -> Placed:
        """`round_up` has the horizon reach what the cell asks for.

        Raises:
          StudyError: there is no such model.
        """
        values = cell.values
        names = self._named(tuple(values))
        settings: Settings = tuple((name, values[name]) for name in names.settings)
        width = values[names.size]
        if names.size != "width":
            width = self.sizes.nearest(settings, width)
        size = self.sizes.at(settings, width)
        rate = None
        if self._rule is not None:
            tokens, _ = _tokens(size, names.horizon, values[names.horizon])
            rate = self._rule(size.params, float(tokens))
            if rate.batch_tokens is not None:
                factor = rate.batch_tokens / batch_at(size.model.width, size.study.training)
                size = self.sizes.at((*settings, (BATCH_FACTOR, factor)), width)
        horizon = self._horizon(size, names.horizon, values[names.horizon], round_up)
        recipe, identity = self._recipe(size, cell, names.numbers, horizon, rate)
        return Placed(cell, size, recipe, identity, horizon)

    def trajectory(self, placed: Placed, horizons: Iterable[Horizon], role: Role) -> Trajectory:
        """One trajectory; checked once for each size, then copied with another recipe and other horizons."""
        size, own = placed.size, tuple(horizons)
        if size not in self._templates:
            self._templates[size] = size.trajectory(size.recipe, self._data, own)
        return self._templates[size].model_copy(update={"recipe": placed.recipe, "role": role, "horizons": own})

    def _horizon(self, size: Size, kind: str, value: float, round_up: bool) -> Horizon:
        """At so many tokens, tokens a parameter, or FLOPs."""
        key = (size, kind, value, round_up)
        if key not in self._horizons:
            tokens, budget = _tokens(size, kind, value)
            length, training = size.model.sequence_length, size.study.training
            self._horizons[key] = horizon_at(tokens, budget, size.recipe, length, training, round_up)
        return self._horizons[key]

    def _named(self, names: tuple[str, ...]) -> _Names:
        if names not in self._names:
            special = {*SIZES, *HORIZONS, FLOPS, MIXTURE, *NUMBERS}
            self._names[names] = _Names(
                size=next(name for name in names if name in SIZES),
                horizon=next(name for name in names if name in (*HORIZONS, FLOPS)),
                settings=tuple(sorted(name for name in names if name not in special)),
                numbers=tuple(name for name in names if name in NUMBERS),
            )
        return self._names[names]

    def _recipe(
        self, size: Size, cell: Cell, numbers: tuple[str, ...], horizon: Horizon, rate: Rate | None
    ) -> tuple[Recipe, Any]:
        values = cell.values
        mixture = self._mixture(values[MIXTURE]) if MIXTURE in values else None
        steps = horizon.steps if falls(size.recipe.schedule) else None
        own = tuple(values[name] for name in numbers)
        key = (size, own, numbers, mixture and tuple(mixture.items()), cell.seed, steps, rate)
        if key not in self._recipes:
            changes: dict[str, Any] = {
                "seed": SEEDS_PER_STUDY * self._study.seed + cell.seed,
                "total_steps": steps,
                "learning_rate": rate.learning_rate
                if rate is not None
                else size.learning_rate(
                    values.get(RATE, size.study.training.learning_rate), values.get(RATE_FACTOR, 1.0)
                ),
            }
            changes |= {name.partition(".")[2]: values[name] for name in numbers if name not in (RATE, RATE_FACTOR)}
            changes |= {} if mixture is None else {"mixture": mixture}
            recipe = size.recipe.model_copy(update=changes)
            plain = dict(recipe.__dict__, mixture=tuple(recipe.mixture.items()))
            self._recipes[key] = recipe, (size.model, tuple(plain.values()))
        return self._recipes[key]

    def _mixture(self, weights: Mapping[str, float]) -> dict[str, float]:
        key = repr(weights)
        if key not in self._shares:
            every = {name: weights.get(name, 0.0) for name in self._study.data.mixture}
            self._shares[key] = shares(every)
        return self._shares[key]


def _tokens(size: Size, kind: str, value: float) -> tuple[Fraction, float]:
    """(tokens, FLOPs) of a horizon before it is rounded to whole steps."""
    numerator, denominator = value.as_integer_ratio()
    if kind == FLOPS:
        return Fraction(numerator, denominator * size.flops_per_token), value
    numerator *= size.params if kind == "tokens_per_param" else 1
    return Fraction(numerator, denominator), numerator * size.flops_per_token / denominator
