"""Text that is made, not read: a source whose entropy rate is known exactly."""

from typing import Annotated

from pydantic import Field

from scaling.config.part import Part

SYNTHETIC = ("zipf_markov", "grammar")
"""Names of `data.corpus` that make text."""
SYMBOLS = 92
"""Printable bytes, without the two that mark sentences in the grammar."""


class SyntheticConfig(Part):
    """A source and how much it says. Source and text are a pure function of these fields and of data.corpus."""

    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Of the source's tables and of what is drawn from it. Another seed is another source."""
    tokens: Annotated[int, Field(ge=1000, le=10**9)] = 4_000_000
    """Tokens made at least, ends of documents included; the last document is whole."""
    document_tokens: Annotated[float, Field(ge=2, le=1e6)] = 200.0
    """Expected tokens of a document, its end left out."""
    symbols: Annotated[int, Field(ge=2, le=SYMBOLS)] = 32
    """Size of the alphabet."""
    states: Annotated[int, Field(ge=1, le=4096)] = 64
    """Hidden states of zipf_markov, nonterminals of the grammar."""
    exponent: Annotated[float, Field(ge=0, le=8)] = 1.0
    """Of Zipf's law: the r-th most probable of n has probability r^-exponent / sum."""
    memory: Annotated[float, Field(ge=0, le=1)] = 0.25
    """Of zipf_markov: the share of (state, symbol) after which the next state depends on both; on the symbol alone
    after the others. More of it takes a longer context to tell the state."""
