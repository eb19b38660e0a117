"""Decoder-only transformers in Flax NNX."""

from scaling.models.parameterization import Declaration, Forward, Multipliers, Role, declarations, multipliers
from scaling.models.transformer import Transformer, cross_entropy, next_token_losses

__all__ = [
    "Declaration",
    "Forward",
    "Multipliers",
    "Role",
    "Transformer",
    "cross_entropy",
    "declarations",
    "multipliers",
    "next_token_losses",
]
