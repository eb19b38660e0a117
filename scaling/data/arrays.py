"""Arrays of tokens that were made elsewhere: .npy, or raw .bin of a stated type; documents end with a stated token."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scaling.config import DataConfig, StudyError
from scaling.data.units import Content

SUFFIXES = (".npy", ".bin")
UNIT_TOKENS = 2**24
PIECE_TOKENS = 2**21
"""Tokens of a document that are in memory at once."""
TOKEN = np.dtype("<u4")
"""Type of the tokens that contents are made of."""


@dataclass(frozen=True)
class ArrayDocuments:
    """Documents that begin at tokens start to stop of a file."""

    path: str
    file: str
    start: int
    stop: int
    size: int

    def contents(self, config: DataConfig) -> Iterator[Content]:
        tokens, end = array(self.path, config), config.pretokenized.end_of_document
        place = self.start
        while place < self.stop:
            document_end = _next_end(tokens, place, end)
            yield Content(f"{self.file}:{place}", _pieces(self.path, tokens, place, document_end, config))
            place = document_end + 1


def is_array(path: Path) -> bool:
    """Whether the name says an array of tokens."""
    return path.suffix.lower() in SUFFIXES


def array_units(root: Path, path: Path, config: DataConfig) -> Iterator[ArrayDocuments]:
    """Units of one file, cut after ends of documents."""
    tokens, end = array(str(path), config), config.pretokenized.end_of_document
    name, start = path.relative_to(root).as_posix(), 0
    while start < len(tokens):
        stop = min(_next_end(tokens, min(start + UNIT_TOKENS, len(tokens) - 1), end) + 1, len(tokens))
        yield ArrayDocuments(str(path), name, start, stop, (stop - start) * tokens.dtype.itemsize)
        start = stop


def array(path: str, config: DataConfig) -> NDArray[np.integer[Any]]:
    """The file as a memory map [tokens].

    Raises:
      StudyError: it is no array of whole numbers in one dimension.
    """
    kind = np.dtype(config.pretokenized.dtype).newbyteorder("<")
    try:
        if path.lower().endswith(".npy"):
            found = np.load(path, mmap_mode="r", allow_pickle=False)
        elif Path(path).stat().st_size % kind.itemsize:
            raise StudyError(
                f"data.pretokenized.dtype is {config.pretokenized.dtype}, but the bytes of {path} are not whole such "
                "numbers; name the type that it was written with"
            )
        else:
            found = np.memmap(path, dtype=kind, mode="r") if Path(path).stat().st_size else np.empty(0, kind)
    except (ValueError, EOFError) as error:
        if isinstance(error, StudyError):
            raise
        raise StudyError(f"data.corpus: {path} is not a whole .npy file ({error})") from None
    except OSError as error:
        raise StudyError(f"data.corpus: {path} cannot be read: {error.strerror}") from None
    if found.ndim != 1 or found.dtype.kind not in "ui":
        raise StudyError(
            f"data.corpus: {path} holds {found.dtype} of shape {list(found.shape)}; tokens are whole numbers in one "
            "dimension"
        )
    return found


def _pieces(path: str, tokens: NDArray[np.integer[Any]], start: int, stop: int, config: DataConfig) -> Iterator[bytes]:
    most = config.vocabulary
    for place in range(start, stop, PIECE_TOKENS):
        piece = np.asarray(tokens[place : min(place + PIECE_TOKENS, stop)])
        if piece.size and (int(piece.max()) >= most or int(piece.min()) < 0):
            wrong = place + int(np.flatnonzero((piece >= most) | (piece < 0))[0])
            raise StudyError(
                f"data.pretokenized.vocabulary is {most}, but {path} holds {int(tokens[wrong])} at token {wrong}; "
                "name the vocabulary, or the dtype, that it was written with"
            )
        yield piece.astype(TOKEN).tobytes()


def _next_end(tokens: NDArray[np.integer[Any]], place: int, end: int | None) -> int:
    """Where the document ends that token `place` is in: its end token, or the length of the array."""
    reach = 4096
    while place < len(tokens):
        found = np.flatnonzero(tokens[place : place + reach] == end)
        if found.size:
            return place + int(found[0])
        place, reach = place + reach, min(reach * 4, PIECE_TOKENS)
    return len(tokens)
