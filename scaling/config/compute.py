"""How a model's numbers are computed: it changes results by rounding alone."""

from typing import Annotated, Literal

from pydantic import Field

from scaling.config.part import Part

Precision = Literal["float32", "bfloat16"]
Remat = Literal["none", "products", "full"]
Attention = Literal["auto", "blocks"]


class ComputeConfig(Part):
    """How a model's numbers are computed. Never part of a trajectory's identity."""

    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of matrix products and activations; parameters, moments, norms, softmax and loss are float32 always, and so are
    the logits of what is not trained on. auto is bfloat16 on accelerators, float32 on CPUs. Kept in every record."""
    attention: Attention = "auto"
    """auto takes the platform's fused kernel (cuDNN on GPUs, splash on TPUs) where it can serve, blocks never does."""
    remat: Remat = "none"
    """What the backward pass computes again in place of keeping it: nothing; all but matrix products; or all but the
    input of each block, for a third more computation and the least memory."""
    microbatch_tokens: Annotated[int, Field(ge=1)] | None = None
    """Tokens of a batch that each device takes at once, at most; the gradients of the parts are summed. null: all."""
