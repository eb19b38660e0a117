"""Data: from text to batches that are a pure function of (seed, step). Each name loads when first used."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scaling.data.corpora import Corpus, Document, read_corpus
    from scaling.data.domains import Domain, domains_of
    from scaling.data.evaluation_sets import EvaluationSet, load_set, read_set, save_set
    from scaling.data.held_out import EvaluationBatches, HeldOut, Scored
    from scaling.data.pipeline import TrainingBatches
    from scaling.data.preparing import prepare
    from scaling.data.synthetic import Source, source_loss, source_of
    from scaling.data.tokenized import DomainSummary, Summary, Tokens, epochs, load, load_record, save
    from scaling.data.tokenizers import ByteTokenizer, SubwordTokenizer, Tokenizer, tokenizer_for

__all__ = [
    "ByteTokenizer",
    "Corpus",
    "Document",
    "Domain",
    "DomainSummary",
    "EvaluationBatches",
    "EvaluationSet",
    "HeldOut",
    "Scored",
    "Source",
    "SubwordTokenizer",
    "Summary",
    "Tokenizer",
    "Tokens",
    "TrainingBatches",
    "domains_of",
    "epochs",
    "load",
    "load_record",
    "load_set",
    "prepare",
    "read_corpus",
    "read_set",
    "save",
    "save_set",
    "source_loss",
    "source_of",
    "tokenizer_for",
]
_HOMES = {
    "corpora": ("Corpus", "Document", "read_corpus"),
    "domains": ("Domain", "domains_of"),
    "evaluation_sets": ("EvaluationSet", "load_set", "read_set", "save_set"),
    "held_out": ("EvaluationBatches", "HeldOut", "Scored"),
    "pipeline": ("TrainingBatches",),
    "synthetic": ("Source", "source_loss", "source_of"),
    "preparing": ("prepare",),
    "tokenized": ("DomainSummary", "Summary", "Tokens", "epochs", "load", "load_record", "save"),
    "tokenizers": ("ByteTokenizer", "SubwordTokenizer", "Tokenizer", "tokenizer_for"),
}


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(f"scaling.data.{home}"), name)
    raise AttributeError(f"module 'scaling.data' has no attribute {name!r}; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return list(__all__)
