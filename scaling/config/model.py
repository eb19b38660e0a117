"""One model, and the names of what trains it."""

from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field, model_validator

from scaling.config.own import Own, OwnPart, built_in_or_own
from scaling.config.part import Part

OptimizerName = Literal["adamw", "muon", "lion", "schedule_free"]
ScheduleName = Literal["wsd", "cosine", "linear", "constant"]
Optimizer = Annotated[
    OptimizerName | Own,
    BeforeValidator(
        built_in_or_own(get_args(OptimizerName), "an optimizer"), json_schema_input_type=OptimizerName | str
    ),
]
Schedule = Annotated[
    ScheduleName | Own,
    BeforeValidator(built_in_or_own(get_args(ScheduleName), "a schedule"), json_schema_input_type=ScheduleName | str),
]
MOST_UNROLLED = 24
"""Layers of a model that `auto` does not scan: a scan costs 9 to 14% on CPUs and 30% on a GPU, and spares 0.4 s of
compilation a layer."""
RuleName = Literal["standard", "mup", "completep"]


def unused(value: Any) -> bool:
    """Left out of records where nothing of one's own is used, so that identities stay what they were."""
    return not value


class Parameterization(Part):
    """How the numbers of a model differ from those of the reference model, where the ratios are 1."""

    rule: RuleName = "standard"
    """standard (one rate for all), muP (Yang 2022) or CompleteP (Dey 2025)."""
    width_ratio: Annotated[float, Field(gt=0)] = 1.0
    """width / reference width."""
    depth_ratio: Annotated[float, Field(gt=0)] = 1.0
    """layers / layers at the reference width."""
    head_ratio: Annotated[float, Field(gt=0)] = 1.0
    """Size of one head / its size at the reference width."""


class ModelConfig(Part):
    """One decoder-only transformer."""

    layers: Annotated[int, Field(ge=1)]
    """Transformer blocks."""
    width: Annotated[int, Field(ge=1)]
    """Size of the residual stream."""
    heads: Annotated[int, Field(ge=1)]
    """Query heads; width / heads is the size of one head."""
    kv_heads: Annotated[int, Field(ge=1)]
    """Key and value heads; each serves heads / kv_heads query heads."""
    ffn_width: Annotated[int, Field(ge=1)]
    """Hidden size of the feed-forward."""
    vocabulary: Annotated[int, Field(ge=2)]
    """Tokens in the vocabulary, special ones included."""
    sequence_length: Annotated[int, Field(ge=2)]
    """Tokens that one training sequence predicts."""
    feed_forward: Literal["swiglu", "gelu", "relu2"] = "swiglu"
    """The feed-forward's activation: SwiGLU, GELU or squared ReLU."""
    positions: Literal["rotary", "learned", "none"] = "rotary"
    """How a token knows its place."""
    qk_norm: bool = True
    """RMSNorm on queries and keys, per head."""
    tied_head: bool = False
    """The output head is the transpose of the token embedding."""
    layer_loop: Literal["auto", "scan", "unroll"] = "auto"
    """Scan keeps compile time flat in depth; unrolled is faster when shallow. auto scans above 24 layers."""
    parameterization: Parameterization = Parameterization()
    """The rule of its initial scales, rates and multipliers, and where it stands from the reference model."""
    block: Annotated[OwnPart | None, Field(exclude_if=unused)] = None
    """A block of one's own in place of attention and feed-forward."""
    model: Annotated[OwnPart | None, Field(exclude_if=unused)] = None
    """A whole model of one's own."""

    @model_validator(mode="after")
    def _divisible(self) -> "ModelConfig":
        if self.width % self.heads:
            raise ValueError(
                f"width is {self.width}, not divisible by {self.heads} heads; "
                f"use {nearest_multiples(self.width, self.heads)}"
            )
        if self.heads % self.kv_heads:
            raise ValueError(f"heads is {self.heads}, not divisible by {self.kv_heads} kv_heads")
        if self.positions == "rotary" and self.head_width % 2:
            raise ValueError(f"head width is {self.head_width}; rotary positions need an even one")
        return self

    @property
    def head_width(self) -> int:
        return self.width // self.heads

    @property
    def own(self) -> Own | None:
        """The part of one's own that is in it: counts are then those of the built model."""
        return self.block or self.model

    @property
    def scanned(self) -> bool:
        """Whether the layers are scanned: as asked, or above 24 layers under `auto`."""
        return self.layer_loop == "scan" or (self.layer_loop == "auto" and self.layers > MOST_UNROLLED)


def nearest_multiples(value: int, factor: int) -> str:
    """The multiples of `factor` on either side of `value`, as words for an error message."""
    below = value // factor * factor
    return f"{below} or {below + factor}" if below else f"{factor}"
