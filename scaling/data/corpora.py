"""Corpora: the documents that a DataConfig names, in an order that depends on nothing but their names.

A document is one text file, one record of JSON lines, one row of a table. A corpus of a single text file is cut into
sections, at line ends where there are any, so that something can be held out. Every refusal is a StudyError that names
the field, its value and the fix.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from scaling.config import SYNTHETIC, DataConfig, Own, StudyError
from scaling.data.arrays import array_units, is_array
from scaling.data.files import files_of
from scaling.data.hugging_face import hugging_face_units, is_hugging_face
from scaling.data.json_lines import is_json_lines, json_units
from scaling.data.own_corpus import own_documents
from scaling.data.parquet import is_parquet, parquet_units
from scaling.data.synthetic import synthetic_documents
from scaling.data.text_files import TextFiles, cut, text_units
from scaling.data.units import BadEncoding, Made, Unit


@dataclass(frozen=True)
class Document:
    """One text and where it came from."""

    name: str
    """Path relative to the corpus, and the line or row in it."""
    text: str


@dataclass(frozen=True)
class Corpus:
    """Documents in order, each content once."""

    documents: tuple[Document, ...]
    duplicates: int
    """Documents dropped because an earlier one has the same text."""
    empty: int
    """Documents dropped because they have no text."""
    skipped: tuple[str, ...]
    """What is not UTF-8 and was skipped under data.bad_encoding."""


def units_of(config: DataConfig) -> list[Unit]:
    """The corpus in units, in order; of a single text file as one document, not yet cut into sections.

    Raises:
      StudyError: nothing is there, or it is not of the kind that the tokeniser and text_field say.
    """
    if isinstance(config.corpus, Own):
        return [_own(config, config.corpus)]
    if config.corpus in SYNTHETIC:
        drawn = enumerate(synthetic_documents(config.corpus, config.synthetic))
        return [Made([(f"{config.corpus}:{number}", text) for number, text in drawn], config.corpus)]
    if is_hugging_face(config.corpus):
        return list(hugging_face_units(config))
    root, paths = files_of(config.corpus)
    _refuse_other_kinds(config, paths)
    return list(_units(root, paths, config))


def keeps_equal(config: DataConfig) -> bool:
    """Whether equal documents are kept: without them made text would not be its source's."""
    return config.corpus in SYNTHETIC


def sections_of(unit: Unit, name: str) -> list[Unit]:
    """The sections of the only text file that holds text; nothing where the document is of another kind."""
    if not isinstance(unit, TextFiles):
        return []
    return list(cut(Path(unit.root, name), name))


def read_corpus(config: DataConfig) -> Corpus:
    """The documents of `config.corpus` in memory, sorted by relative path, deduplicated by content.

    Raises:
      StudyError: nothing is there, nothing in it is text, or a file or record cannot be read as told.
    """
    units = units_of(config)
    found, skipped = _read(units, config)
    with_text = [document for document in found if document.text]
    if len(with_text) == 1 and all(isinstance(unit, TextFiles) for unit in units):
        found, _ = _read(sections_of(units[0], with_text[0].name), config)
    documents, duplicates, empty = _distinct(found, keep_equal=keeps_equal(config))
    if not documents:
        raise without_text(config, len(found) + len(skipped), len(skipped))
    return Corpus(documents, duplicates, empty, tuple(skipped))


def without_text(config: DataConfig, documents: int, skipped: int) -> StudyError:
    """The refusal of a corpus that holds no text."""
    if isinstance(config.corpus, Own):
        return StudyError(
            f"data.corpus is {config.corpus!r}, which yields {documents} documents, none of them with text"
        )
    reason = f"{skipped} are not UTF-8, the others are empty" if skipped else "all are empty"
    return StudyError(f"data.corpus is {config.corpus!r}, without any text: of {documents} documents {reason}")


