"""Cells of a sweep that are left out, and why."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from scaling.config.part import Part

DERIVED = ("width", "params", "tokens", "tokens_per_param", "flops", "learning_rate", "batch_tokens", "seed")
"""What is known of every cell, whatever the sweep varies."""


class Condition(Part):
    """What a value must be; all that is given holds at once."""

    equals: Any = None
    """This value."""
    above: float | None = None
    """More than this."""
    below: float | None = None
    """Less than this."""
    any_of: tuple[Any, ...] = ()
    """One of these."""

    @model_validator(mode="after")
    def _says_something(self) -> "Condition":
        if self.equals is None and self.above is None and self.below is None and not self.any_of:
            raise ValueError("is empty; give equals, above, below or any_of")
        return self


def _short(value: Any) -> Any:
    """A value alone is equals, a list alone is any_of."""
    if isinstance(value, Mapping | Condition):
        return value
    return {"any_of": value} if isinstance(value, list | tuple) else {"equals": value}


def flat(value: Any) -> Any:
    """Nested mappings with dotted names, {training: {beta1: x}} as {training.beta1: x}."""
    if not isinstance(value, Mapping):
        return value
    found: dict[Any, Any] = {}
    for name, one in value.items():
        nested = name in ("training", "family") and isinstance(one, Mapping)
        found |= {f"{name}.{field}": of for field, of in one.items()} if nested else {name: one}
    return found


Conditions = Annotated[
    Mapping[str, Annotated[Condition, BeforeValidator(_short)]], BeforeValidator(flat), Field(min_length=1)
]


class SkipConfig(Part):
    """Cells to leave out: those for which every condition holds."""

    when: Conditions
    """What varies, or width, params, tokens, tokens_per_param, flops, learning_rate, batch_tokens, seed (from 0) ->
    {above: 1e-2}, {below: ...}, {equals: ...} or {any_of: [...]}; a value or a list alone will do."""
    because: Annotated[str, Field(min_length=1)]
    """The reason, kept in the plan."""
