"""The page's file name, and the hash inside it that tells what it was made from."""

from pathlib import Path

PAGE = "index.html"
HEAD = 512
"""The stamp lies within this many characters."""
_BEFORE = 'name="made-from" content="'


def made_from(page: Path) -> str | None:
    """The hash that a page written earlier carries; None where there is no such page."""
    try:
        with page.open(encoding="utf-8") as file:
            head = file.read(HEAD)
    except (FileNotFoundError, UnicodeDecodeError):
        return None
    _, found, rest = head.partition(_BEFORE)
    return rest.partition('"')[0] if found else None
