"""Fields of the study on the command line: `--training.learning-rate 3e-3` is `training: {learning_rate: 3e-3}`.

The value is read as YAML and checked by the same models as the file, so that both give the same errors.
"""

import copy
import json
from collections.abc import Iterator, Mapping, Sequence
from types import UnionType
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from scaling.config.isoflop import IsoflopConfig
from scaling.config.reading import StudyError, parse_yaml, tagged
from scaling.config.study import Study
from scaling.config.sweep import DESIGNS

DESIGN_MEANING = f"How the cells are laid out: {', '.join(DESIGNS)}."


def override(raw: Mapping[str, Any], arguments: Sequence[str]) -> dict[str, Any]:
    """`raw` with each `--dotted.field value ...` in its place; several values make a list.

    Raises:
      StudyError: an argument that is not an option, or an option without a value.
    """
    changed = copy.deepcopy(dict(raw))
    given = list(_options(arguments))
    design = _design(changed, given)
    for option, values in given:
        *parents, leaf = option.replace("-", "_").split(".")
        part = changed
        for parent in parents:
            part = part.setdefault(parent, {})
            if not isinstance(part, dict):
                raise StudyError(f"--{option}: {parent} is {part!r} in the study, not a part with fields")
        scalar = len(values) == 1 and (isinstance(values[0], list) or not _is_sequence(parents, leaf, design))
        part[leaf] = values[0] if scalar else values
    return changed


def fields(
    model: type[BaseModel] = Study, prefix: str = "", design: str | None = None
) -> Iterator[tuple[str, FieldInfo]]:
    """(dotted option name, field) of every field that can be overridden; of one design, or for each that has it."""
    for name, field in model.model_fields.items():
        option = f"{prefix}{name.replace('_', '-')}"
        members = tagged(field)
        if members:
            for member in [members[design]] if design in members else members.values():
                yield from fields(member, f"{option}.", design)
        elif isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from fields(field.annotation, f"{option}.", design)
        else:
            yield option, field


def explained() -> Iterator[tuple[str, str, str]]:
    """(option, default as JSON, meaning) of every field; of a field that not every design has, after their names."""
    designs: dict[tuple[str, str, str], list[str]] = {}
    design = ""
    for option, field in fields():
        meaning = field.description or ""
        if option == "sweep.design":
            design = get_args(field.annotation)[0]
            meaning, default = DESIGN_MEANING, _plain(IsoflopConfig.model_fields["design"])
        else:
            default = "required" if field.is_required() else _plain(field)
        designs.setdefault((option, default, meaning), []).append(design if option.startswith("sweep.") else "")
    for (option, default, meaning), of in designs.items():
        some = option.startswith("sweep.") and len(of) < len(DESIGNS)
        yield option, default, f"{', '.join(of)}: {meaning}" if some else meaning


def _plain(field: FieldInfo) -> str:
    return json.dumps(field.get_default(call_default_factory=True, validated_data={}), default=str)


def _options(arguments: Sequence[str]) -> Iterator[tuple[str, list[Any]]]:
    option: str | None = None
    values: list[Any] = []
    for argument in arguments:
        if argument.startswith("--"):
            if option is not None:
                yield _with_values(option, values)
            option, _, attached = argument[2:].partition("=")
            values = [parse_yaml(attached, f"--{option}")] if attached else []
        elif option is None:
            raise StudyError(
                f"{argument!r} is not an option; give fields of the study as --training.learning-rate 3e-3"
            )
        else:
            values.append(parse_yaml(argument, f"--{option}"))
    if option is not None:
        yield _with_values(option, values)


def _with_values(option: str, values: list[Any]) -> tuple[str, list[Any]]:
    if not values:
        raise StudyError(f"--{option} has no value; give one, as in --training.learning-rate 3e-3")
    return option, values


def _design(raw: Mapping[str, Any], given: Sequence[tuple[str, list[Any]]]) -> str | None:
    """The sweep's design as it will be; None where there is no such sweep."""
    named = [values[0] for option, values in given if option == "sweep.design"]
    sweep = raw.get("sweep", {})
    return str(named[-1] if named else sweep.get("design", "isoflop")) if isinstance(sweep, Mapping) else None


def _is_sequence(parents: Sequence[str], leaf: str, design: str | None) -> bool:
    dotted = ".".join([*parents, leaf]).replace("_", "-")
    kinds = [field.annotation for option, field in fields(design=design) if option == dotted]
    return any(get_origin(one) is tuple for kind in kinds for one in (get_args(kind) if _either(kind) else (kind,)))


def _either(annotation: Any) -> bool:
    return isinstance(annotation, UnionType)
