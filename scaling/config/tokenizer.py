"""Tokenisers that a study may name: bytes, BPE trained on its own text, a tokenizer.json, or tokens made elsewhere."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationInfo

from scaling.config.part import Part

TokenizerName = Literal["bytes", "bpe", "pretokenized"]
NAMES = ("bytes", "bpe", "pretokenized")
BYTES_VOCABULARY = 257
"""UTF-8 bytes and an end-of-document token."""
ENDS = ("<|endoftext|>", "<|end_of_text|>", "<|endofdocument|>", "<|eos|>", "<eos>", "</s>")
"""What tokenisers call the end of a document."""


class BpeConfig(Part):
    """A byte-level BPE that is trained on the training documents."""

    vocabulary: Annotated[int, Field(ge=258, le=2**20)] = 4096
    """Tokens in all: the 256 bytes, the merges, and the end of document."""
    training_bytes: Annotated[int, Field(ge=1)] = 100_000_000
    """Text that it is trained on at most: whole training documents, in an order drawn from the study's seed."""


class PretokenizedConfig(Part):
    """Tokens that were made elsewhere: what their numbers mean."""

    vocabulary: Annotated[int, Field(ge=2)] | None = None
    """Tokens in the vocabulary, the end of document included."""
    end_of_document: Annotated[int, Field(ge=0)] | None = None
    """The token that ends each document."""
    dtype: Literal["uint8", "uint16", "uint32", "uint64", "int16", "int32", "int64"] = "uint16"
    """Of a raw .bin file, little-endian; a .npy says its own."""


class TokenizerFile(Part):
    """An existing tokenizer.json, as it was when the study was read."""

    path: str
    """The file."""
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    """Of its content."""
    vocabulary: Annotated[int, Field(ge=2)]
    """One more than its largest token."""
    end_of_document: Annotated[int, Field(ge=0)]
    """The token that ends each document."""

    def __repr__(self) -> str:
        return repr(self.path)


def named_tokenizer(value: Any, info: ValidationInfo) -> Any:
    """A validator: a name, or a tokenizer.json, looked up; or one that was looked up before, as it was recorded.

    Raises:
      ValueError: begins with "is", for the field's name to stand before it.
    """
    if isinstance(value, TokenizerFile) or value in NAMES:
        return value
    if isinstance(value, Mapping):
        if set(value) != set(TokenizerFile.model_fields):
            raise ValueError(f"is {dict(value)!r}; write {', '.join(NAMES)}, or the path of a tokenizer.json")
        return TokenizerFile.model_validate(value)
    if not isinstance(value, str) or not value.endswith(".json"):
        raise ValueError(f"is {value!r}; allowed: {', '.join(NAMES)}, or the path of a tokenizer.json")
    path = Path(value).expanduser()
    try:
        content = path.read_bytes()
        ids = _ids(json.loads(content))
    except OSError as error:
        raise ValueError(f"is {value!r}, which cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        raise ValueError(
            f"is {value!r}, which is no tokenizer.json of the `tokenizers` library: it lists no vocabulary"
        ) from None
    end = _end(value, ids, info.data.get("end_of_document"))
    return TokenizerFile(
        path=value, sha256=hashlib.sha256(content).hexdigest(), vocabulary=max(ids.values()) + 1, end_of_document=end
    )


def _ids(content: dict[str, Any]) -> dict[str, int]:
    """Token -> id, added tokens included. A Unigram lists pairs, in the order of ids."""
    listed = content["model"]["vocab"]
    found = dict(listed) if isinstance(listed, dict) else {pair[0]: place for place, pair in enumerate(listed)}
    found |= {one["content"]: one["id"] for one in content.get("added_tokens") or ()}
    if not found:
        raise ValueError("no tokens")
    return {str(token): int(number) for token, number in found.items()}


def _end(path: str, ids: dict[str, int], asked: str | int | None) -> int:
    """The end-of-document token: as asked, or the only one there is under a usual name."""
    if isinstance(asked, int):
        if asked not in ids.values():
            raise ValueError(f"is {path!r}, which has no token {asked}, that data.end_of_document names")
        return asked
    if asked is not None:
        if asked not in ids:
            usual = [name for name in ENDS if name in ids]
            hint = f"; it has {', '.join(usual)}" if usual else ""
            raise ValueError(f"is {path!r}, which has no token {asked!r}, that data.end_of_document names{hint}")
        return ids[asked]
    usual = [name for name in ENDS if name in ids]
    if len(usual) != 1:
        have = f"has several ends of text: {', '.join(usual)}" if usual else f"has none of {', '.join(ENDS)}"
        raise ValueError(f"is {path!r}, which {have}; name the token that ends a document in data.end_of_document")
    return ids[usual[0]]


Tokenizer = Annotated[TokenizerName | TokenizerFile, BeforeValidator(named_tokenizer, json_schema_input_type=str)]
"""A field that names a tokeniser."""
