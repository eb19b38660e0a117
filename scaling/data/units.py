"""Units: parts of a corpus that processes can read on their own, each a run of documents in the corpus's order."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from scaling.config import DataConfig

UNIT_BYTES = 2**23
"""About so much text is one unit."""
PIECE = 2**20
"""Bytes of a document that are in memory, and tokenised, at once: a longer one is cut after a line end."""


class BadEncoding(Exception):
    """What is not UTF-8, at a byte of its file; `whole`: the file with every document in it."""

    def __init__(self, path: str, byte: int, whole: bool):
        super().__init__(path, byte, whole)
        self.path, self.byte, self.whole = path, byte, whole


@dataclass(frozen=True)
class Content:
    """One document: its bytes in pieces, each whole characters of UTF-8 (whole tokens, for arrays of them)."""

    name: str
    """Path relative to the corpus, and the line or row in it."""
    pieces: Iterable[bytes] | None
    """May be read once, and before the next document; BadEncoding comes out of it. None: no UTF-8 form, skipped."""


class Unit(Protocol):
    """Picklable; equal units give equal documents as long as their files stay as they are."""

    @property
    def file(self) -> str:
        """The file that it lies in, as people name it."""

    @property
    def size(self) -> int:
        """About how many bytes it reads."""

    def contents(self, config: DataConfig) -> Iterator[Content]:
        """Its documents, empty and skipped ones included.

        Raises:
          StudyError: it cannot be read as told.
          BadEncoding: the whole file is not UTF-8.
        """


@dataclass(frozen=True)
class Made:
    """Documents that are in memory already."""

    documents: Sequence[tuple[str, str]]
    file: str

    @property
    def size(self) -> int:
        return sum(len(text) for _, text in self.documents)

    def contents(self, config: DataConfig) -> Iterator[Content]:
        for name, text in self.documents:
            yield Content(name, in_pieces(text.encode("utf-8")))


def in_pieces(content: bytes) -> Iterator[bytes]:
    """A text as `recut` cuts it."""
    return recut(content[start : start + PIECE] for start in range(0, len(content), PIECE))


def recut(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Blocks of PIECE bytes cut anew after line ends, or between characters where a line is longer."""
    rest = b""
    for block in blocks:
        data = rest + block
        if len(block) < PIECE:
            rest = data
            continue
        cut = data.rfind(b"\n") + 1 or _character_start(data)
        yield data[:cut]
        rest = data[cut:]
    if rest:
        yield rest


def _character_start(data: bytes) -> int:
    """Where the last character begins, which may be cut off."""
    for back in range(1, min(4, len(data)) + 1):
        if data[-back] & 0xC0 != 0x80:
            return len(data) - back
    return len(data)
