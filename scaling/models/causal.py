"""Causal attention of queries that are scaled already: one function, by whichever kernel serves it best.

Dimensions: B sequences, T queries, S keys, H query heads, J kv heads, R = H/J x T queries that read a kv head, K size
of a head.
"""

import jax
import jax.numpy as jnp

from scaling.models.computing import computing
from scaling.models.kernels import kernel_for

BLOCK = 64
"""Queries of a block at least: of 32, 64 and 128 the fastest on CPUs."""
BLOCKS = 8
"""Blocks at most, of which each is compiled."""


def causal_attention(q_BHTK: jax.Array, k_BJSK: jax.Array, v_BJSK: jax.Array) -> jax.Array:
    """softmax(q k^T + causal mask) v: [B, H, T, K]. Query head h reads kv head h // (H / J)."""
    how = computing()
    if how.plain:
        return by_blocks(q_BHTK, k_BJSK, v_BJSK, block=q_BHTK.shape[2])
    kernel = None if how.attention == "blocks" else kernel_for(how.platform, q_BHTK)
    return (by_blocks if kernel is None else kernel)(q_BHTK, k_BJSK, v_BJSK)


def pair_scores(q_BHTK: jax.Array, k_BJSK: jax.Array) -> jax.Array:
    """q k^T of every query with every key: float32[B, H, T, S]."""
    scores_BJRS = jnp.einsum("BJRK,BJSK->BJRS", _by_kv_head(q_BHTK, k_BJSK), k_BJSK, preferred_element_type=jnp.float32)
    return scores_BJRS.reshape(*q_BHTK.shape[:3], -1)


def by_blocks(q_BHTK: jax.Array, k_BJSK: jax.Array, v_BJSK: jax.Array, block: int | None = None) -> jax.Array:
    """Each block of queries against the keys up to its end: what lies above the diagonal of blocks is never computed.

    Divides by the softmax's sum after its product with v, so that neither pass goes over all pairs for it. The queries
    that share a kv head are rows of one matrix: a product over two dimensions would copy its operands.
    """
    batch, heads, tokens, size = q_BHTK.shape
    groups = heads // k_BJSK.shape[1]
    block = max(BLOCK, -(-tokens // BLOCKS)) if block is None else block
    mixed = []
    for start in range(0, tokens, block):
        end = min(start + block, tokens)
        q_BJRK = _by_kv_head(q_BHTK[:, :, start:end], k_BJSK)
        k_BJSK_, v_BJSK_ = k_BJSK[:, :, :end], v_BJSK[:, :, :end]
        scores_BJRS = jnp.einsum("BJRK,BJSK->BJRS", q_BJRK, k_BJSK_, preferred_element_type=jnp.float32)
        causal_RS = jnp.tile(jnp.arange(start, end), groups)[:, None] >= jnp.arange(end)
        scores_BJRS = jnp.where(causal_RS, scores_BJRS, -jnp.inf)
        largest = jax.lax.stop_gradient(jnp.max(scores_BJRS, axis=-1, keepdims=True))
        weights_BJRS = jnp.exp(scores_BJRS - largest)
        sums = jnp.sum(weights_BJRS, axis=-1, keepdims=True)
        weights_BJRS = weights_BJRS.astype(v_BJSK.dtype)
        values_BJRK = jnp.einsum("BJRS,BJSK->BJRK", weights_BJRS, v_BJSK_, preferred_element_type=jnp.float32)
        mixed.append((values_BJRK / sums).astype(q_BHTK.dtype).reshape(batch, heads, end - start, size))
    return mixed[0] if len(mixed) == 1 else jnp.concatenate(mixed, axis=2)


def _by_kv_head(q_BHTK: jax.Array, k_BJSK: jax.Array) -> jax.Array:
    """[B, J, G T, K]: the queries that read one kv head, head after head."""
    return q_BHTK.reshape(q_BHTK.shape[0], k_BJSK.shape[1], -1, q_BHTK.shape[-1])
