"""The loss of the next token, without the whole of the logits where the vocabulary is large.

Dimensions: B sequences, T tokens, W width, V vocabulary.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

LOGITS = 2**26
"""Logits that are held at once, at most: 256 MiB. More are made in chunks of tokens, and again in the backward pass."""


def cross_entropy(logits_BTV: jax.Array, targets_BT: jax.Array) -> jax.Array:
    """-ln softmax(logits)[target], in nats: float32[B, T]."""
    target_BT = jnp.take_along_axis(logits_BTV, targets_BT[..., None], axis=-1)[..., 0]
    return jax.nn.logsumexp(logits_BTV, axis=-1) - target_BT


def scored(
    score: Callable[[jax.Array], jax.Array],
    x_BTW: jax.Array,
    targets_BT: jax.Array,
    vocabulary: int,
    most: int,
) -> jax.Array:
    """Cross-entropy of `score`(x), [B, T, W] -> [B, T, V], with at most about `most` logits at once: float32[B, T]."""

    def losses(x_BTW: jax.Array, targets_BT: jax.Array) -> jax.Array:
        return cross_entropy(score(x_BTW), targets_BT)

    batch, tokens = targets_BT.shape
    chunks = _chunks(batch, tokens, vocabulary, most)
    if chunks == 1:
        return losses(x_BTW, targets_BT)
    again = jax.checkpoint(losses, prevent_cse=False)
    _, found = jax.lax.scan(lambda _, own: (None, again(*own)), None, (_cut(x_BTW, chunks), _cut(targets_BT, chunks)))
    return jnp.moveaxis(found, 0, 1).reshape(targets_BT.shape)


def _chunks(batch: int, tokens: int, vocabulary: int, most: int) -> int:
    """Equal chunks of a sequence: the fewest that divide it and hold no more than `most` logits, one token at least."""
    fitting = max(1, most // (batch * vocabulary))
    return next(count for count in range(1, tokens + 1) if tokens % count == 0 and tokens // count <= fitting)


def _cut(x: jax.Array, chunks: int) -> jax.Array:
    """[B, T, ...] -> [chunks, B, T / chunks, ...]: along the tokens, so that sequences stay where they are."""
    return jnp.moveaxis(x.reshape(x.shape[0], chunks, -1, *x.shape[2:]), 1, 0)
