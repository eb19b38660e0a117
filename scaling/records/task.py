"""What a command of the user's own is told: one trajectory, as the task file that is its last word."""

from typing import Annotated, Literal

from pydantic import Field

from scaling.config import ModelConfig, Part
from scaling.records.schema import Recipe


class TokenFile(Part):
    """A one-dimensional array of numbers in a file, to be mapped into memory."""

    file: str
    """A NumPy .npy of format 1.0; from `offset` on, the numbers alone."""
    dtype: str
    """NumPy's name of the type, little-endian: uint16, uint32, int64."""
    count: int
    """How many numbers."""
    offset: int
    """Bytes before the first one."""


class TextDomain(Part):
    """Where a domain of a mixture lies in the streams."""

    name: str
    share: float
    """Of the training sequences."""
    train_start: int
    """Its first training token."""
    train_stop: int
    """Behind its last training token."""
    validation_start: int
    """Its first held-out token."""
    validation_stop: int
    """Behind its last held-out token."""


class Text(Part):
    """The study's tokens: documents one after another, each ended by `end_of_document`."""

    train: TokenFile
    """The training stream; its order is the corpus's, so shuffle windows of it by `seed`."""
    validation: TokenFile
    """The held-out stream."""
    validation_documents: TokenFile
    """Where held-out documents begin, and the end of the last: document i is validation[these[i]:these[i + 1]]."""
    validation_bytes: int
    """UTF-8 bytes of the held-out text, for bits per byte; 0 where it is not known."""
    vocabulary: int
    """Tokens in the vocabulary, the end of document included."""
    end_of_document: int
    tokenizer: str
    fingerprint: str
    """SHA-256 of the tokens."""
    domains: tuple[TextDomain, ...] = ()
    """Of a mixture, in the streams' order."""


class TaskHorizon(Part):
    """A token budget at which the model is to be annealed and measured."""

    name: str
    tokens: int
    """D: tokens seen by the annealed model, decay included."""
    steps: int
    """Optimiser steps up to D."""
    decay_steps: int
    """The last of those steps, branched off the trunk, in which the rate falls; 0 under other schedules than wsd."""
    decay_shape: Literal["linear", "1-sqrt"]
    """The form of that fall."""
    output: str
    """The result file to write, under a temporary name first, and then renamed."""


class Task(Part):
    """One trajectory to be trained: one model, one recipe, one seed, and the horizons that are left of it."""

    schema_version: Literal[1] = 1
    """A trainer refuses a version that it does not know."""
    id: str
    """The trajectory's identity: the same when it is started again."""
    checkpoints: str
    """A folder of this trajectory's own, which is there, to keep whatever training is taken up from again."""
    params: int
    """N as planned, under params_convention."""
    flops_per_token: int
    """Training FLOPs for each token as planned, under flops_convention."""
    params_convention: Literal["with_embeddings", "without_embeddings"]
    flops_convention: Literal["exact", "6N", "6N_non_embedding"]
    params_with_embeddings: int
    params_non_embedding: int
    model: ModelConfig
    """The size and shape that the study's family has here."""
    recipe: Recipe
    """Learning rate, batch, schedule, optimiser: as the study says for this size."""
    batch_tokens: int
    """Tokens of the first batch: recipe.sequences x model.sequence_length."""
    seed: int
    """Of the initial weights and of the order of the data; the recipe's."""
    text: Text
    mixture: dict[str, float]
    """Domain -> its share of the training sequences; empty where the text is no mixture."""
    horizons: Annotated[tuple[TaskHorizon, ...], Field(min_length=1)]
    """Those without a committed result, by tokens."""
