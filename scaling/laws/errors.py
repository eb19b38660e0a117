"""What goes wrong with a table, a form or a question."""

import difflib
from collections.abc import Iterable


class LawError(ValueError):
    """Names the row and column, the parameter or the argument, what is allowed, and the fix."""


def nearest(name: str, known: Iterable[str]) -> str:
    """'; did you mean X?' where `known` has something like `name`, else nothing."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""
