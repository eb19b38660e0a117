"""A study from YAML, and errors that name the dotted field, the value and the nearest right name."""

import difflib
import re
from collections.abc import Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from scaling.config.study import Study

IN_YAML = {
    **dict.fromkeys(("tuple_type", "list_type"), "should be a list, as in [1, 2]"),
    **dict.fromkeys(("model_type", "model_attributes_type", "dict_type"), "should be fields, as in {name: value}"),
}
"""What Pydantic calls by the names of Python's types, as a study writes it; by its error's type."""


class StudyError(ValueError):
    """Bad input, found before any compute is spent. The message names the field, the value and the fix."""


def read_study(path: str | Path) -> dict[str, Any]:
    """A study file as plain data, not yet validated.

    Raises:
      StudyError: the file is missing, or is not a YAML mapping.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise StudyError(f"study: {path} does not exist{_nearby(path)}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise StudyError(f"study: {path} cannot be read: {error}") from None
    raw = parse_yaml(text, f"study: {path}")
    if not isinstance(raw, Mapping):
        raise StudyError(f"study: {path} holds {type(raw).__name__}, not a mapping of fields")
    return dict(raw)


def load_study(path: str | Path) -> Study:
    """Read a study from a YAML file.

    Raises:
      StudyError: the file is missing, is not YAML, or does not describe a study.
    """
    return parse_study(read_study(path), source=str(path))


def parse_yaml(text: str, source: str) -> Any:
    """YAML as plain data; StudyError names `source` where it is not YAML."""
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        raise StudyError(f"{source} is not YAML: {error}") from None


def parse_study(raw: Mapping[str, Any], source: str = "study") -> Study:
    """A Study from plain data; StudyError names each wrong field, its value and what is allowed."""
    try:
        return Study.model_validate(raw)
    except ValidationError as error:
        raise StudyError(f"{source}: {explain(error, Study)}") from None


def dump_study(study: Study) -> str:
    """The study as YAML, every field written out; `parse_study` reads it back unchanged."""
    return yaml.safe_dump(study.model_dump(mode="json"), sort_keys=False)


def explain(error: ValidationError, root: type[BaseModel]) -> str:
    """Pydantic's complaint in one line a field: dotted name, value, what is allowed, nearest right name."""
    return "\n".join(_explain_one(item, root) for item in error.errors(include_url=False))


def _explain_one(item: ErrorDetails, root: type[BaseModel]) -> str:
    names, place, beside = _walk(item["loc"], root)
    dotted = ".".join(names)
    if item["type"] == "extra_forbidden":
        return f"{dotted} is not a field{_instead(str(item['loc'][-1]), place, beside)}"
    message = re.sub(r"^Value error, ", "", item["msg"])
    message = re.sub(r"^Tuple (.*) after validation", r"List \1", IN_YAML.get(item["type"], message))
    if item["type"] == "missing":
        return f"{dotted} is missing; give it a value"
    if item["type"] == "value_error":
        prefix = f"{dotted}." if dotted and not message.startswith(("is ", "has ")) else f"{dotted} " if dotted else ""
        return prefix + message
    return f"{dotted} is {item['input']!r}; {message[0].lower()}{message[1:]}"


def tagged(field: FieldInfo) -> dict[str, type[BaseModel]]:
    """Tag -> member, of a field that is one of several models, told apart by a field of theirs; else nothing."""
    if not isinstance(field.discriminator, str):
        return {}
    members = get_args(field.annotation)
    return {get_args(one.model_fields[field.discriminator].annotation)[0]: one for one in members}


def _instead(name: str, place: type[BaseModel], beside: Mapping[str, type[BaseModel]]) -> str:
    """What could have been meant by a field that `place`, one of the models `beside` it, does not have."""
    of = next((f" of {tag}" for tag, one in beside.items() if one is place), "")
    others = [tag for tag, one in beside.items() if name in one.model_fields]
    if others:
        return f"{of}; it is one of {', '.join(others)}"
    close = difflib.get_close_matches(name, place.model_fields, n=1, cutoff=0.5)
    return f"{of}; did you mean {close[0]}?" if close else f"{of}; fields there: {', '.join(place.model_fields)}"


def _walk(
    location: tuple[int | str, ...], root: type[BaseModel]
) -> tuple[list[str], Any, Mapping[str, type[BaseModel]]]:
    """(names on the way, without the tags of unions; the model that holds the last; its union's members by tag)."""
    names: list[str] = []
    model: Any = root
    members: dict[str, type[BaseModel]] = {}
    holder, beside = model, members
    for part in location:
        if members and model is None:
            model = members[str(part)]
            continue
        names.append(str(part))
        model = _bare(model)
        holder, beside, members = model, members, {}
        if isinstance(part, int):
            model = next(iter(get_args(model)), None)
        elif hasattr(model, "model_fields"):
            field = model.model_fields.get(part)
            members = {} if field is None else tagged(field)
            model = None if field is None or members else field.annotation
        else:  # a mapping: its values
            model = next(iter(get_args(model)[1:]), None)
    return names, holder, beside


def _bare(annotation: Any) -> Any:
    """Without metadata, and without None where one other is left."""
    if hasattr(annotation, "__metadata__"):
        return _bare(get_args(annotation)[0])
    others = [one for one in get_args(annotation) if one is not NoneType]
    return others[0] if isinstance(annotation, UnionType) and len(others) == 1 else annotation


def _nearby(path: Path) -> str:
    if not path.parent.is_dir():
        return ""
    names = [other.name for other in path.parent.glob("*.y*ml")]
    close = difflib.get_close_matches(path.name, names, n=1, cutoff=0.4)
    return f"; did you mean {path.parent / close[0]}?" if close else ""


class _Loader(yaml.SafeLoader):
    """YAML 1.1 reads 3e10 as text; here it is a number, as in YAML 1.2. Duplicate keys are refused."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"{key} appears twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


_Loader.yaml_implicit_resolvers = {
    first: list(rules) for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:[0-9][0-9_]*)(?:\.[0-9_]*)?[eE][-+]?[0-9]+$"),
    list("-+0123456789"),
)
