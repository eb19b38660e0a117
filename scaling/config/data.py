"""The text of a study: where it lies, how it becomes tokens, and what of it is held out."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from scaling.config.own import Own, text_or_own
from scaling.config.part import Part
from scaling.config.synthetic import SYNTHETIC, SyntheticConfig
from scaling.config.tokenizer import (
    BYTES_VOCABULARY,
    BpeConfig,
    PretokenizedConfig,
    Tokenizer,
    TokenizerFile,
)

STANDARD_VALIDATION_TOKENS = 200_000
DOMAIN_NAME = r"^[a-z][a-z0-9_]*$"


class HuggingFaceConfig(Part):
    """Which part of a Hugging Face data set."""

    config: str | None = None
    """Its configuration, where it has several."""
    split: str = "train"
    """One of its splits; `train[:10%]` takes a part."""
    revision: str | None = None
    """A branch, tag or commit, so that the text stays the same."""


class CorpusConfig(Part):
    """Documents: where they lie."""

    corpus: Annotated[str | Own, BeforeValidator(text_or_own, json_schema_input_type=str)] = "stdlib"
    """`stdlib` (the source files of the running Python's standard library), a file, a folder or a glob; hf:NAME (a
    Hugging Face data set); `zipf_markov` or `grammar` (made text of known entropy); or your own function that yields
    documents, as module:attribute."""
    text_field: str | None = None
    """For JSON lines, Parquet and Hugging Face: the field that holds a document's text."""
    hf: HuggingFaceConfig = HuggingFaceConfig()
    """For hf:NAME: configuration, split and revision."""
    synthetic: SyntheticConfig = SyntheticConfig()
    """For zipf_markov and grammar: the source, and how much text it makes."""

    @model_validator(mode="after")
    def _corpus_uses_what_is_set(self) -> "CorpusConfig":
        if self.synthetic != SyntheticConfig() and self.corpus not in SYNTHETIC:
            raise ValueError(
                f"synthetic is set, but corpus is {self.corpus!r}; it describes {' and '.join(SYNTHETIC)}: "
                "use one of them, or leave synthetic out"
            )
        if self.text_field is not None and self.corpus in SYNTHETIC:
            raise ValueError(f"text_field is {self.text_field!r}, but corpus {self.corpus!r} is made; leave it out")
        if self.hf != HuggingFaceConfig() and not str(self.corpus).startswith("hf:"):
            raise ValueError(f"hf is set, but corpus is {self.corpus!r}; use hf:NAME, or leave hf out")
        return self


class DomainConfig(CorpusConfig):
    """One of the corpora of a mixture."""

    weight: Annotated[float, Field(ge=0)] = 1.0
    """Share of the training tokens, relative to the other domains' weights."""


class DataConfig(CorpusConfig):
    """The text, how it becomes tokens, and what of it is held out."""

    mixture: dict[Annotated[str, Field(pattern=DOMAIN_NAME)], DomainConfig] = Field(default_factory=dict)
    """In place of corpus: several corpora by name, each with its weight, as {web: {corpus: web/, weight: 0.7}, ...}."""
    end_of_document: str | int | None = None
    """For a tokenizer.json: the token that ends a document, by text or number; the usual name where not given."""
    tokenizer: Tokenizer = "bytes"
    """bytes (UTF-8 bytes and an end of document), bpe (trained on this text), the path of a tokenizer.json, or
    pretokenized (the corpus is arrays of tokens: .npy, .bin)."""
    bpe: BpeConfig = BpeConfig()
    """For bpe: how large, and trained on how much."""
    pretokenized: PretokenizedConfig = PretokenizedConfig()
    """For pretokenized: what the numbers mean."""
    validation_tokens: Annotated[int, Field(ge=1)] = STANDARD_VALIDATION_TOKENS
    """Held out at least, in tokens of `bytes` whatever the tokeniser, so that every tokeniser holds out the same
    documents; whole ones, never in training."""
    validation_share: Annotated[float, Field(gt=0, le=0.5)] | None = None
    """In place of validation_tokens: the share of the text that is held out at least."""
    bad_encoding: Literal["refuse", "skip"] = "refuse"
    """What to do with a file that is not UTF-8."""

    @property
    def vocabulary(self) -> int:
        """Tokens in the vocabulary, the end of document included."""
        if isinstance(self.tokenizer, TokenizerFile):
            return self.tokenizer.vocabulary
        of_arrays = self.pretokenized.vocabulary or BYTES_VOCABULARY
        return {"bytes": BYTES_VOCABULARY, "bpe": self.bpe.vocabulary, "pretokenized": of_arrays}[self.tokenizer]

    @property
    def weights(self) -> dict[str, float]:
        """Domain -> weight; empty where there is a single corpus."""
        return {name: domain.weight for name, domain in self.mixture.items()}

    @field_validator("mixture")
    @classmethod
    def _mixes(cls, mixture: dict[str, DomainConfig]) -> dict[str, DomainConfig]:
        if len(mixture) == 1:
            raise ValueError(f"has one domain, {next(iter(mixture))!r}; name two or more, or give corpus instead")
        if mixture and not any(domain.weight for domain in mixture.values()):
            raise ValueError("has no weight above 0; give each domain its share")
        return dict(sorted(mixture.items()))

    @model_validator(mode="after")
    def _agree(self) -> "DataConfig":
        if self.mixture and (self.corpus != "stdlib" or self.text_field is not None):
            raise ValueError(
                f"mixture names its own corpora, but corpus is {self.corpus!r} and text_field {self.text_field!r}; "
                "leave these out"
            )
        if self.validation_share is not None and self.validation_tokens != STANDARD_VALIDATION_TOKENS:
            raise ValueError(
                f"validation_share is {self.validation_share}, and validation_tokens {self.validation_tokens}; "
                "give one of them"
            )
        if self.end_of_document is not None and not isinstance(self.tokenizer, TokenizerFile):
            raise ValueError(
                f"end_of_document is {self.end_of_document!r}, but tokenizer is {self.tokenizer!r}; it is for a "
                "tokenizer.json: leave it out (pretokenized has its own, data.pretokenized.end_of_document)"
            )
        if self.bpe != BpeConfig() and self.tokenizer != "bpe":
            raise ValueError(f"bpe is set, but tokenizer is {self.tokenizer!r}; use tokenizer bpe, or leave bpe out")
        return self

    @model_validator(mode="after")
    def _arrays_are_described(self) -> "DataConfig":
        if self.tokenizer != "pretokenized":
            if self.pretokenized != PretokenizedConfig():
                raise ValueError(
                    f"pretokenized is set, but tokenizer is {self.tokenizer!r}; use tokenizer pretokenized, or leave "
                    "it out"
                )
            return self
        vocabulary, end = self.pretokenized.vocabulary, self.pretokenized.end_of_document
        if vocabulary is None or end is None:
            missing = "vocabulary" if vocabulary is None else "end_of_document"
            raise ValueError(f"pretokenized.{missing} is missing; arrays of numbers do not say it themselves")
        if end >= vocabulary:
            raise ValueError(f"pretokenized.end_of_document is {end}, not below pretokenized.vocabulary {vocabulary}")
        return self
