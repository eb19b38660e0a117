"""A study from YAML, and errors that name the dotted field, the value and the nearest right name."""

import difflib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from scaling.config.study import Study


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
    dotted = ".".join(str(part) for part in item["loc"])
    if item["type"] == "extra_forbidden":
        fields = _fields_at(item["loc"][:-1], root)
        close = difflib.get_close_matches(str(item["loc"][-1]), fields, n=1, cutoff=0.5)
        hint = f"did you mean {close[0]}?" if close else f"fields there: {', '.join(fields)}"
        return f"{dotted} is not a field; {hint}"
    message = re.sub(r"^Value error, ", "", item["msg"])
    if item["type"] == "missing":
        return f"{dotted} is missing; give it a value"
    if item["type"] == "value_error":
        prefix = f"{dotted}." if dotted and not message.startswith("is ") else f"{dotted} " if dotted else ""
        return prefix + message
    return f"{dotted} is {item['input']!r}; {message[0].lower()}{message[1:]}"


def _fields_at(location: tuple[int | str, ...], root: type[BaseModel]) -> list[str]:
    model: Any = root
    for part in location:
        if isinstance(part, int):
            model = get_args(model)[0]
        elif hasattr(model, "model_fields"):
            model = model.model_fields[part].annotation
        else:  # a mapping: its values, which may be annotated
            model = get_args(model)[1]
            model = get_args(model)[0] if hasattr(model, "__metadata__") else model
    return list(model.model_fields)


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
