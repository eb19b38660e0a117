"""Tokenisers: from a document's text to its tokens and back, with an identity that enters every run's."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from scaling.config import BYTES_VOCABULARY, DataConfig, StudyError, TokenizerFile
from scaling.data.arrays import TOKEN
from scaling.data.units import in_pieces
from scaling.records import content_hash

TokenArray = NDArray[np.unsignedinteger[Any]]


class Tokenizer(Protocol):
    """What the rest of the house asks of a tokeniser. Frozen and picklable; equal identities give equal tokens."""

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

    def encode_pieces(self, pieces: Iterable[bytes]) -> Iterator[TokenArray]:
        """The same tokens of the same text, given and returned in parts."""

    def decode(self, tokens: TokenArray) -> str:
        """The text of tokens [n]; ends of document are left out."""


@dataclass(frozen=True)
class ByteTokenizer:
    """UTF-8 bytes as tokens 0 to 255, and 256 for the end of a document."""

    vocabulary: int = BYTES_VOCABULARY
    end_of_document: int = BYTES_VOCABULARY - 1

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

    def encode_pieces(self, pieces: Iterable[bytes]) -> Iterator[TokenArray]:
        return (np.frombuffer(piece, dtype=np.uint8) for piece in pieces)

    def decode(self, tokens: TokenArray) -> str:
        """The text; a window that cuts a character in two shows U+FFFD there."""
        tokens = np.asarray(tokens)
        return tokens[tokens < 256].astype(np.uint8).tobytes().decode("utf-8", errors="replace")


@dataclass(frozen=True)
class SubwordTokenizer:
    """A tokenizer.json of the `tokenizers` library. Text longer than a piece (1 MiB) is tokenised piece by piece."""

    kind: str
    """bpe for one that was trained here, file for another."""
    content: bytes = field(repr=False)
    """The tokenizer.json."""
    vocabulary: int
    end_of_document: int

    @property
    def identity(self) -> str:
        sha256 = hashlib.sha256(self.content).hexdigest()
        return f"{self.kind}-{content_hash([sha256, self.end_of_document])[:12]}"

    def encode(self, text: str) -> TokenArray:
        """Tokens, uint32. StudyError where the text gives the end of document, which then means two things."""
        parts = list(self.encode_pieces(in_pieces(text.encode("utf-8"))))
        return np.concatenate([np.zeros(0, np.uint32), *parts])

    def encode_pieces(self, pieces: Iterable[bytes]) -> Iterator[TokenArray]:
        opened = _opened(self.content)
        for piece in pieces:
            (encoding,) = opened.encode_batch_fast([piece.decode()], add_special_tokens=False)
            tokens = np.array(encoding.ids, dtype=np.uint32)
            if np.any(tokens == self.end_of_document):
                raise StudyError(
                    f"data.end_of_document is token {self.end_of_document}, which the tokenizer also makes of text "
                    f"({piece[:40].decode(errors='replace')!r}...); name a special token"
                )
            yield tokens

    def decode(self, tokens: TokenArray) -> str:
        tokens = np.asarray(tokens)
        ids = tokens[tokens != self.end_of_document].tolist()
        return str(_opened(self.content).decode(ids, skip_special_tokens=False))


@dataclass(frozen=True)
class Pretokenized:
    """Tokens that were made elsewhere: there is no text to make tokens of."""

    vocabulary: int
    end_of_document: int

    @property
    def identity(self) -> str:
        return f"pretokenized-{self.vocabulary}-{self.end_of_document}"

    def encode(self, text: str) -> TokenArray:
        raise StudyError("data.tokenizer is 'pretokenized', which knows tokens alone: text cannot be read with it")

    def encode_pieces(self, pieces: Iterable[bytes]) -> Iterator[TokenArray]:
        return (np.frombuffer(piece, dtype=TOKEN) for piece in pieces)

    def decode(self, tokens: TokenArray) -> str:
        raise StudyError("data.tokenizer is 'pretokenized', which knows tokens alone: it has no text for them")


def tokenizer_for(config: DataConfig) -> Tokenizer:
    """The tokeniser that `data.tokenizer` names; a bpe lies with the tokens that it was trained for (`load`).

    Raises:
      StudyError: an existing tokenizer.json is not there any more, or not as it was; or it is a bpe.
    """
    if config.tokenizer == "bytes":
        return ByteTokenizer()
    if config.tokenizer == "pretokenized":
        arrays = config.pretokenized
        assert arrays.vocabulary is not None
        assert arrays.end_of_document is not None
        return Pretokenized(arrays.vocabulary, arrays.end_of_document)
    if isinstance(config.tokenizer, TokenizerFile):
        file = config.tokenizer
        path = Path(file.path).expanduser()
        content = path.read_bytes() if path.is_file() else b""
        if hashlib.sha256(content).hexdigest() != file.sha256:
            state = "changed" if content else "vanished"
            raise StudyError(f"data.tokenizer is {file.path!r}, which {state} since the study was read; put it back")
        return SubwordTokenizer("file", content, file.vocabulary, file.end_of_document)
    raise StudyError("data.tokenizer is 'bpe', which is trained on the study's text; load it with the run's tokens")


def bpe_tokenizer(content: bytes, vocabulary: int) -> SubwordTokenizer:
    """A bpe that was trained here; the end of document is its last token."""
    return SubwordTokenizer("bpe", content, vocabulary, vocabulary - 1)


@lru_cache(maxsize=4)
def _opened(content: bytes) -> Any:
    """The library's tokeniser: text alone gives no special token, and nothing is cut off or filled up."""
    from tokenizers import Tokenizer as Library

    try:
        opened = Library.from_buffer(content)
    except Exception as error:  # the library raises plain Exception
        raise StudyError(f"data.tokenizer is not what the `tokenizers` library reads: {error}") from None
    opened.encode_special_tokens = True
    opened.no_truncation()
    opened.no_padding()
    return opened
