"""Where words go: standard output, as wide as it is, and standard error for what a user should know."""

import sys

from rich.console import Console
from rich.markup import escape

WIDE = 100
"""Columns of a table that is not on a terminal."""


def console() -> Console:
    """Standard output; a fixed width where it is not a terminal, so that logs and docs read the same."""
    if sys.stdout.isatty():
        return Console(highlight=False)
    return Console(highlight=False, width=WIDE)


def line(text: str) -> None:
    """One line as it is."""
    console().print(escape(text), soft_wrap=True)


def heading(text: str) -> None:
    """A line that begins something new."""
    console().print(f"\n[bold]{escape(text)}[/bold]")


def warn(line: str) -> None:
    """Something that the user should know, on standard error."""
    print(f"scaling: {line}", file=sys.stderr)
