"""Named held-out sets: text or questions as a study's models see them, by a fingerprint of what decides a score.

On disk, in one folder: arrays.npz, and set.json, written last.
"""

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from scaling.config import DataConfig, SetConfig, StudyError
from scaling.data.choices import ChoiceBatches, Choices, tokenize
from scaling.data.corpora import read_corpus
from scaling.data.held_out import EvaluationBatches
from scaling.data.json_lines import is_json_lines
from scaling.data.questions import has_choices, read_questions
from scaling.data.tokenizers import TokenArray, Tokenizer
from scaling.records import RecordError, Score, SetRecord, TextScore, pretty_json, read_json, replace

SCORING = 1
"""Version of how a set is scored; it is part of every fingerprint."""
CHUNK = 2**24
"""Training tokens that are looked through at once."""


@dataclass(frozen=True, eq=False)
class Text:
    """Documents as one stream, each with its end."""

    tokens: TokenArray
    """[tokens]."""
    documents: NDArray[np.int64]
    """[J + 1] offsets."""
    document_bytes: NDArray[np.int64]
    """[J] UTF-8 bytes of each document."""


@dataclass(frozen=True, eq=False)
class EvaluationSet:
    """A set, and what it is."""

    record: SetRecord
    content: Text | Choices

    def batches(self, sequences: int, sequence_length: int) -> "TextBatches | ChoiceBatches":
        """The set in batches of `sequences` rows of `sequence_length` targets, which score a model's losses of them."""
        if isinstance(self.content, Text):
            return TextBatches(self.content, sequences, sequence_length)
        return ChoiceBatches(self.content, sequences, sequence_length, self.record.normalize)


class TextBatches:
    """A text in windows, as training reads it: contiguous, over document ends."""

    def __init__(self, text: Text, sequences: int, sequence_length: int):
        self._text = text
        self._windows = EvaluationBatches(text.tokens, text.documents, sequences, sequence_length)
        self.tokens = self._windows.tokens
        """[M, B, L + 1]."""

    def score(self, nats: NDArray[np.floating]) -> Score:
        """Loss and bits per byte with their standard errors by document, and loss by position; losses [M, B, L]."""
        loss, bits = self._windows.score(nats), self._windows.bits_per_byte(nats, self._text.document_bytes)
        return TextScore(
            loss=loss.mean,
            loss_se=loss.standard_error,
            bits_per_byte=bits.mean,
            bits_per_byte_se=bits.standard_error,
            by_position=self._windows.by_position(nats),
        )


def read_set(name: str, config: SetConfig, tokenizer: Tokenizer, train: TokenArray, field: str) -> EvaluationSet:
    """The set `name` in `tokenizer`'s tokens; `train` is the training stream, in which its documents are looked for.

    Raises:
      StudyError: it cannot be read as told; `field` is how the message calls the set.
    """
    path = Path(config.path).expanduser()
    try:
        if config.kind == "choices" or (
            config.kind == "auto" and config.text_field is None and has_choices(path, config)
        ):
            return _choices(name, config, tokenizer, train)
        return _text(name, config, tokenizer, train)
    except StudyError as error:
        said = str(error).replace("data.corpus", "path").replace("data.text_field", "text_field")
        wanted = ", ".join((config.prompt_field, config.choices_field, config.answer_field))
        unclear = config.kind == "auto" and config.text_field is None and path.is_file() and is_json_lines(path)
        hint = f" (as questions it would have {wanted})" if unclear and said.startswith("text_field") else ""
        own = said.partition(" ")[0].rstrip(":") in SetConfig.model_fields
        raise StudyError(f"{field}{'.' if own else ': '}{said}{hint}") from None


def save_set(found: EvaluationSet, folder: Path) -> None:
    """Write the set into `folder`; nothing where it is there whole."""
    try:
        load_set(folder)
        return
    except RecordError:
        pass
    written = io.BytesIO()
    arrays: dict[str, Any] = _arrays(found.content)
    np.savez(written, **arrays)
    replace(folder / "arrays.npz", written.getvalue())
    replace(folder / "set.json", pretty_json(found.record.model_dump(mode="json")))


