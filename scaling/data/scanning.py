"""The first reading of a corpus: how long each document is, and hashes that tell equal ones and the held-out order.

What is known of a document takes 40 bytes, so that a corpus need not fit into memory. N documents.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from scaling.config import DataConfig
from scaling.data.arrays import TOKEN
from scaling.data.corpora import bad_encoding, keeps_equal, sections_of, units_of, without_text
from scaling.data.pool import Pool
from scaling.data.text_files import TextFiles
from scaling.data.units import BadEncoding, Content, Unit

SKIPPED = -1
"""Size of a document that is not UTF-8."""


@dataclass(frozen=True)
class UnitScan:
    """What one unit holds, in its order."""

    sizes: NDArray[np.int64]
    """[N] bytes of text (tokens, for arrays of them); 0 where empty, SKIPPED where skipped."""
    digests: NDArray[np.uint64]
    """[N, 2] the first 128 bits of the content's SHA-256."""
    turns: NDArray[np.uint64]
    """[N, 2] the same of the seed and the content: the order in which documents are held out."""
    skipped: tuple[str, ...]
    """Names of what is not UTF-8."""
    bad_file: bool = False
    """The whole file is not UTF-8: its other units are skipped too."""


@dataclass(frozen=True)
class Scan:
    """A corpus after its first reading: its units, and its N documents unit by unit."""

    units: tuple[Unit, ...]
    bounds: NDArray[np.int64]
    """[units + 1]: documents of unit u are bounds[u]:bounds[u + 1]."""
    sizes: NDArray[np.int64]
    digests: NDArray[np.uint64]
    turns: NDArray[np.uint64]
    """As in UnitScan."""
    skipped: tuple[str, ...]

    def by_unit(self, marks: NDArray[np.int8]) -> Iterator[NDArray[np.int8]]:
        """`marks` [N], unit by unit."""
        for start, stop in zip(self.bounds[:-1], self.bounds[1:], strict=True):
            yield marks[start:stop]


def scan(config: DataConfig, seed: int, pool: Pool) -> Scan:
    """Read the corpus once.

    Raises:
      StudyError: nothing is there, nothing in it is text, or a file or record cannot be read as told.
    """
    units = units_of(config)
    found = _merged(units, list(pool.map("reading", scan_unit, units, config, seed)))
    only = _only_text(found)
    if only is not None:
        sections = sections_of(*only)
        skipped = found.skipped
        found = _merged(sections, list(pool.map("reading", scan_unit, sections, config, seed)))
        found = replace(found, skipped=skipped)
    if not np.any(found.sizes > 0):
        raise without_text(config, len(found.sizes), len(found.skipped))
    return found


def scan_unit(unit: Unit, config: DataConfig, seed: int) -> UnitScan:
    """Read one unit."""
    sizes, digests, turns, skipped = [], bytearray(), bytearray(), []
    width = TOKEN.itemsize if config.tokenizer == "pretokenized" else 1
    try:
        for content in unit.contents(config):
            size, digest, turn = _hashed(content, config, seed)
            if size == SKIPPED:
                skipped.append(content.name)
            sizes.append(size // width if size > 0 else size)
            digests += digest
            turns += turn
    except BadEncoding as error:
        if config.bad_encoding == "refuse":
            raise bad_encoding(error) from None
        return UnitScan(np.full(0, SKIPPED), _words(b""), _words(b""), (unit.file,), bad_file=True)
    return UnitScan(np.array(sizes, np.int64), _words(digests), _words(turns), tuple(skipped))


def _hashed(content: Content, config: DataConfig, seed: int) -> tuple[int, bytes, bytes]:
    size, digest, turn = 0, hashlib.sha256(), hashlib.sha256(f"{seed}:".encode())
    try:
        if content.pieces is None:
            return SKIPPED, bytes(16), bytes(16)
        for piece in content.pieces:
            size += len(piece)
            digest.update(piece)
            turn.update(piece)
    except BadEncoding as error:
        if config.bad_encoding == "refuse" or error.whole:
            raise
        return SKIPPED, bytes(16), bytes(16)
    return size, digest.digest()[:16], turn.digest()[:16]


def _words(content: bytes | bytearray) -> NDArray[np.uint64]:
    """[N, 2]: big-endian, so that numbers are ordered as bytes are."""
    return np.frombuffer(bytes(content), dtype=">u8").astype(np.uint64).reshape(-1, 2)


def _merged(units: list[Unit], found: list[UnitScan]) -> Scan:
    """All units; those of a file that is not UTF-8 somewhere are skipped whole, as one name."""
    bad = {unit.file for unit, one in zip(units, found, strict=True) if one.bad_file}
    kept = [
        replace(one, sizes=np.full(len(one.sizes), SKIPPED), skipped=(unit.file,)) if unit.file in bad else one
        for unit, one in zip(units, found, strict=True)
    ]
    return Scan(
        units=tuple(units),
        bounds=np.cumsum([0, *(len(one.sizes) for one in kept)], dtype=np.int64),
        sizes=np.concatenate([np.zeros(0, np.int64), *(one.sizes for one in kept)]),
        digests=np.concatenate([_words(b""), *(one.digests for one in kept)]),
        turns=np.concatenate([_words(b""), *(one.turns for one in kept)]),
        skipped=tuple(dict.fromkeys(name for one in kept for name in one.skipped)),
    )


def _only_text(scan: Scan) -> tuple[Unit, str] | None:
    """(unit, name) where text files are all there is, and one of them all that holds text."""
    if not scan.units or not all(isinstance(unit, TextFiles) for unit in scan.units):
        return None
    texts = np.flatnonzero(scan.sizes > 0)
    if len(texts) != 1:
        return None
    place = int(np.searchsorted(scan.bounds, texts[0], side="right")) - 1
    unit = scan.units[place]
    assert isinstance(unit, TextFiles)
    return unit, unit.names[int(texts[0] - scan.bounds[place])]


def distinct(scan: Scan, config: DataConfig) -> NDArray[np.bool_]:
    """[N] the first document of each content, those with text."""
    kept = scan.sizes > 0
    if keeps_equal(config):
        return kept
    with_text = np.flatnonzero(kept)
    digests = scan.digests[with_text]
    order = np.lexsort((digests[:, 1], digests[:, 0]))  # stable: of equal ones the first in the corpus comes first
    ordered = digests[order]
    kept[with_text[order[1:][np.all(ordered[1:] == ordered[:-1], axis=1)]]] = False
    return kept
