"""A command of the user's own, which trains in place of the laboratory: its words, and the hashes of its files. No JAX.

It is looked up where it is read, so that a wrong one is refused before anything is spent.
"""

import difflib
import os
import re
import shlex
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from scaling.config.part import Part
from scaling.config.sources import module_hash, script_hash

PYTHON = re.compile(r"python[0-9.]*")
SCRIPTS = (".py", ".sh")
"""A word that ends so is a file, or a mistake."""
SHELL = frozenset("|&;<>()$`*?~#\n")
"""What only a shell would understand."""


class Command(Part):
    """A command, word by word; no shell reads it."""

    words: Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(min_length=1)]
    """The executable and its arguments; the task file is added as the last."""
    sources: Mapping[str, Annotated[str, Field(pattern="^[0-9a-f]{64}$")]] = {}
    """Word -> SHA-256, of each word that is a file, and of the module after python -m where it lies here."""

    def __str__(self) -> str:
        return shlex.join(self.words)


def command(value: Any) -> Command:
    """A list of words, looked up, with the hashes of its files; or one that was looked up before, as it was recorded.

    Raises:
      ValueError: begins with "is" or "has", for the field's name to stand before it.
    """
    if isinstance(value, Command):
        return value
    if isinstance(value, Mapping):
        if set(value) != set(Command.model_fields):
            raise ValueError(f"is {dict(value)!r}; write a list of words, or words and sources as a run recorded them")
        return Command.model_validate(value)
    if isinstance(value, str):
        raise ValueError(f"is {value!r}, a text; {_in_words(value)}")
    if not isinstance(value, Sequence) or not value:
        raise ValueError(f"is {value!r}; write a list of words, as [python, train.py]")
    for word in value:
        if not isinstance(word, str) or not word:
            raise ValueError(f"has {word!r}; each word is a text of at least one letter: put it in quotes")
    words = tuple(value)
    missing = unfit(words[0]) or next(filter(None, map(_no_script, words)), None)
    if missing is not None:
        raise ValueError(f"is {shlex.join(words)!r}: {missing}")
    return Command(words=words, sources=sources_of(words))


def unfit(executable: str) -> str | None:
    """Why a command's first word cannot be started here; None where it can."""
    if shutil.which(executable) is not None:
        return None
    if Path(executable).is_dir():
        return f"{executable} is a folder; name an executable"
    if os.sep in executable and Path(executable).is_file():
        return f"{executable} is not executable; chmod +x it, or name what runs it first, as [python, {executable}]"
    if Path(executable).is_file():
        return (
            f"{executable} is a file here, but no command; write ./{executable}, or what runs it, "
            f"as [python, {executable}]"
        )
    return f"there is no command {executable}, neither in PATH nor here; mend the name, or install it"


def _no_script(word: str) -> str | None:
    """That a script is not there, with the nearest one that is."""
    path = Path(word)
    if word.startswith("-") or path.suffix not in SCRIPTS or path.is_file():
        return None
    beside = (
        [str(path.parent / one.name) for one in path.parent.glob(f"*{path.suffix}")] if path.parent.is_dir() else []
    )
    close = difflib.get_close_matches(str(path), beside, n=1, cutoff=0.6)
    return f"there is no file {word} here" + (f"; did you mean {close[0]}?" if close else "")


def sources_of(words: Sequence[str]) -> dict[str, str]:
    """Word -> SHA-256, of each word that is a file here.

    A Python script counts with what it imports from beside it; in --name=FILE the file counts.
    """
    found: dict[str, str] = {}
    for before, word in zip(("", *words), words, strict=False):
        option, _, value = word.partition("=")
        path = Path(value if option.startswith("-") and value else word)
        if path.is_file():
            found[word] = script_hash(path)
        elif before == "-m" and PYTHON.fullmatch(Path(words[0]).name):
            hashed = module_hash(word, Path.cwd())
            found |= {} if hashed is None else {word: hashed}
    return found


def command_changed(recorded: Command) -> str | None:
    """What differs where a command's files here are not those that were recorded; None where they are."""
    here = sources_of(recorded.words)
    for word, there in recorded.sources.items():
        now = here.get(word)
        if now != there:
            return f"{word} is {'no file' if now is None else f'source {now[:12]}'} here and source {there[:12]} there"
    return None


OwnCommand = Annotated[
    Command,
    BeforeValidator(command, json_schema_input_type=Annotated[list[str], Field(min_length=1)]),
]
"""A field that takes a command."""


def _in_words(text: str) -> str:
    """What to write in place of a shell's line."""
    try:
        words = shlex.split(text)
    except ValueError:
        words = []
    if not words or SHELL & set(text):
        return (
            "no shell reads it: put what it does into a script, and write the script's words as a list, "
            "as [bash, train.sh]"
        )
    return f"write a list of words: [{', '.join(map(_quoted, words))}]"


def _quoted(word: str) -> str:
    """As YAML takes it for a text inside a list."""
    plain = re.fullmatch(r"[A-Za-z./_-][A-Za-z0-9./_=+-]*", word) and word.lower() not in (
        *("true", "false", "null", "yes", "no", "on", "off"),
        *(".inf", "-.inf", ".nan", "-"),
    )
    return word if plain and not re.fullmatch(r"[-.][0-9.].*", word) else repr(word)