def bad_encoding(error: BadEncoding) -> StudyError:
    """The refusal of a file that is not UTF-8."""
    return StudyError(
        f"data.corpus: {error.path} is not UTF-8 (byte {error.byte}); convert it, "
        "or set data.bad_encoding to 'skip' to leave such files out"
    )


def _own(config: DataConfig, part: Own) -> Made:
    if config.text_field is not None:
        raise StudyError(
            f"data.text_field is {config.text_field!r}, but data.corpus {part!r} yields texts; leave text_field out"
        )
    return Made(own_documents(part), part.name)


def _refuse_other_kinds(config: DataConfig, paths: list[Path]) -> None:
    """Arrays go with pretokenized and with nothing else; text_field with records."""
    arrays = [path for path in paths if is_array(path)]
    others = [path for path in paths if not is_array(path)]
    if config.tokenizer == "pretokenized" and others:
        raise StudyError(
            f"data.tokenizer is 'pretokenized', but data.corpus has {others[0]}, no array of tokens (.npy or .bin); "
            "name a corpus of arrays, or another tokenizer"
        )
    if config.tokenizer != "pretokenized" and arrays and not others:
        raise StudyError(
            f"data.corpus is {config.corpus!r}, arrays of numbers, but data.tokenizer is {config.tokenizer!r}; if they "
            "are tokens, set data.tokenizer to pretokenized and say what they mean in data.pretokenized"
        )
    if config.text_field is not None and not any(is_json_lines(path) or is_parquet(path) for path in paths):
        raise StudyError(
            f"data.text_field is {config.text_field!r}, but data.corpus {config.corpus!r} has no JSON lines "
            "(.jsonl, also compressed) and no Parquet; leave text_field out"
        )


def _units(root: Path, paths: list[Path], config: DataConfig) -> Iterator[Unit]:
    texts: list[Path] = []
    for path in paths:
        is_text = not (is_json_lines(path) or is_parquet(path) or config.tokenizer == "pretokenized")
        if is_text:
            texts.append(path)
            continue
        yield from text_units(root, texts)
        texts = []
        if config.tokenizer == "pretokenized":
            yield from array_units(root, path, config)
        elif is_parquet(path):
            yield from parquet_units(root, path, config)
        else:
            yield from json_units(root, path)
    yield from text_units(root, texts)


def _read(units: list[Unit], config: DataConfig) -> tuple[list[Document], list[str]]:
    """Every document, empty ones too, and the names of what is not UTF-8."""
    found: list[Document] = []
    skipped: list[str] = []
    bad_files: set[str] = set()
    for unit in units:
        documents: list[Document] = []
        try:
            for content in unit.contents(config):
                try:
                    text = None if content.pieces is None else b"".join(content.pieces).decode("utf-8")
                except BadEncoding as error:
                    if config.bad_encoding == "refuse":
                        raise bad_encoding(error) from None
                    text = None
                if text is None:
                    skipped.append(content.name)
                else:
                    documents.append(Document(content.name, text))
        except BadEncoding as error:
            if config.bad_encoding == "refuse":
                raise bad_encoding(error) from None
            bad_files.add(unit.file)
            skipped.append(unit.file)
        found += documents
    kept = [document for document in found if document.name.rpartition(":")[0] not in bad_files]
    return kept, [name for name in dict.fromkeys(skipped) if name.rpartition(":")[0] not in bad_files]


def _distinct(documents: list[Document], *, keep_equal: bool) -> tuple[tuple[Document, ...], int, int]:
    """Documents with text, the first of each content; and how many were dropped as equal, and as empty."""
    seen: set[bytes] = set()
    kept: list[Document] = []
    empty = 0
    for document in documents:
        if not document.text:
            empty += 1
            continue
        digest = hashlib.sha256(document.text.encode("utf-8")).digest()
        if digest not in seen or keep_equal:
            seen.add(digest)
            kept.append(document)
    return tuple(kept), len(documents) - len(kept) - empty, empty
