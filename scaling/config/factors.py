"""What a sweep may vary: names and the values that they take.

width or params is a cell's size, tokens or tokens_per_param its horizon; the others change how it is trained.
"""

import difflib
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Annotated, Any, get_args

from pydantic import BaseModel, BeforeValidator, Field, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from scaling.config.family import FamilyConfig
from scaling.config.own import Own
from scaling.config.skip import flat
from scaling.config.training import TrainingConfig

SIZES = ("width", "params")
HORIZONS = ("tokens", "tokens_per_param")
MIXTURE = "mixture"
RELATIVE = ("learning_rate_factor", "batch_factor")
"""Factors of what the family's rules give at a size."""
NOT_VARIED = (
    "training.batch_ramp",
    "training.steps_per_dispatch",
    "training.minimum_steps",
    "family.block",
    "family.model",
)
"""Fields that are no scalars, or that change no result."""
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


@cache
def adapters() -> dict[str, TypeAdapter[Any]]:
    """Name -> what its values must be."""
    found: dict[str, Any] = {"width": Annotated[int, Field(ge=1)], "params": Positive}
    found |= dict.fromkeys((*HORIZONS, *RELATIVE), Positive)
    found[MIXTURE] = dict[str, Annotated[float, Field(ge=0, allow_inf_nan=False)]]
    for part, model in (("training", TrainingConfig), ("family", FamilyConfig)):
        found |= {name: _kind(field) for name, field in _fields(part, model) if name not in NOT_VARIED}
    return {name: TypeAdapter(kind) for name, kind in found.items()}


def is_number(name: str) -> bool:
    """Whether its values lie on a line, so that they can be drawn from a range."""
    return bool(_types(name) & {int, float}) and name != "width"


def is_whole(name: str) -> bool:
    return float not in _types(name) and int in _types(name)


def check_name(name: Any, known: Iterable[str]) -> None:
    """ValueError with the nearest right name where `name` is none of `known`."""
    known = list(known)
    if name in known:
        return
    ends = {one.rpartition(".")[2]: one for one in known}
    close = difflib.get_close_matches(str(name), known, n=1, cutoff=0.6)
    close = close or [ends[end] for end in difflib.get_close_matches(str(name), ends, n=1, cutoff=0.6)]
    hint = f"did you mean {close[0]}?" if close else f"names: {', '.join(known)}"
    raise ValueError(f"has {name!r}, which cannot vary; {hint}")


def checked(name: str, value: Any) -> Any:
    """`value` as its field takes it; ValueError says what is wrong with it."""
    try:
        found = adapters()[name].validate_python(value)
    except ValidationError as error:
        said = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise ValueError(f"has {name} {value!r}; {said[0].lower()}{said[1:]}") from None
    if isinstance(found, Own):
        raise ValueError(f"has {name} {value!r}; a part of your own cannot vary: make a study for each")
    return found


def checked_lists(given: Any) -> Any:
    """A validator: NAME -> its values, every one as its field takes it."""
    if not isinstance(given, Mapping):
        raise ValueError(f"is {given!r}; write NAME: [value, ...]")
    found = {}
    for name, values in flat(given).items():
        check_name(name, adapters())
        if not isinstance(values, list | tuple) or not values:
            raise ValueError(f"has {name} {values!r}; give a list of values")
        found[name] = tuple(checked(name, value) for value in values)
    return found


Factors = Annotated[Mapping[str, tuple[Any, ...]], BeforeValidator(checked_lists)]
"""Name -> its values."""


def _fields(part: str, model: type[BaseModel]) -> Iterable[tuple[str, FieldInfo]]:
    return ((f"{part}.{name}", field) for name, field in model.model_fields.items())


def _kind(field: FieldInfo) -> Any:
    return Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation


@cache
def _types(name: str) -> set[Any]:
    part, _, field = name.partition(".")
    if not field:
        return {int} if name == "width" else set() if name == MIXTURE else {float}
    model: type[BaseModel] = TrainingConfig if part == "training" else FamilyConfig
    annotation = model.model_fields[field].annotation
    return {annotation, *(get_args(one)[0] if get_args(one) else one for one in get_args(annotation))}
