"""Multi-head causal self-attention with grouped key and value heads.

Dimensions: B sequences, T queries, S keys, W width, H query heads, J kv heads, G queries a kv head, K size of a head.
"""

import jax
import jax.numpy as jnp
from flax import nnx

from scaling.config import ModelConfig
from scaling.models.causal import causal_attention, pair_scores
from scaling.models.layers import RMSNorm, linear, linears, rotate
from scaling.models.parameterization import Declaration, declare
from scaling.models.sharding import mark


class Attention(nnx.Module):
    """softmax(multiplier q k^T / sqrt(K) + causal mask) v.

    Vaswani 2017; grouped heads: Ainslie 2023; QK-norm: Henry 2020.

    Scores are computed over the full square of the sequence and masked: `accounting` counts them so.
    """

    def __init__(self, config: ModelConfig, rngs: nnx.Rngs):
        width, head = config.width, config.head_width
        queries, keys = config.heads * head, config.kv_heads * head
        into = Declaration("hidden", width, queries, ("width", "heads"))
        into_kv = Declaration("hidden", width, keys, ("width", "kv_heads"))
        self.query = declare(rngs.params, (width, queries), into)
        self.key = declare(rngs.params, (width, keys), into_kv)
        self.value = declare(rngs.params, (width, keys), into_kv)
        self.out = declare(rngs.params, (queries, width), Declaration("hidden", queries, width, ("heads", "width")))
        self.query_norm = RMSNorm(head, "head", rngs) if config.qk_norm else None
        self.key_norm = RMSNorm(head, "head", rngs) if config.qk_norm else None
        self.kv_heads, self.head_width = config.kv_heads, head
        self.rotary = config.positions == "rotary"

    def __call__(self, x_BTW: jax.Array, multiplier: jax.Array | float = 1.0) -> jax.Array:
        mixed_BHTK = causal_attention(*self._projected(x_BTW, multiplier))
        batch, _, tokens, _ = mixed_BHTK.shape
        return linear(mixed_BHTK.transpose(0, 2, 1, 3).reshape(batch, tokens, -1), self.out[...])

    def scores(self, x_BTW: jax.Array, multiplier: jax.Array | float) -> jax.Array:
        """multiplier q k^T / sqrt(K) of every pair of tokens: float32[B, H, T, S]."""
        q_BHTK, k_BJSK, _ = self._projected(x_BTW, multiplier)
        return pair_scores(q_BHTK, k_BJSK)

    def _projected(self, x_BTW: jax.Array, multiplier: jax.Array | float) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Queries [B, H, T, K] times multiplier / sqrt(K), and keys, normed and turned; values. Both [B, J, S, K]."""
        projected = linears(x_BTW, [self.query[...], self.key[...], self.value[...]])
        q_BHTK, k_BJSK, v_BJSK = map(self._split, projected)
        if self.query_norm is not None and self.key_norm is not None:
            q_BHTK, k_BJSK = self.query_norm(q_BHTK), self.key_norm(k_BJSK)
        if self.rotary:
            q_BHTK, k_BJSK = rotate(q_BHTK), rotate(k_BJSK)
        scale = jnp.asarray(multiplier * self.head_width**-0.5, q_BHTK.dtype)
        return q_BHTK * scale, k_BJSK, v_BJSK

    def _split(self, x_BTX: jax.Array) -> jax.Array:
        batch, tokens, _ = x_BTX.shape
        x_BHTK = x_BTX.reshape(batch, tokens, -1, self.head_width).transpose(0, 2, 1, 3)
        return mark(x_BHTK, "batch", "heads", None, None)
