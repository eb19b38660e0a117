"""Decoder-only transformers in Flax NNX."""

from scaling.models.parameterization import Declaration, Role, declarations
from scaling.models.transformer import Transformer, cross_entropy, next_token_losses

__all__ = ["Declaration", "Role", "Transformer", "cross_entropy", "declarations", "next_token_losses"]
