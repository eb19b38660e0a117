"""Tokenisers: from a document's text to its tokens and back, with an identity that enters every run's."""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from scaling.config import DataConfig, StudyError
from scaling.records import content_hash

TokenArray = NDArray[np.unsignedinteger[Any]]


class Tokenizer(Protocol):
    """What the rest of the house asks of a tokeniser. Frozen: equal identities give equal tokens."""

    @property
    def vocabulary(self) -> int:
        """Tokens in the vocabulary, the end of document included."""

    @property
    def end_of_document(self) -> int:
        """The token that follows every document; `encode` never returns it."""

    @property
    def identity(self) -> str:
        """A readable kind and a hash of everything that decides what `encode` returns."""

    def encode(self, text: str) -> TokenArray:
        """Tokens [n] of one document, without the end of document."""

    def decode(self, tokens: TokenArray) -> str:
        """The text of tokens [n]; ends of document are left out."""


@dataclass(frozen=True)
class ByteTokenizer:
    """UTF-8 bytes as tokens 0 to 255, and 256 for the end of a document."""

    vocabulary: int = 257
    end_of_document: int = 256

    @property
    def identity(self) -> str:
        definition = {
            "bytes": "utf-8",
            "vocabulary": self.vocabulary,
            "end_of_document": self.end_of_document,
        }
        return f"bytes-{content_hash(definition)[:12]}"

    def encode(self, text: str) -> TokenArray:
        """Tokens [UTF-8 bytes], uint8. UnicodeEncodeError on a lone surrogate, which has no UTF-8 form."""
        return np.frombuffer(text.encode("utf-8"), dtype=np.uint8)

    def decode(self, tokens: TokenArray) -> str:
        """The text; a window that cuts a character in two shows U+FFFD there."""
        tokens = np.asarray(tokens)
        return tokens[tokens < 256].astype(np.uint8).tobytes().decode("utf-8", errors="replace")


def tokenizer_for(config: DataConfig) -> Tokenizer:
    """The tokeniser that `data.tokenizer` names."""
    if config.tokenizer == "bytes":
        return ByteTokenizer()
    raise StudyError(f"data.tokenizer is {config.tokenizer!r}; allowed: bytes")
