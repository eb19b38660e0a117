"""The second reading of a corpus: documents become tokens, in the stream that trains or in the one that is held out."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scaling.config import DataConfig, StudyError
from scaling.data.arrays import TOKEN
from scaling.data.pool import Pool
from scaling.data.scanning import Scan
from scaling.data.splitting import DROPPED, HELD_OUT
from scaling.data.streams import Stream
from scaling.data.tokenizers import SubwordTokenizer, Tokenizer
from scaling.data.units import Unit


@dataclass(frozen=True)
class Encoded:
    """What a corpus became, in tokens; the end of each document is one."""

    train_tokens: int
    validation_lengths: NDArray[np.int64]
    """[held-out documents]"""


def encode(
    config: DataConfig,
    scan: Scan,
    fate: NDArray[np.int8],
    tokenizer: Tokenizer,
    pool: Pool,
    train: Stream,
    validation: Stream,
) -> Encoded:
    """Append the corpus to the two streams. Parts lie beside them until they are appended.

    Raises:
      StudyError: a file is not as it was at the first reading.
      OSError: no space is left.
    """
    before, lengths = train.length, []
    each = enumerate(zip(scan.by_unit(fate), _sizes(scan), strict=True))
    shared = (config, tokenizer, train.path.parent, train.dtype)
    slow = isinstance(tokenizer, SubwordTokenizer)
    done = pool.map("tokenising", encode_unit, scan.units, *shared, each=each, slow=slow)
    for number, found in enumerate(done):
        train.take(_part(train.path.parent, number, "train"))
        validation.take(_part(train.path.parent, number, "validation"))
        lengths.append(found)
    return Encoded(train.length - before, np.concatenate([np.zeros(0, np.int64), *lengths]))


def encode_unit(
    unit: Unit,
    mine: tuple[int, tuple[NDArray[np.int8], NDArray[np.int64]]],
    config: DataConfig,
    tokenizer: Tokenizer,
    folder: Path,
    dtype: np.dtype[np.unsignedinteger],
) -> NDArray[np.int64]:
    """Write a unit's two parts; [held-out documents] their lengths in tokens."""
    number, (marks, sizes) = mine
    end = np.array([tokenizer.end_of_document], dtype=dtype)
    width = TOKEN.itemsize if config.tokenizer == "pretokenized" else 1
    lengths: list[int] = []
    contents = unit.contents(config) if np.any(marks != DROPPED) else iter(())
    with (
        _part(folder, number, "train").open("wb", buffering=2**20) as train,
        _part(folder, number, "validation").open("wb") as validation,
    ):
        for mark, size in zip(marks.tolist(), sizes.tolist(), strict=True):
            content = next(contents, None)
            if mark == DROPPED:
                continue
            if content is None or content.pieces is None:
                raise _changed(unit)
            into, count, read = validation if mark == HELD_OUT else train, 1, _Counted(content.pieces)
            for tokens in tokenizer.encode_pieces(read):
                into.write(tokens.astype(dtype).data)
                count += len(tokens)
            into.write(end.data)
            if read.bytes != size * width:
                raise _changed(unit)
            if mark == HELD_OUT:
                lengths.append(count)
    return np.array(lengths, dtype=np.int64)


class _Counted:
    """Pieces, and how many bytes of them were read."""

    def __init__(self, pieces: Iterable[bytes]):
        self.pieces, self.bytes = pieces, 0

    def __iter__(self) -> Iterator[bytes]:
        for piece in self.pieces:
            self.bytes += len(piece)
            yield piece


def _sizes(scan: Scan) -> Sequence[NDArray[np.int64]]:
    return [scan.sizes[start:stop] for start, stop in zip(scan.bounds[:-1], scan.bounds[1:], strict=True)]


def _part(folder: Path, number: int, name: str) -> Path:
    return folder / f"part-{number}.{name}"


def _changed(unit: Unit) -> StudyError:
    return StudyError(f"data.corpus: {unit.file} changed while it was read; run the study again when it is whole")
