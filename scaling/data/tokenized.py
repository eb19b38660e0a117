"""Tokens: a corpus as two streams, training and held out, split by whole document. No JAX, no Grain.

    stream = document, end of document, document, end of document, ...

On disk, in one folder: train.npy, validation.npy, validation_documents.npy, validation_bytes.npy, the tokenizer.json
of a tokeniser that has one, and tokens.json, written last. A mixture's streams hold domain after domain.
"""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from scaling.config import Part
from scaling.data.streams import fingerprint, open_array, place_file, write_array
from scaling.data.tokenizers import ByteTokenizer, Pretokenized, SubwordTokenizer, TokenArray, Tokenizer
from scaling.records import DataRecord, RecordError, pretty_json, read_json, replace

ARRAYS = ("train", "validation", "validation_documents")
"""What the fingerprint is of."""
FILE = "tokenizer.json"
REMEDY = "run the study again to have it made anew"


class DomainSummary(Part):
    """What became of the text of one domain of a mixture."""

    name: str
    documents: int
    """Distinct documents, training and held out."""
    train_documents: int
    validation_documents: int
    duplicates_dropped: int
    """Documents with the text of an earlier one."""
    held_out_dropped: int
    """Documents that are held out in another domain, and so do not train here."""
    train_bytes: int
    validation_bytes: int


class Summary(Part):
    """What became of the text."""

    tokenizer: str
    """Identity of the tokeniser."""
    vocabulary: int
    """Tokens in the vocabulary, the end of document included."""
    end_of_document: int = ByteTokenizer.end_of_document
    """The token that ends each document."""
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
    """UTF-8 bytes of the training text; 0 for tokens that were made elsewhere, as their text is not known."""
    validation_bytes: int
    """UTF-8 bytes of the held-out text: bits per byte = total nats / ln 2 / validation_bytes."""
    domains: tuple[DomainSummary, ...] = ()
    """Of a mixture."""


@dataclass(frozen=True, eq=False)
class Tokens:
    """The two streams, and what they are."""

    train: TokenArray
    """[train tokens], uint16 (uint32 for a vocabulary above 65536); a read-only memory map."""
    validation: TokenArray
    """[validation tokens], of the same type."""
    validation_documents: NDArray[np.int64]
    """[documents + 1]: document i is validation[offsets[i]:offsets[i + 1]], its end of document included."""
    record: DataRecord
    """What enters a trajectory's identity."""
    summary: Summary
    """What became of the text."""
    validation_bytes: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    """[documents] UTF-8 bytes of each held-out document; [0] where the text is not known."""
    tokenizer: Tokenizer = field(default_factory=ByteTokenizer)
    """What made them."""
    folder: Path | None = None
    """Where they lie for good; None for tokens that are kept nowhere yet."""


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
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tokens.json").unlink(missing_ok=True)
    for name in (*ARRAYS, "validation_bytes"):
        if tokens.folder is None:
            write_array(folder / f"{name}.npy", getattr(tokens, name))
        else:
            place_file(tokens.folder / f"{name}.npy", folder / f"{name}.npy")
    if isinstance(tokens.tokenizer, SubwordTokenizer):
        replace(folder / FILE, tokens.tokenizer.content)
    seal(folder, tokens.record, tokens.summary)


def seal(folder: Path, record: DataRecord, summary: Summary) -> None:
    """Write tokens.json, by which what else is in the folder is whole."""
    meta: dict[str, Any] = {
        "record": record.model_dump(mode="json"),
        "summary": summary.model_dump(mode="json"),
        "bytes": {name: (folder / f"{name}.npy").stat().st_size for name in (*ARRAYS, "validation_bytes")},
    }
    if (folder / FILE).is_file():
        meta["tokenizer_sha256"] = hashlib.sha256((folder / FILE).read_bytes()).hexdigest()
    replace(folder / "tokens.json", pretty_json(meta))


def load(folder: str | Path) -> Tokens:
    """The tokens that `save` wrote, as read-only memory maps, checked by size and fingerprint.

    Raises:
      RecordError: names the file that is missing or damaged.
    """
    found = opened(folder)
    record, arrays = found.record, (found.train, found.validation, found.validation_documents)
    lengths_agree = (len(found.train), len(found.validation)) == (record.train_tokens, record.validation_tokens)
    if not lengths_agree or fingerprint(*arrays) != record.fingerprint:
        raise RecordError(f"{folder} is damaged (the tokens do not have the recorded fingerprint); {REMEDY}")
    return found


def opened(folder: str | Path) -> Tokens:
    """The same, checked by size alone: for tokens that were hashed a moment ago."""
    folder = Path(folder)
    record, summary, meta = _described(folder)
    sizes = meta["bytes"]
    arrays = [open_array(folder / f"{name}.npy", sizes[name], REMEDY) for name in ARRAYS]
    if "validation_bytes" in sizes:
        known = open_array(folder / "validation_bytes.npy", sizes["validation_bytes"], REMEDY)
    else:  # written before this was kept, when every tokeniser was one of bytes
        known = np.diff(arrays[2]) - 1
    tokenizer = _tokenizer(folder, summary, meta.get("tokenizer_sha256"))
    return Tokens(arrays[0], arrays[1], arrays[2], record, summary, known, tokenizer, folder)


def load_record(folder: str | Path) -> DataRecord:
    """What the tokens in a folder are, without a look at the tokens themselves.

    Raises:
      RecordError: tokens.json is missing or damaged.
    """
    return _described(Path(folder))[0]


def _described(folder: Path) -> tuple[DataRecord, Summary, dict[str, Any]]:
    path = folder / "tokens.json"
    if not path.is_file():
        raise RecordError(f"{folder} holds no whole tokens ({path.name} is missing); {REMEDY}")
    meta = read_json(path)
    try:
        meta["bytes"] = {name: int(size) for name, size in meta["bytes"].items()}
        if not set(ARRAYS) <= meta["bytes"].keys():
            raise KeyError(ARRAYS)
        return DataRecord.model_validate(meta["record"]), Summary.model_validate(meta["summary"]), meta
    except (ValidationError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise RecordError(f"{path} is damaged ({error}); {REMEDY}") from None


def _tokenizer(folder: Path, summary: Summary, sha256: str | None) -> Tokenizer:
    kind = summary.tokenizer.partition("-")[0]
    if kind == "bytes":
        return ByteTokenizer()
    if kind == "pretokenized":
        return Pretokenized(summary.vocabulary, summary.end_of_document)
    path = folder / FILE
    if not path.is_file():
        raise RecordError(f"{path} is missing; {REMEDY}")
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != sha256:
        raise RecordError(f"{path} is damaged (other content than recorded); {REMEDY}")
    return SubwordTokenizer(kind, content, summary.vocabulary, summary.end_of_document)
