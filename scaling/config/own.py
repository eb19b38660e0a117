"""Parts of a researcher's own: named as `module:attribute`, known by the hash of their source. No JAX.

A name is looked up where it is read, so that a wrong one is refused with the field that holds it.
"""

import difflib
import importlib
import pkgutil
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from scaling.config.part import Part
from scaling.config.sources import source_hash

NAME = r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*"
"""module:attribute. A path with a colon in it can be told apart by a slash: ./a:b."""


class Own(Part):
    """One part of the user's own."""

    name: Annotated[str, Field(pattern=f"^{NAME}$")]
    """module:attribute."""
    source: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    """SHA-256 of the module's file and of the user's own modules that it imports."""

    @property
    def module(self) -> str:
        return self.name.partition(":")[0]

    @property
    def attribute(self) -> str:
        return self.name.partition(":")[2]

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return repr(self.name)


def is_own(value: Any) -> bool:
    """Whether `value` names a part of one's own."""
    return isinstance(value, str) and re.fullmatch(NAME, value) is not None


def own(value: Any) -> Own:
    """`module:attribute`, looked up, with its source's hash; or one that was looked up before, as it was recorded.

    Raises:
      ValueError: begins with "is", for the field's name to stand before it.
    """
    if isinstance(value, Own):
        return value
    if isinstance(value, Mapping):
        if set(value) != set(Own.model_fields):
            raise ValueError(f"is {dict(value)!r}; write module:attribute, or name and source as a run recorded them")
        return Own.model_validate(value)
    if not is_own(value):
        raise ValueError(f"is {value!r}; write module:attribute, as in my_parts:Block")
    loaded(value)
    return Own(name=value, source=source_hash(value.partition(":")[0]))


def loaded(part: Own | str) -> Any:
    """What `module:attribute` names; ValueError says what is missing and what is nearest."""
    name = str(part)
    module, _, attribute = name.partition(":")
    importlib.invalidate_caches()
    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError as error:
        missing = error.name or module
        if module != missing and not module.startswith(f"{missing}."):
            raise ValueError(f"is {name!r}: module {module!r} cannot be imported: {error}") from error
        raise ValueError(
            f"is {name!r}: there is no module {missing!r} in the working directory nor installed"
            f"{_nearest(missing, _modules(missing))}"
        ) from None
    except (Exception, SystemExit) as error:  # it runs a user's file, which may do anything
        said = f"{type(error).__name__}: {error}"
        raise ValueError(f"is {name!r}: module {module!r} cannot be imported: {said}") from error
    for part_name in attribute.split("."):
        if not hasattr(found, part_name):
            near = _nearest(part_name, [known for known in dir(found) if not known.startswith("_")])
            raise ValueError(f"is {name!r}: {module!r} has no {part_name!r}{near}")
        found = getattr(found, part_name)
    return found


def changed(part: Own) -> str | None:
    """What differs where a part's source here is not the one that was recorded; None where it is."""
    here = source_hash(part.module)
    return None if here == part.source else f"source {here[:12]} here and {part.source[:12]} there"


def built_in_or_own(names: tuple[str, ...], kind: str) -> Callable[[Any], Any]:
    """A validator: one of `names`, or a part of one's own."""

    def validated(value: Any) -> Any:
        if isinstance(value, str) and value in names:
            return value
        if isinstance(value, (Own, Mapping)) or is_own(value):
            return own(value)
        raise ValueError(
            f"is {value!r}, not {kind}: {', '.join(names)}, or your own as module:attribute"
            f"{_nearest(str(value), names)}"
        )

    return validated


def text_or_own(value: Any) -> Any:
    """A validator: any text, a part of one's own where it has that form; hf:NAME is text."""
    if isinstance(value, (Own, Mapping)) or (is_own(value) and not value.startswith("hf:")):
        return own(value)
    if not isinstance(value, str):
        raise ValueError(f"is {value!r}; input should be a valid string")
    return value


OwnPart = Annotated[Own, BeforeValidator(own, json_schema_input_type=Annotated[str, Field(pattern=f"^{NAME}$")])]
"""A field that takes a part of one's own."""


def _modules(missing: str) -> list[str]:
    """Modules that could have been meant: those beside the missing one, or all at the top."""
    package, _, _ = missing.rpartition(".")
    if not package:
        return [one.name for one in pkgutil.iter_modules()]
    places = getattr(importlib.import_module(package), "__path__", [])
    return [f"{package}.{one.name}" for one in pkgutil.iter_modules(places)]


def _nearest(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else ""
