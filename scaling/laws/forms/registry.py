"""The forms by name. A form is found by its name and options, a user's own as `module:name`. No JAX."""

import functools
import importlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from scaling.laws.errors import LawError, nearest
from scaling.laws.forms.base import LawForm

Factory = Callable[..., LawForm]

FORMS: dict[str, Factory] = {}
"""Name -> what makes the form from its options."""
HOMES = (
    "single",
    "broken",
    "pretraining",
    "farseer",
    "frontier",
    "repetition",
    "downstream",
    "architecture",
    "mixture",
    "tuning",
    "schedule",
)
"""Modules of this package whose forms are registered."""


def register(factory: Factory) -> Factory:
    """Make a form known under the name of the function that returns it; its keyword arguments are the form's options.

    Each member is made once, so that the solver compiles it once.
    """
    name = factory.__name__.rstrip("_")

    @functools.cache
    def made(**options: Any) -> LawForm:
        return replace(factory(**options), name=name, options=options)

    functools.update_wrapper(made, factory)
    FORMS[name] = made
    return made


def form_named(name: str, options: Mapping[str, Any] | None = None) -> LawForm:
    """The form called `name`, or `module:name` for one of the user's own: a LawForm, or a function that returns one.

    Raises:
      LawError: no such form, or no such option; names the nearest.
    """
    factory = _own(name) if ":" in name else _known(name)
    given = {key: tuple(value) if isinstance(value, list) else value for key, value in (options or {}).items()}
    allowed = list(inspect.signature(factory).parameters) if callable(factory) else []
    for key in given:
        if key not in allowed:
            takes = f"its options are {', '.join(allowed)}" if allowed else "it has no options"
            raise LawError(f"form {name} has no option {key!r}; {takes}{nearest(key, allowed)}")
    return factory(**given) if callable(factory) else factory


def _known(name: str) -> Factory:
    for home in HOMES:
        importlib.import_module(f"scaling.laws.forms.{home}")
    if name not in FORMS:
        raise LawError(
            f"form {name!r} is not known; forms: {', '.join(sorted(FORMS))}, or your own as module:name"
            f"{nearest(name, FORMS)}"
        )
    return FORMS[name]


@functools.cache
def _own(path: str) -> Factory | LawForm:
    module, _, attribute = path.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except ImportError as error:
        raise LawError(f"form {path!r}: module {module!r} cannot be imported: {error}") from error
    except AttributeError:
        near = nearest(attribute, dir(importlib.import_module(module)))
        raise LawError(f"form {path!r}: module {module!r} has no {attribute!r}{near}") from None
    if isinstance(found, LawForm):
        return replace(found, name=path)
    if not callable(found):
        raise LawError(
            f"form {path!r} is a {type(found).__name__}; it must be a LawForm or a function that returns one"
        )

    @functools.cache
    def made(**options: Any) -> LawForm:
        form = found(**options)
        if not isinstance(form, LawForm):
            raise LawError(f"form {path!r} returns a {type(form).__name__}; it must return a LawForm")
        return replace(form, name=path, options=options)

    functools.update_wrapper(made, found)
    return made
