"""What every design but isoflop may cross with its own cells: factors, values that vary together, seeds."""

from collections.abc import Collection, Iterator, Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from scaling.config.factors import HORIZONS, MIXTURE, SIZES, Factors, check_name, checked_lists
from scaling.config.part import Part
from scaling.config.skip import DERIVED, SkipConfig


class CrossedConfig(Part):
    """Every cell of the design itself, with every combination of `factors`, `zipped` and `seeds`."""

    design: str
    """How the cells are laid out."""
    factors: Annotated[Mapping[str, tuple[Any, ...]], BeforeValidator(checked_lists)] = {}
    """NAME: [value, ...] of what is crossed with the design's cells: training.* or family.* fields, mixture,
    learning_rate_factor, batch_factor (of what the family's rules give), size and horizon where the design has none."""
    zipped: tuple[Factors, ...] = ()
    """[{NAME: [...], NAME: [...]}, ...]: the names of a mapping vary together, their first values in one cell."""
    skip: tuple[SkipConfig, ...] = ()
    """Cells to leave out, each with its reason."""
    seeds: Annotated[int, Field(ge=1)] = 1
    """Runs of each cell, which differ in their seed."""

    @property
    def own_cells(self) -> Mapping[str, tuple[Any, ...]]:
        """Name -> values of the design's own cells, before anything is crossed with them; none of what is drawn."""
        raise NotImplementedError

    @property
    def own_names(self) -> tuple[frozenset[str], ...]:
        """Names of the design's own cells; several sets where they differ."""
        return (frozenset(self.own_cells),)

    @property
    def crossed(self) -> tuple[Mapping[str, tuple[Any, ...]], ...]:
        """What is crossed with the design's cells: the names of each mapping vary together."""
        return (*({name: values} for name, values in self.factors.items()), *self.zipped)

    @property
    def names(self) -> frozenset[str]:
        """All that varies."""
        return frozenset().union(*self.own_names, *self.crossed)

    @property
    def width_fields(self) -> dict[str, tuple[int, ...]]:
        """Field of the sweep -> the widths that it names; none where the rule of heads varies."""
        if {name for name in self.names if name.startswith("family.")} & HEAD_RULES:
            return {}
        return {where: values for where, values in self._listed("width") if values}

    @property
    def mixtures(self) -> tuple[dict[str, float], ...]:
        """Every mixture that some cell is trained on."""
        return tuple(dict(one) for _, values in self._listed(MIXTURE) for one in values)

    @property
    def mixture_field(self) -> str:
        return next((where for where, values in self._listed(MIXTURE) if values), MIXTURE)

    def _listed(self, name: str) -> Iterator[tuple[str, tuple[Any, ...]]]:
        """(field of the sweep, values of `name` there)."""
        yield OWN_FIELDS.get(name, name), tuple(self.own_cells.get(name, ()))
        yield f"factors.{name}", self.factors.get(name, ())
        for place, group in enumerate(self.zipped):
            yield f"zipped.{place}.{name}", group.get(name, ())

    @model_validator(mode="after")
    def _each_name_once(self) -> "CrossedConfig":
        groups = [("factors", self.factors), *((f"zipped.{place}", one) for place, one in enumerate(self.zipped))]
        given = {name: "the cells" for own in self.own_names for name in own}
        for where, group in groups:
            for name, values in group.items():
                if name in given:
                    raise ValueError(
                        f"{where} has {name}, which {given[name]} of design {self.design} give; leave one out"
                    )
                given[name] = where
                if where == "factors":
                    check_distinct(f"factors.{name}", values)
            lengths = {name: len(values) for name, values in group.items()}
            if where != "factors" and len(set(lengths.values())) != 1:
                told = ", ".join(f"{name} {length}" for name, length in lengths.items())
                raise ValueError(f"{where} has lists of unequal length ({told or 'none'}); give each as many values")
        return self

    @model_validator(mode="after")
    def _each_cell_is_whole(self) -> "CrossedConfig":
        further = frozenset().union(*self.crossed)
        for place, own in enumerate(self.own_names):
            where = f"cells.{place}" if len(self.own_names) > 1 else f"design {self.design}"
            check_whole(own | further, where)
        return self

    @model_validator(mode="after")
    def _skips_are_of_what_varies(self) -> "CrossedConfig":
        for place, rule in enumerate(self.skip):
            check_conditions(place, rule, self.names)
        return self


HEAD_RULES = {"family.heads", "family.head_width", "family.queries_per_kv_head"}
OWN_FIELDS = {"width": "widths"}
"""Names of a design's own cells that are given by a field of another name."""


def check_distinct(where: str, values: Collection[Any]) -> None:
    """ValueError where a value appears twice."""
    seen = set()
    for value in values:
        key = repr(sorted(value.items())) if isinstance(value, Mapping) else value
        if key in seen:
            raise ValueError(f"{where} has {value!r} twice; leave one out")
        seen.add(key)


def check_whole(names: Collection[str], where: str) -> None:
    """ValueError where cells of these names have no size or horizon, or two."""
    for kind, among in (("size", SIZES), ("horizon", HORIZONS)):
        found = [name for name in among if name in names]
        if len(found) != 1:
            said = f"two: {' and '.join(found)}; leave one out" if found else f"none; give {' or '.join(among)}"
            raise ValueError(f"{where} needs one {kind} of each cell, and has {said}")


def check_conditions(place: int, rule: SkipConfig, varied: Collection[str]) -> None:
    """ValueError where a condition is on something that no cell has."""
    for name in rule.when:
        try:
            check_name(name, dict.fromkeys((*sorted(varied), *DERIVED)))
        except ValueError as error:
            raise ValueError(f"skip.{place}.when {error}") from None
