"""Synthetic corpora: text drawn from a source, and what the source itself would lose on it.

What a model can reach in windows of L tokens lies above the entropy rate, as it does not see what came before.
"""

from collections.abc import Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from scaling.config import DataConfig, SyntheticConfig
from scaling.data.grammar import Grammar
from scaling.data.held_out import EvaluationBatches, Scored
from scaling.data.tokenizers import ByteTokenizer, TokenArray
from scaling.data.zipf_markov import ZipfMarkov


class Source(Protocol):
    """What every source can say of itself. Symbols are numbers; the one after the last is the end of document."""

    @property
    def alphabet(self) -> str:
        """Symbol -> character, each a byte."""

    @property
    def entropy_rate(self) -> float:
        """Nats a token, given all that came before."""

    def documents(self) -> Iterator[str]:
        """Documents without end, the same ones at every call."""

    def nats(self, windows: NDArray[np.integer]) -> NDArray[np.float64]:
        """[W, L] -ln p of each symbol of windows [W, L + 1] but the first, given those before it in the window."""


SOURCES: dict[str, type[ZipfMarkov] | type[Grammar]] = {"zipf_markov": ZipfMarkov, "grammar": Grammar}


def source_of(config: DataConfig) -> Source | None:
    """The source that `data.corpus` names; None where it is text of another kind, or not read byte by byte."""
    made = SOURCES.get(config.corpus) if isinstance(config.corpus, str) else None
    return None if made is None or config.tokenizer != "bytes" else made(config.synthetic)


def synthetic_documents(name: str, settings: SyntheticConfig) -> Iterator[str]:
    """Whole documents until there are settings.tokens tokens, each document's end being one."""
    left = settings.tokens
    for text in SOURCES[name](settings).documents():
        yield text
        left -= len(text) + 1
        if left <= 0:
            return


def source_loss(source: Source, stream: TokenArray, documents: NDArray[np.int64], sequence_length: int) -> Scored:
    """What `source` loses on a stream of bytes, evaluated as a model is: in windows of `sequence_length` targets.

    Args:
      stream: [tokens] of its own text.
      documents: [documents + 1] offsets of the documents in it.
    """
    tokenizer = ByteTokenizer()
    symbol_of = np.zeros(tokenizer.vocabulary, dtype=np.int64)
    symbol_of[np.frombuffer(source.alphabet.encode(), dtype=np.uint8)] = np.arange(len(source.alphabet))
    symbol_of[tokenizer.end_of_document] = len(source.alphabet)
    batches = EvaluationBatches(stream, documents, 1, sequence_length)
    windows = symbol_of[batches.tokens[:, 0]]
    rest = int(batches.mask[-1].sum())  # the last window may be padded
    nats = np.zeros(batches.mask.shape)
    nats[:-1, 0] = source.nats(windows[:-1])
    nats[-1:, 0, :rest] = source.nats(windows[-1:, : rest + 1])
    return batches.score(nats)
