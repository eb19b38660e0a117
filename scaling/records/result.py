"""What a command of the user's own answers: a result file for each horizon."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, TypeAdapter, ValidationError

from scaling.config import Part, explain

Number = Annotated[float, Field(strict=True)]
Positive = Annotated[float, Field(strict=True, gt=0)]
NotNegative = Annotated[float, Field(strict=True, ge=0)]
Count = Annotated[int, Field(strict=True, ge=1)]
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
"""Part of a column's name."""


class ResultError(ValueError):
    """A result file that says something else than it may. The message names the file and the field."""


class Result(Part):
    """A horizon that was trained and measured."""

    schema_version: Literal[1] = 1
    loss: Positive
    """Mean held-out cross-entropy in nats a token."""
    loss_se: NotNegative | None = None
    """Its standard error over held-out documents."""
    train_loss: Positive | None = None
    """Mean training loss at the end."""
    bits_per_byte: Positive | None = None
    """Nats of all held-out tokens / ln 2 / bytes of their text."""
    metrics: Mapping[Name, Number] = {}
    """Whatever else was measured; each is a column metric_<name>."""
    tokens: Count | None = None
    """D as it was trained, where it is not as planned."""
    params: Count | None = None
    """N as it was trained, under the task's params_convention, where it is not as planned."""
    flops: Positive | None = None
    """C of all its training, under the task's flops_convention, where it is not as planned."""
    unique_tokens: Count | None = None
    """Training tokens, each counted once, where they are not the study's text."""


class DivergedResult(Part):
    """A trajectory that ended early: no horizon of it enters a fit."""

    schema_version: Literal[1] = 1
    diverged: Literal[True]
    step: Annotated[int, Field(strict=True, ge=0)]
    """The optimiser step at which the loss exploded."""
    loss: Number | None = None
    """The loss there, where it is a number."""


def parse_result(said: Any, source: str) -> Result | DivergedResult:
    """A result file's content; ResultError names `source`, each wrong field, its value and what is allowed."""
    if not isinstance(said, dict):
        raise ResultError(f"{source} holds {said!r}, not an object with the field loss")
    kind: type[Result] | type[DivergedResult] = DivergedResult if said.get("diverged") else Result
    if said.get("diverged") is False:
        said = {name: value for name, value in said.items() if name != "diverged"}
    try:
        return kind.model_validate(said)
    except ValidationError as error:
        raise ResultError(f"{source}: {explain(error, kind)}") from None


def result_schema() -> dict[str, Any]:
    """The JSON schema of a result file."""
    return {"title": "Result file"} | TypeAdapter(Result | DivergedResult).json_schema()
