"""What was measured of a model: on text, and on questions with choices. And the sets that it was measured on."""

from typing import Annotated, Literal

from pydantic import Field

from scaling.config import Part


class PositionLoss(Part):
    """Loss of the tokens at places `first` to `last` of a window, counted from 1: predicted from so many tokens."""

    first: int
    last: int
    loss: float
    """Nats a token."""
    loss_se: float
    """Its standard error over documents."""


class TextScore(Part):
    """On held-out text. Standard errors are over documents."""

    kind: Literal["text"] = "text"
    loss: float
    """Nats a token."""
    loss_se: float
    bits_per_byte: float
    """Nats of all tokens, ends of documents among them, / ln 2 / bytes of the text."""
    bits_per_byte_se: float
    by_position: tuple[PositionLoss, ...]

    @property
    def columns(self) -> dict[str, float]:
        """Of a table."""
        names = ("loss", "loss_se", "bits_per_byte", "bits_per_byte_se")
        return {name: getattr(self, name) for name in names} | position_columns(self.by_position)


class ChoiceScore(Part):
    """On questions with choices. Standard errors are over questions."""

    kind: Literal["choices"] = "choices"
    bits_per_byte: float
    """Of the right choice after its prompt: nats / ln 2 / bytes, the mean over questions."""
    bits_per_byte_se: float
    likelihood: float
    """Share of the right choice in the (normalised) likelihoods of all choices, the mean over questions."""
    likelihood_se: float
    accuracy: float
    """Share of questions whose right choice has the largest (normalised) likelihood; a tie counts as its share."""
    accuracy_se: float
    chance: float
    """Accuracy of a guess."""
    cut: int
    """Questions whose prompt did not fit into the context before some choice, and was cut from the left."""
    split: int
    """Questions with a choice longer than the context, which was read in several windows."""

    @property
    def columns(self) -> dict[str, float]:
        """Of a table."""
        measures = ("bits_per_byte", "likelihood", "accuracy")
        both = {name: getattr(self, name) for one in measures for name in (one, f"{one}_se")}
        return both | {"chance": self.chance}


Score = Annotated[TextScore | ChoiceScore, Field(discriminator="kind")]


class SetRecord(Part):
    """A named held-out set as the models see it."""

    name: str
    kind: Literal["text", "choices"]
    fingerprint: str
    """SHA-256 of its tokens, and of all that decides a score."""
    tokenizer: str
    units: int
    """Documents, or questions."""
    tokens: int
    """Of the text, or of all prompts and choices."""
    text_bytes: int
    """UTF-8 bytes of the text, or of all right choices."""
    normalize: Literal["bytes", "none"] = "bytes"
    in_training: tuple[str, ...] = ()
    """Documents that are training documents too, or questions whose prompt and answer together are one: by name."""

    @property
    def key(self) -> str:
        """File name stem: readable, and another where the content is."""
        return f"{self.name}-{self.fingerprint[:10]}"


class Evaluated(Part):
    """A score of one horizon's model on one set."""

    trajectory: str
    horizon: str
    tokens: int
    """D of the horizon."""
    set: SetRecord
    score: Score
    provenance: dict[str, str]


def position_columns(found: tuple[PositionLoss, ...]) -> dict[str, float]:
    """Per-position losses as columns: loss_at_1, loss_at_2, loss_at_3-4, loss_at_5-8, ..., each with its _se."""
    columns: dict[str, float] = {}
    for one in found:
        name = f"loss_at_{one.first}" if one.first == one.last else f"loss_at_{one.first}-{one.last}"
        columns |= {name: one.loss, f"{name}_se": one.loss_se}
    return columns
