"""Tokens: a corpus as two streams, training and held out, split by whole document. No JAX, no Grain.

    documents -> sha256(seed, content) order -> held out until validation_tokens are reached | the rest trains
    stream     = document, end of document, document, end of document, ...

On disk, in one folder: train.npy, validation.npy, validation_documents.npy, and tokens.json, written last.
"""

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from scaling.config import DataConfig, Own, Part, StudyError
from scaling.data.corpora import Document, read_corpus
from scaling.data.tokenizers import TokenArray, Tokenizer, tokenizer_for
from scaling.records import DataRecord, RecordError, pretty_json, read_json, replace

ARRAYS = ("train", "validation", "validation_documents")
LARGEST_HELD_OUT_SHARE = 0.5
"""Of the text's tokens, the share that may be held out at most."""
LARGEST_HELD_OUT_DOCUMENT = 0.25
"""Of validation_tokens: a longer document trains, unless shorter ones do not suffice, so that the held-out
loss is never that of a few long documents."""


class Summary(Part):
    """What became of the text."""

    tokenizer: str
    """Identity of the tokeniser."""
    vocabulary: int
    """Tokens in the vocabulary, the end of document included."""
    documents: int
    """Distinct documents, training and held out."""
    train_documents: int
    validation_documents: int
    duplicates_dropped: int
    """Documents with the text of an earlier one."""
    empty_dropped: int
    """Documents without text."""
    files_skipped: tuple[str, ...]
    """What is not UTF-8, skipped under data.bad_encoding."""
    unique_tokens: int
    """Training tokens, each counted once however many epochs are trained."""
    train_bytes: int
    """UTF-8 bytes of the training text."""
    validation_bytes: int
    """UTF-8 bytes of the held-out text: bits per byte = total nats / ln 2 / validation_bytes."""


@dataclass(frozen=True, eq=False)
class Tokens:
    """The two streams, and what they are."""

    train: TokenArray
    """[train tokens], uint16 (uint32 for a vocabulary above 65536); a read-only memory map after `load`."""
    validation: TokenArray
    """[validation tokens], of the same type."""
    validation_documents: NDArray[np.int64]
    """[documents + 1]: document i is validation[offsets[i]:offsets[i + 1]], its end of document included."""
    record: DataRecord
    """What enters a trajectory's identity."""
    summary: Summary
    """What became of the text."""


def prepare(config: DataConfig, seed: int) -> Tokens:
    """Read, tokenise and split the text. A pure function of the text, the tokeniser and `seed`.

    Raises:
      StudyError: the text cannot be read as told, or is too short for data.validation_tokens.
    """
    corpus = read_corpus(config)
    tokenizer = tokenizer_for(config)
    encoded = [tokenizer.encode(document.text) for document in corpus.documents]
    lengths = np.array([len(tokens) + 1 for tokens in encoded])
    held_out = _held_out(config, corpus.documents, lengths, seed)
    train, _ = _stream([encoded[i] for i in np.flatnonzero(~held_out)], tokenizer)
    validation, offsets = _stream([encoded[i] for i in np.flatnonzero(held_out)], tokenizer)
    sizes = np.array([len(document.text.encode("utf-8")) for document in corpus.documents])
    record = DataRecord(
        fingerprint=_fingerprint(train, validation, offsets),
        tokenizer=tokenizer.identity,
        train_tokens=len(train),
        validation_tokens=len(validation),
        corpus=config.corpus if isinstance(config.corpus, Own) else None,
    )
    summary = Summary(
        tokenizer=tokenizer.identity,
        vocabulary=tokenizer.vocabulary,
        documents=len(lengths),
        train_documents=int(np.sum(~held_out)),
        validation_documents=int(np.sum(held_out)),
        duplicates_dropped=corpus.duplicates,
        empty_dropped=corpus.empty,
        files_skipped=corpus.skipped,
        unique_tokens=len(train),
        train_bytes=int(sizes[~held_out].sum()),
        validation_bytes=int(sizes[held_out].sum()),
    )
    return Tokens(train, validation, offsets, record, summary)


def epochs(tokens: float, unique_tokens: int) -> float:
    """How often each unique token is seen: tokens / unique_tokens."""
    return tokens / unique_tokens


def save(tokens: Tokens, folder: str | Path) -> None:
    """Write the tokens into `folder`, over what is damaged or different there; nothing when they are there.

    tokens.json is written last: until then, and after a crash on the way, `load` refuses the folder.
    """
    folder = Path(folder)
    try:
        if load(folder).record == tokens.record:
            return
    except RecordError:
        pass
    (folder / "tokens.json").unlink(missing_ok=True)
    for name in ARRAYS:
        replace(folder / f"{name}.npy", _npy(getattr(tokens, name)))
    meta = {
        "record": tokens.record.model_dump(mode="json"),
        "summary": tokens.summary.model_dump(mode="json"),
        "bytes": {name: (folder / f"{name}.npy").stat().st_size for name in ARRAYS},
    }
    replace(folder / "tokens.json", pretty_json(meta))


