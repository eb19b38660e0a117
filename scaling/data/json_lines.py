"""JSON lines: one record a line, one named field of it the document's text."""

import difflib
import gzip
import json
import zlib
from pathlib import Path
from typing import Any

from scaling.config import DataConfig, StudyError

SUFFIXES = (".jsonl", ".ndjson", ".jsonl.gz", ".ndjson.gz")


def is_json_lines(path: Path) -> bool:
    """Whether the name says JSON lines, gzip-compressed or not."""
    return path.name.lower().endswith(SUFFIXES)


def read_json_lines(path: Path, config: DataConfig) -> tuple[list[tuple[int, str]], list[int]]:
    """The texts of one file.

    Returns:
      (line, text) of each record, lines counted from 1; and under `bad_encoding: skip` the lines whose text
      has no UTF-8 form, or [0] when the whole file is not UTF-8.

    Raises:
      StudyError: names the file and line that cannot be read, and the nearest field that could be.
    """
    content = _decoded(path, config)
    if content is None:
        return [], [0]
    texts: list[tuple[int, str]] = []
    bad: list[int] = []
    # Only line feeds end a record: str.splitlines would cut at U+2028, which JSON allows inside a string.
    for line, source in enumerate(content.split("\n"), start=1):
        if not source.strip():
            continue
        text = _text_of(source, f"{path} line {line}", config)
        if _has_utf8_form(text):
            texts.append((line, text))
        elif config.bad_encoding == "skip":
            bad.append(line)
        else:
            raise StudyError(
                f"data.corpus: {path} line {line} holds a lone surrogate, which has no UTF-8 form; "
                "repair it, or set data.bad_encoding to 'skip' to leave such records out"
            )
    return texts, bad


def _decoded(path: Path, config: DataConfig) -> str | None:
    try:
        content = path.read_bytes()
        if path.suffix.lower() == ".gz":
            content = gzip.decompress(content)
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if config.bad_encoding == "skip":
            return None
        raise StudyError(
            f"data.corpus: {path} is not UTF-8 (byte {error.start}); convert it, "
            "or set data.bad_encoding to 'skip' to leave such files out"
        ) from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise StudyError(f"data.corpus: {path} is not a whole gzip file ({error}); compress it again") from None
    except OSError as error:
        raise StudyError(f"data.corpus: {path} cannot be read: {error.strerror}") from None


def _text_of(source: str, place: str, config: DataConfig) -> str:
    try:
        record = json.loads(source)
    except (ValueError, RecursionError) as error:
        raise StudyError(f"data.corpus: {place} is not JSON ({error}); each line must be one object") from None
    if not isinstance(record, dict):
        raise StudyError(
            f"data.corpus: {place} holds {type(record).__name__}, not an object with fields; "
            "each line must be one object"
        )
    if config.text_field is None:
        raise StudyError(
            f"data.text_field is not given, but {place} is JSON lines; name the field that holds the text"
            f"{_text_fields(record)}"
        )
    if config.text_field not in record:
        close = difflib.get_close_matches(config.text_field, list(record), n=1, cutoff=0.5)
        hint = f"; did you mean {close[0]!r}?" if close else _text_fields(record)
        raise StudyError(f"data.text_field is {config.text_field!r}, which {place} does not have{hint}")
    text = record[config.text_field]
    if not isinstance(text, str):
        raise StudyError(
            f"data.text_field is {config.text_field!r}, which in {place} holds {json.dumps(text)[:40]}, "
            f"not text{_text_fields(record)}"
        )
    return text


def _text_fields(record: dict[str, Any]) -> str:
    names = [name for name, value in record.items() if isinstance(value, str)]
    return f"; fields with text there: {', '.join(names)}" if names else "; no field there holds text"


def _has_utf8_form(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