def load_set(folder: Path) -> EvaluationSet:
    """The set that `save_set` wrote, checked by its fingerprint.

    Raises:
      RecordError: names what is missing or damaged.
    """
    remedy = "evaluate the set again to have it made anew"
    try:
        record = SetRecord.model_validate(read_json(folder / "set.json"))
        with np.load(folder / "arrays.npz", allow_pickle=False) as arrays:
            content = (Text if record.kind == "text" else Choices)(**arrays)
    except (OSError, ValueError, TypeError, EOFError, KeyError, BadZipFile, ValidationError) as error:
        raise RecordError(f"{folder} is damaged ({error}); {remedy}") from None
    if _fingerprint(content, record.tokenizer, record.normalize) != record.fingerprint:
        raise RecordError(f"{folder} is damaged (its tokens do not have the recorded fingerprint); {remedy}")
    return EvaluationSet(record, content)


def _text(name: str, config: SetConfig, tokenizer: Tokenizer, train: TokenArray) -> EvaluationSet:
    documents = read_corpus(DataConfig(corpus=config.path, text_field=config.text_field)).documents
    if len(documents) < 2:
        raise StudyError(
            f"path is {config.path!r}, a single document: its loss would have no standard error; give several"
        )
    encoded = [np.asarray(tokenizer.encode(document.text)) for document in documents]
    end = np.array([tokenizer.end_of_document])
    kind = np.uint16 if tokenizer.vocabulary <= 2**16 else np.uint32
    content = Text(
        tokens=np.concatenate([part.astype(kind) for one in encoded for part in (one, end)]),
        documents=np.concatenate([[0], np.cumsum([len(one) + 1 for one in encoded])]).astype(np.int64),
        document_bytes=np.array([len(one.text.encode("utf-8")) for one in documents], np.int64),
    )
    there = in_training(encoded, train, tokenizer.end_of_document)
    record = SetRecord(
        name=name,
        kind="text",
        fingerprint=_fingerprint(content, tokenizer.identity, "bytes"),
        tokenizer=tokenizer.identity,
        units=len(documents),
        tokens=len(content.tokens),
        text_bytes=int(content.document_bytes.sum()),
        in_training=tuple(documents[place].name for place in there),
    )
    return EvaluationSet(record, content)


def _choices(name: str, config: SetConfig, tokenizer: Tokenizer, train: TokenArray) -> EvaluationSet:
    questions = read_questions(config)
    content = tokenize(questions, tokenizer)
    whole = [np.asarray(tokenizer.encode(one.prompt + one.choices[one.right])) for one in questions]
    there = in_training(whole, train, tokenizer.end_of_document)
    record = SetRecord(
        name=name,
        kind="choices",
        fingerprint=_fingerprint(content, tokenizer.identity, config.normalize),
        tokenizer=tokenizer.identity,
        units=len(questions),
        tokens=len(content.tokens),
        text_bytes=int(content.choice_bytes[content.right].sum()),
        normalize=config.normalize,
        in_training=tuple(questions[place].name for place in there),
    )
    return EvaluationSet(record, content)


def in_training(documents: Sequence[NDArray[Any]], train: TokenArray, end_of_document: int) -> list[int]:
    """Which of `documents` are whole documents of the training stream, token by token."""
    wanted: dict[int, dict[bytes, list[int]]] = {}
    for place, tokens in enumerate(documents):
        wanted.setdefault(len(tokens), {}).setdefault(_digest(tokens), []).append(place)
    chunks = range(0, len(train), CHUNK)
    ends = np.concatenate([start + np.flatnonzero(train[start : start + CHUNK] == end_of_document) for start in chunks])
    if not ends.size:
        return []
    starts = np.concatenate([[0], ends[:-1] + 1])
    lengths = ends - starts
    found: set[int] = set()
    for document in np.flatnonzero(np.isin(lengths, list(wanted))):
        digest = _digest(train[starts[document] : ends[document]])
        found.update(wanted[int(lengths[document])].get(digest, ()))
    return sorted(found)


def _digest(tokens: NDArray[Any]) -> bytes:
    return hashlib.sha256(np.ascontiguousarray(tokens, dtype="<u4").data).digest()


def _arrays(content: Text | Choices) -> dict[str, NDArray[Any]]:
    return {one.name: getattr(content, one.name) for one in fields(content)}


def _fingerprint(content: Text | Choices, tokenizer: str, normalize: str) -> str:
    """SHA-256 of all that decides a score: tokens, bounds and bytes, the tokeniser, and how they are scored."""
    digest = hashlib.sha256(f"{type(content).__name__} {SCORING} {tokenizer} {normalize}".encode())
    for name, array in _arrays(content).items():
        little = np.ascontiguousarray(array.astype(array.dtype.newbyteorder("<"), copy=False))
        digest.update(f"{name} {array.dtype.name}[{array.size}]".encode())
        digest.update(little.data)
    return digest.hexdigest()
