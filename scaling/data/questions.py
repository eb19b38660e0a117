"""Questions with choices: JSON lines of prompt, choices and answer. Refusals name the field of the set, to stand after
the set's own name."""

import gzip
import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scaling.config import SetConfig, StudyError
from scaling.data.json_lines import is_json_lines


@dataclass(frozen=True)
class Question:
    """One line of the file."""

    name: str
    """File and line."""
    prompt: str
    choices: tuple[str, ...]
    right: int
    """Index of the right choice."""


def has_choices(path: Path, config: SetConfig) -> bool:
    """Whether the first record of JSON lines has the fields of a question."""
    if not path.is_file() or not is_json_lines(path):
        return False
    _, first = next(_records(path, config.path), (0, {}))
    return {config.prompt_field, config.choices_field, config.answer_field} <= set(first)


def read_questions(config: SetConfig) -> list[Question]:
    """The questions of a file.

    Raises:
      StudyError: it is no file of JSON lines, or a line is no question: names the line, the field and the fix.
    """
    path = Path(config.path).expanduser()
    if not path.is_file() or not is_json_lines(path):
        raise StudyError(f"path is {config.path!r}; questions are one file of JSON lines (.jsonl or .jsonl.gz)")
    found = [_question(f"{path.name}:{line}", record, config) for line, record in _records(path, config.path)]
    if len(found) < 2:
        raise StudyError(f"path is {config.path!r}, with {len(found)} question(s); a standard error needs 2")
    return found


def _records(path: Path, given: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """(line from 1, record) of JSON lines, blank ones left out."""
    try:
        with gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                if not line.strip():
                    continue
                record = json.loads(line.decode("utf-8-sig"))
                if not isinstance(record, dict):
                    raise StudyError(f"path: {given} line {number} holds {type(record).__name__}, not an object")
                yield number, record
    except (ValueError, RecursionError) as error:  # a UnicodeDecodeError too
        if isinstance(error, StudyError):
            raise
        raise StudyError(f"path: {given} line {number} is not JSON in UTF-8 ({error})") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise StudyError(f"path: {given} is not a whole gzip file ({error}); compress it again") from None
    except OSError as error:
        raise StudyError(f"path: {given} cannot be read: {error.strerror}") from None


def _question(name: str, record: Mapping[str, Any], config: SetConfig) -> Question:
    for field in ("prompt_field", "choices_field", "answer_field"):
        asked = getattr(config, field)
        if asked not in record:
            raise StudyError(f"{field} is {asked!r}, which {name} does not have; its fields are {', '.join(record)}")
    prompt, choices, answer = (record[getattr(config, f"{one}_field")] for one in ("prompt", "choices", "answer"))
    if not isinstance(prompt, str):
        raise StudyError(f"prompt_field: {name} holds {prompt!r:.60}, not text")
    texts = isinstance(choices, list) and all(isinstance(one, str) and one for one in choices)
    if not texts or len(choices) < 2 or len(set(choices)) < len(choices):
        raise StudyError(f"choices_field: {name} holds {choices!r:.60}; give two or more different texts")
    if isinstance(answer, str) and answer in choices:
        answer = choices.index(answer)
    if isinstance(answer, bool) or not isinstance(answer, int) or not 0 <= answer < len(choices):
        raise StudyError(
            f"answer_field: {name} holds {answer!r:.60}; give the right choice's index, 0 to {len(choices) - 1}, or "
            "its very text"
        )
    try:
        for text in (prompt, *choices):
            text.encode("utf-8")
    except UnicodeEncodeError:
        raise StudyError(f"path: {name} holds a lone surrogate, which has no UTF-8 form; repair it") from None
    return Question(name, prompt, tuple(choices), answer)