def load(folder: str | Path) -> Tokens:
    """The tokens that `save` wrote, as read-only memory maps, checked by size and fingerprint.

    Raises:
      RecordError: names the file that is missing or damaged.
    """
    folder = Path(folder)
    remedy = "run the study again to have it made anew"
    path = folder / "tokens.json"
    if not path.is_file():
        raise RecordError(f"{folder} holds no whole tokens ({path.name} is missing); {remedy}")
    meta = read_json(path)
    try:
        record = DataRecord.model_validate(meta["record"])
        summary = Summary.model_validate(meta["summary"])
        sizes: dict[str, int] = {name: int(meta["bytes"][name]) for name in ARRAYS}
    except (ValidationError, KeyError, TypeError, ValueError) as error:
        raise RecordError(f"{path} is damaged ({error}); {remedy}") from None
    arrays = [_load_array(folder / f"{name}.npy", sizes[name], remedy) for name in ARRAYS]
    tokens = Tokens(arrays[0], arrays[1], arrays[2], record, summary)
    lengths_agree = (len(arrays[0]), len(arrays[1])) == (record.train_tokens, record.validation_tokens)
    if not lengths_agree or _fingerprint(*arrays) != record.fingerprint:
        raise RecordError(f"{folder} is damaged (the tokens do not have the recorded fingerprint); {remedy}")
    return tokens


def _held_out(
    config: DataConfig, documents: Sequence[Document], lengths: NDArray[np.int64], seed: int
) -> NDArray[np.bool_]:
    """[documents]: True for those held out. Taken by hash of (seed, content), long documents last."""
    total, wanted = int(lengths.sum()), config.validation_tokens
    most = int(total * LARGEST_HELD_OUT_SHARE)
    if wanted > most:
        raise StudyError(
            f"data.validation_tokens is {wanted}, but the text in data.corpus {config.corpus!r} has only "
            f"{total} tokens, of which at most half can be held out; use at most {most}, or give more text"
        )
    longest = max(1, int(wanted * LARGEST_HELD_OUT_DOCUMENT))

    def turn(index: int) -> tuple[int, bytes]:
        content = documents[index].text.encode("utf-8")
        return max(longest, int(lengths[index])), hashlib.sha256(f"{seed}:".encode() + content).digest()

    held_out = np.zeros(len(documents), dtype=bool)
    taken = 0
    for index in sorted(range(len(documents)), key=turn):
        if taken >= wanted:
            break
        held_out[index] = True
        taken += int(lengths[index])
    if held_out.all():
        raise StudyError(
            f"data.validation_tokens is {wanted}, but data.corpus {config.corpus!r} has only "
            f"{len(documents)} distinct document(s), and whole ones are held out: nothing is left to train on; "
            "give more documents, or use a smaller validation_tokens"
        )
    if held_out.sum() < 2:
        raise StudyError(
            f"data.validation_tokens is {wanted}, which holds out a single document: its loss would have no standard "
            f"error; use at least {taken + 1}, or shorter documents"
        )
    return held_out


def _stream(encoded: Sequence[TokenArray], tokenizer: Tokenizer) -> tuple[TokenArray, NDArray[np.int64]]:
    """All documents after one another, each with its end; and [documents + 1] offsets."""
    kind = np.uint16 if tokenizer.vocabulary <= 2**16 else np.uint32
    lengths = [len(tokens) + 1 for tokens in encoded]
    offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int64)
    stream: TokenArray = np.empty(int(offsets[-1]), dtype=kind)
    for tokens, start in zip(encoded, offsets[:-1], strict=True):
        stream[start : start + len(tokens)] = tokens
    stream[offsets[1:] - 1] = tokenizer.end_of_document
    return stream, offsets


def _fingerprint(*arrays: NDArray[Any]) -> str:
    """SHA-256 of the arrays' types, lengths and little-endian content."""
    digest = hashlib.sha256()
    for array in arrays:
        little = array.astype(array.dtype.newbyteorder("<"), copy=False)
        digest.update(f"{array.dtype.name}[{array.size}]".encode())
        digest.update(np.ascontiguousarray(little).data)
    return digest.hexdigest()


def _npy(array: NDArray[Any]) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()


def _load_array(path: Path, size: int, remedy: str) -> NDArray[Any]:
    try:
        found = path.stat().st_size
        if found != size:
            raise RecordError(f"{path} is damaged ({found} bytes, not {size}); {remedy}")
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise RecordError(f"{path} is missing; {remedy}") from None
    except (ValueError, EOFError) as error:
        raise RecordError(f"{path} is damaged ({error}); {remedy}") from None
