"""JSON lines: one record a line, one named field of it the document's text."""

import difflib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scaling.config import DataConfig, StudyError
from scaling.data.compressed import SUFFIXES as COMPRESSED
from scaling.data.compressed import is_compressed, opened
from scaling.data.units import UNIT_BYTES, BadEncoding, Content, in_pieces

SUFFIXES = tuple(f".{kind}{packed}" for kind in ("jsonl", "ndjson") for packed in ("", *COMPRESSED))
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class JsonLines:
    """The records of a file that begin at bytes start to stop; all of it where it is compressed."""

    path: str
    name: str
    """Relative to the corpus."""
    start: int
    stop: int

    @property
    def file(self) -> str:
        return self.name

    @property
    def size(self) -> int:
        return self.stop - self.start

    def contents(self, config: DataConfig) -> Iterator[Content]:
        place = self.start
        with opened(self.path) as file:
            if self.start:
                file.seek(self.start)
            first = self._lines_before() if self.start else 0
            for line, source in enumerate(file, start=first + 1):  # a line feed alone ends a record, not U+2028
                text = self._text(source, place, line, config)
                place += len(source)
                if text is not None:
                    yield Content(f"{self.name}:{line}", self._pieces(text, line, config))
                if place >= self.stop and not is_compressed(self.path):
                    return

    def _text(self, source: bytes, place: int, line: int, config: DataConfig) -> str | None:
        """A line's text; None where there is none."""
        if place == 0:
            source = source.removeprefix(BYTE_ORDER_MARK)
        try:
            decoded = source.decode("utf-8")
        except UnicodeDecodeError as error:
            raise BadEncoding(self.path, place + error.start, whole=True) from None
        return text_of(decoded, f"{self.path} line {line}", config) if decoded.strip() else None

    def _pieces(self, text: str, line: int, config: DataConfig) -> Iterator[bytes] | None:
        try:
            return in_pieces(text.encode("utf-8"))
        except UnicodeEncodeError:
            if config.bad_encoding == "skip":
                return None
            raise StudyError(
                f"data.corpus: {self.path} line {line} holds a lone surrogate, which has no UTF-8 form; "
                "repair it, or set data.bad_encoding to 'skip' to leave such records out"
            ) from None

    def _lines_before(self) -> int:
        with open(self.path, "rb") as file:
            left, lines = self.start, 0
            while left > 0 and (block := file.read(min(left, 2**20))):
                lines, left = lines + block.count(b"\n"), left - len(block)
        return lines


def json_units(root: Path, path: Path) -> Iterator[JsonLines]:
    """Units of one file, cut at line ends where it is not compressed."""
    name, size = path.relative_to(root).as_posix(), path.stat().st_size
    if is_compressed(path):
        yield JsonLines(str(path), name, 0, size)
        return
    with opened(path) as file:
        start = 0
        while start < size or start == 0:
            file.seek(min(start + UNIT_BYTES, size))
            file.readline()
            stop = file.tell()
            yield JsonLines(str(path), name, start, stop)
            start = stop
            if not size:
                return


def is_json_lines(path: Path) -> bool:
    """Whether the name says JSON lines, compressed or not."""
    return path.name.lower().endswith(SUFFIXES)


def text_of(source: str, place: str, config: DataConfig) -> str:
    """The text of one record; StudyError names `place` and the nearest field that could be meant."""
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
