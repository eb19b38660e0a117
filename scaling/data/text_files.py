"""Text files: a document each, read in pieces; or one file cut into sections, so that some can be held out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from scaling.config import DataConfig
from scaling.data.compressed import is_compressed, opened
from scaling.data.units import PIECE, UNIT_BYTES, BadEncoding, Content, in_pieces, recut

SECTION_CHARACTERS = 16_384
"""A corpus of one single file is cut at the first line end after this many characters, or after twice as many."""
SECTIONS = 64
"""A shorter file is cut into about this many, so that some can be held out."""
MOST_FILES = 4096
"""Files of one unit."""


@dataclass(frozen=True)
class TextFiles:
    """Files, each a document."""

    root: str
    names: tuple[str, ...]
    """Relative to `root`."""
    size: int

    @property
    def file(self) -> str:
        return self.names[0]

    def contents(self, config: DataConfig) -> Iterator[Content]:
        for name in self.names:
            yield Content(name, pieces(Path(self.root, name)))


@dataclass(frozen=True)
class Sections:
    """Consecutive sections of one file, each a document."""

    path: str
    name: str
    first: int
    """Number of the first one."""
    start: int
    """Where it begins, in bytes of text."""
    lengths: tuple[int, ...]
    """Bytes of each."""

    @property
    def file(self) -> str:
        return self.name

    @property
    def size(self) -> int:
        return sum(self.lengths)

    def contents(self, config: DataConfig) -> Iterator[Content]:
        with opened(self.path) as file:
            skip(file, self.start, seek=not is_compressed(self.path))
            for number, length in enumerate(self.lengths, start=self.first):
                yield Content(f"{self.name}#{number}", in_pieces(file.read(length)))


def text_units(root: Path, paths: Sequence[Path]) -> Iterator[TextFiles]:
    """Units of files, in their order."""
    names: list[str] = []
    size = 0
    for path in paths:
        names.append(path.relative_to(root).as_posix())
        size += path.stat().st_size
        if size >= UNIT_BYTES or len(names) >= MOST_FILES:
            yield TextFiles(str(root), tuple(names), size)
            names, size = [], 0
    if names:
        yield TextFiles(str(root), tuple(names), size)


def pieces(path: Path) -> Iterator[bytes]:
    """A file as pieces of UTF-8, cut at line ends where there are any.

    Raises:
      StudyError: it cannot be read.
      BadEncoding: it is not UTF-8.
    """
    done = 0
    with opened(path) as file:
        for piece in recut(_blocks(file)):
            try:
                piece.decode("utf-8")
            except UnicodeDecodeError as error:
                raise BadEncoding(str(path), done + error.start, whole=False) from None
            done += len(piece)
            yield piece


def _blocks(file: IO[bytes]) -> Iterator[bytes]:
    while True:
        block = file.read(PIECE)
        while 0 < len(block) < PIECE and (more := file.read(PIECE - len(block))):
            block += more
        if not block:
            return
        yield block


def cut(path: Path, name: str) -> list[Sections]:
    """The sections of a file that is UTF-8, as units (one, where it can only be read from its beginning on)."""
    size = max(1, min(SECTION_CHARACTERS, _characters(path) // SECTIONS))
    units: list[Sections] = []
    lengths: list[int] = []
    start = stop = number = 0
    for section in _sections(path, size):
        lengths.append(len(section.encode("utf-8")))
        stop += lengths[-1]
        if (stop - start >= UNIT_BYTES or len(lengths) >= MOST_FILES) and not is_compressed(path):
            units.append(Sections(str(path), name, number, start, tuple(lengths)))
            start, number, lengths = stop, number + len(lengths), []
    return [*units, Sections(str(path), name, number, start, tuple(lengths))] if lengths else units


def _characters(path: Path) -> int:
    """Characters of a file, as far as they decide into how many sections it is cut."""
    count = 0
    for piece in pieces(path):
        count += len(piece.decode("utf-8"))
        if count >= SECTIONS * SECTION_CHARACTERS:
            break
    return count


def _sections(path: Path, size: int) -> Iterator[str]:
    rest, start = "", 0
    source = pieces(path)
    for piece in source:
        rest, start = rest[start:] + piece.decode("utf-8"), 0
        while len(rest) - start >= 2 * size:
            end = _section_end(rest, start, size)
            yield rest[start:end]
            start = end
    while start < len(rest):
        end = _section_end(rest, start, size)
        yield rest[start:end]
        start = end


def _section_end(text: str, start: int, size: int) -> int:
    line_end = text.find("\n", start + size - 1, start + 2 * size)
    return line_end + 1 if line_end >= 0 else start + 2 * size


def skip(file: IO[bytes], count: int, *, seek: bool) -> None:
    """Go `count` bytes on from the beginning."""
    if seek:
        file.seek(count)
        return
    while count > 0:
        count -= len(file.read(min(count, PIECE))) or count
