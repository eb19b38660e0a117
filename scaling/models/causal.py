"""Causal attention of queries that are scaled already: one function, by whichever kernel serves it best.

Dimensions: B sequences, T queries, S keys, H query heads, J kv heads, G queries a kv head, K size of a head.
"""

import jax
import jax.numpy as jnp

BLOCK = 64
"""Queries of a block at least: of 32, 64 and 128 the fastest on CPUs."""
BLOCKS = 8
"""Blocks at most, of which each is compiled."""


def causal_attention(q_BHTK: jax.Array, k_BJSK: jax.Array, v_BJSK: jax.Array) -> jax.Array:
    """softmax(q k^T + causal mask) v: [B, H, T, K]. Query head h reads kv head h // (H / J)."""
    return by_blocks(q_BHTK, k_BJSK, v_BJSK)


def pair_scores(q_BHTK: jax.Array, k_BJSK: jax.Array) -> jax.Array:
    """q k^T of every query with every key: [B, J, G, T, S]."""
    batch, heads, tokens, size = q_BHTK.shape
    kv_heads = k_BJSK.shape[1]
    q_BJGTK = q_BHTK.reshape(batch, kv_heads, heads // kv_heads, tokens, size)
    return jnp.einsum("BJGTK,BJSK->BJGTS", q_BJGTK, k_BJSK)


def by_blocks(q_BHTK: jax.Array, k_BJSK: jax.Array, v_BJSK: jax.Array, block: int | None = None) -> jax.Array:
    """Each block of queries against the keys up to its end: what lies above the diagonal of blocks is never computed.

    Divides by the softmax's sum after its product with v, so that neither pass goes over all pairs for it.
    """
    tokens = q_BHTK.shape[2]
    block = max(BLOCK, -(-tokens // BLOCKS)) if block is None else block
    mixed = []
    for start in range(0, tokens, block):
        end = min(start + block, tokens)
        scores_BJGTS = pair_scores(q_BHTK[:, :, start:end], k_BJSK[:, :, :end]).astype(jnp.float32)
        causal_TS = jnp.arange(start, end)[:, None] >= jnp.arange(end)
        scores_BJGTS = jnp.where(causal_TS, scores_BJGTS, -jnp.inf)
        largest = jax.lax.stop_gradient(jnp.max(scores_BJGTS, axis=-1, keepdims=True))
        weights_BJGTS = jnp.exp(scores_BJGTS - largest)
        sums = jnp.sum(weights_BJGTS, axis=-1, keepdims=True)
        values_BJGTK = jnp.einsum(
            "BJGTS,BJSK->BJGTK", weights_BJGTS.astype(v_BJSK.dtype), v_BJSK[:, :, :end], preferred_element_type=jnp.float32
        )
        mixed.append((values_BJGTK / sums).astype(q_BHTK.dtype))
    whole_BJGTK = mixed[0] if len(mixed) == 1 else jnp.concatenate(mixed, axis=3)
    return whole_BJGTK.reshape(q_BHTK.shape)
