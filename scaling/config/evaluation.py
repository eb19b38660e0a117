"""What is measured of an annealed model: its losses on named held-out sets, and numbers of the user's own."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, StringConstraints, field_validator, model_validator

from scaling.config.own import OwnPart
from scaling.config.part import Part


class SetConfig(Part):
    """One held-out set: text, read as a corpus is, or questions with choices."""

    path: Annotated[str, Field(min_length=1)]
    """A file, a folder, a glob, as data.corpus; or JSON lines of questions."""
    kind: Literal["auto", "text", "choices"] = "auto"
    """text; choices: JSON lines of prompt, choices and answer; auto: choices where the first record has such fields."""
    text_field: str | None = None
    """Of text in JSON lines: the field that holds a document's text."""
    prompt_field: str = "prompt"
    """Of questions: the field that holds the text before the choice."""
    choices_field: str = "choices"
    """Of questions: the field that holds the list of choices, each as it follows the prompt, its space included."""
    answer_field: str = "answer"
    """Of questions: the field that holds the right choice, as its index from 0 or as its text."""
    normalize: Literal["bytes", "none"] = "bytes"
    """Of questions: choices are compared by log-likelihood a byte, or by log-likelihood."""

    @model_validator(mode="after")
    def _of_its_kind(self) -> "SetConfig":
        if self.kind == "choices" and self.text_field is not None:
            raise ValueError(f"text_field is {self.text_field!r}, but kind is choices, which has no such field")
        if self.kind == "text":
            for name in ("prompt_field", "choices_field", "answer_field", "normalize"):
                if getattr(self, name) != type(self).model_fields[name].default:
                    raise ValueError(f"{name} is {getattr(self, name)!r}, but kind is text, which has no questions")
        return self


def _path_alone(value: Any) -> Any:
    if isinstance(value, str):
        return {"path": value}
    if not isinstance(value, Mapping | SetConfig):
        raise ValueError(f"is {value!r}; give a path, or details as {{path: quiz.jsonl, kind: choices}}")
    return value


SET_NAME = r"[a-z][a-z0-9_]{0,39}"
SetName = Annotated[str, StringConstraints(pattern=f"^{SET_NAME}$")]
"""Part of the names of columns and files."""
OneSet = Annotated[SetConfig, BeforeValidator(_path_alone, json_schema_input_type=str | SetConfig)]


class EvaluationConfig(Part):
    """What is measured of an annealed model beside its held-out loss."""

    metrics: tuple[OwnPart, ...] = ()
    """Your own functions of the held-out losses, as module:attribute; each is a column metric_<attribute>."""
    sets: Mapping[SetName, OneSet] = {}
    """Named held-out sets, NAME: PATH, or with details; each is columns NAME.loss, NAME.bits_per_byte, ..."""

    @field_validator("sets", mode="before")
    @classmethod
    def _named(cls, sets: Any) -> Any:
        if not isinstance(sets, Mapping):
            raise ValueError(f"is {sets!r}; write NAME: PATH of each set")
        for name in sets:
            if not isinstance(name, str) or not re.fullmatch(SET_NAME, name):
                raise ValueError(f"is {dict(sets)!r}; {name!r} names columns: use small letters, digits and _, as news")
        return sets

    @model_validator(mode="after")
    def _distinct(self) -> "EvaluationConfig":
        for metric in self.metrics:
            others = [other for other in self.metrics if other.attribute == metric.attribute and other is not metric]
            if others:
                raise ValueError(
                    f"metrics has {metric!r} and {others[0]!r}, which would be one column metric_{metric.attribute}; "
                    "rename one of them"
                )
        return self
