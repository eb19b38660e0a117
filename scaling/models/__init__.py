"""Decoder-only transformers in Flax NNX."""

from scaling.models.attention import Attention
from scaling.models.computing import Computing, computed_by, computing
from scaling.models.counting import counted
from scaling.models.layers import FeedForward, RMSNorm
from scaling.models.loss import cross_entropy
from scaling.models.parameterization import (
    ROLES,
    Declaration,
    Forward,
    Multipliers,
    Role,
    declarations,
    declare,
    multipliers,
)
from scaling.models.sharding import mark
from scaling.models.transformer import (
    Block,
    Model,
    Transformer,
    new_block,
    new_model,
    next_token_loss,
    next_token_losses,
)

__all__ = [
    "ROLES",
    "Attention",
    "Block",
    "Computing",
    "Declaration",
    "FeedForward",
    "Forward",
    "Model",
    "Multipliers",
    "RMSNorm",
    "Role",
    "Transformer",
    "computed_by",
    "computing",
    "counted",
    "cross_entropy",
    "declarations",
    "declare",
    "mark",
    "multipliers",
    "new_block",
    "new_model",
    "next_token_loss",
    "next_token_losses",
]
