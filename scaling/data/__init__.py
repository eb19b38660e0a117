"""Data: from text to batches that are a pure function of (seed, step). Each name loads when first used."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scaling.data.corpora import Corpus, Document, read_corpus
    from scaling.data.evaluation_sets import EvaluationSet, load_set, read_set, save_set
    from scaling.data.held_out import EvaluationBatches, HeldOut, Scored
    from scaling.data.pipeline import TrainingBatches
    from scaling.data.synthetic import Source, source_loss, source_of
    from scaling.data.tokenized import Summary, Tokens, epochs, load, prepare, save
    from scaling.data.tokenizers import ByteTokenizer, Tokenizer, tokenizer_for

__all__ = [
    "ByteTokenizer",
    "Corpus",
    "Document",
    "EvaluationBatches",
    "EvaluationSet",
    "HeldOut",
    "Scored",
    "Source",
    "Summary",
    "Tokenizer",
    "Tokens",
    "TrainingBatches",
    "epochs",
    "load",
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
    "evaluation_sets": ("EvaluationSet", "load_set", "read_set", "save_set"),
    "held_out": ("EvaluationBatches", "HeldOut", "Scored"),
    "pipeline": ("TrainingBatches",),
    "synthetic": ("Source", "source_loss", "source_of"),
    "tokenized": ("Summary", "Tokens", "epochs", "load", "prepare", "save"),
    "tokenizers": ("ByteTokenizer", "Tokenizer", "tokenizer_for"),
}


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(f"scaling.data.{home}"), name)
    raise AttributeError(f"module 'scaling.data' has no attribute {name!r}; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return list(__all__)
