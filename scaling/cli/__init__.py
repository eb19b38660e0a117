"""The command line: verbs only. Each parses, calls, prints."""

from scaling.cli.entry import main

__all__ = ["main"]
