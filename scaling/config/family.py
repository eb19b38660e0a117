"""The model family: the rule that makes a model for each width."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from scaling.config.own import OwnPart
from scaling.config.part import Part


class FamilyConfig(Part):
    """The rule that makes a ModelConfig for each width."""

    layers: Annotated[int, Field(ge=1)] = 2
    """Layers at training.reference_width."""
    depth_exponent: Annotated[float, Field(ge=0, le=2)] = 0.0
    """layers(width) = layers x (width / reference_width)^depth_exponent, rounded, at least 1."""
    head_width: Annotated[int, Field(ge=1)] = 16
    """Size of one attention head; width must be a multiple of it."""
    heads: Annotated[int, Field(ge=1)] | None = None
    """The same number of heads at every width, each width / heads wide; head_width is not used then."""
    queries_per_kv_head: Annotated[int, Field(ge=1)] = 1
    """Query heads that share one key and value head."""
    ffn_ratio: Annotated[float, Field(gt=0)] = 2.75
    """ffn_width = ffn_ratio x width, rounded up to a multiple of 8."""
    feed_forward: Literal["swiglu", "gelu", "relu2"] = "swiglu"
    """SwiGLU, GELU or squared ReLU."""
    positions: Literal["rotary", "learned", "none"] = "rotary"
    """How a token knows its place."""
    qk_norm: bool = True
    """RMSNorm on queries and keys, per head."""
    tied_head: bool = False
    """The output head is the transpose of the token embedding."""
    sequence_length: Annotated[int, Field(ge=2)] = 128
    """Tokens that one training sequence predicts."""
    layer_loop: Literal["auto", "scan", "unroll"] = "auto"
    """Scan or unroll the layers; auto scans above 24 layers."""
    block: OwnPart | None = None
    """Your own block as module:attribute, in place of attention and feed-forward; see docs/own_parts.md."""
    model: OwnPart | None = None
    """Your own whole model as module:attribute."""

    @model_validator(mode="after")
    def _one_own(self) -> "FamilyConfig":
        if self.block is not None and self.model is not None:
            raise ValueError(
                f"block is {self.block!r}, but model is {self.model!r}, which makes its own; leave one out"
            )
        return self

    @property
    def width_unit(self) -> int:
        """Widths are multiples of this: whole heads, in whole groups on a kv head, even sizes if rotary."""
        if self.heads:
            return self.heads * (2 if self.positions == "rotary" else 1)
        return self.head_width * self.queries_per_kv_head

    def heads_at(self, width: int) -> int:
        """Query heads of the model at `width`."""
        return self.heads or width // self.head_width
