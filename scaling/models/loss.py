"""The loss of the next token, without the whole of the logits where the vocabulary is large.

Dimensions: B sequences, T tokens, W width, V vocabulary, C chunks of a sequence.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from scaling.models.computing import computing
from scaling.models.layers import linear
from scaling.models.sharding import mark

LOGITS = {"cpu": 2**22, "gpu": 2**28, "tpu": 2**28}
"""Logits that are held at once, at most: 16 MiB where a cache has to hold them (of 2^18 to 2^26 the fastest), 1 GiB of
float32 where memory does."""


class Head(NamedTuple):
    """What scores the vocabulary."""

    matrix_VW: jax.Array
    """As a table of embeddings lies: where one is both, no transposed copy of it is made."""
    multiplier: jax.Array | float

    def logits(self, x_BTW: jax.Array) -> jax.Array:
        """float32[B, T, V]."""
        return self._scaled(linear(x_BTW, self._rounded(x_BTW), jnp.float32))

    def losses(self, x_BTW: jax.Array, targets_BT: jax.Array) -> jax.Array:
        """Cross-entropy of each target: float32[B, T]."""
        return cross_entropy(self.logits(x_BTW), targets_BT)

    def summed(self, x_BTW: jax.Array, targets_BT: jax.Array) -> jax.Array:
        """The sum of all losses, to be trained on: logits are rounded to the type of x, as other products are."""
        return cross_entropy(self._scaled(linear(x_BTW, self._rounded(x_BTW))), targets_BT).sum()

    def _rounded(self, x_BTW: jax.Array) -> jax.Array:
        return self.matrix_VW.astype(x_BTW.dtype).T

    def _scaled(self, logits_BTV: jax.Array) -> jax.Array:
        logits_BTV = mark(logits_BTV, "batch", None, "vocabulary")
        return self.multiplier * logits_BTV.astype(jnp.float32)


@jax.custom_vjp
def cross_entropy(logits_BTV: jax.Array, targets_BT: jax.Array) -> jax.Array:
    """-ln softmax(logits)[target], in nats: float32[B, T]."""
    losses_BT, _ = _cross_entropy_forward(logits_BTV, targets_BT)
    return losses_BT


def _cross_entropy_forward(logits_BTV: jax.Array, targets_BT: jax.Array) -> tuple[jax.Array, tuple[jax.Array, ...]]:
    total_BT = jax.nn.logsumexp(logits_BTV, axis=-1)
    target_BT = jnp.take_along_axis(logits_BTV, targets_BT[..., None], axis=-1)[..., 0]
    return total_BT - target_BT, (logits_BTV, total_BT, targets_BT)


def _cross_entropy_backward(kept: tuple[jax.Array, ...], by_losses_BT: jax.Array) -> tuple[jax.Array, None]:
    """softmax - one-hot, in one pass over the logits: that of the lookup would be a scatter of its own."""
    logits_BTV, total_BT, targets_BT = kept
    is_target_BTV = jnp.arange(logits_BTV.shape[-1]) == targets_BT[..., None]
    return by_losses_BT[..., None] * (jnp.exp(logits_BTV - total_BT[..., None]) - is_target_BTV), None


cross_entropy.defvjp(_cross_entropy_forward, _cross_entropy_backward)


def losses_in_chunks(head: Head, x_BTW: jax.Array, targets_BT: jax.Array) -> jax.Array:
    """Cross-entropy of each target, of a chunk of tokens at a time: float32[B, T]."""
    chunks = chunks_of(targets_BT, head.matrix_VW.shape[0])
    if chunks == 1:
        return head.losses(x_BTW, targets_BT)
    again = jax.checkpoint(head.losses, prevent_cse=False)
    _, found = jax.lax.scan(lambda _, own: (None, again(*own)), None, (_cut(x_BTW, chunks), _cut(targets_BT, chunks)))
    return jnp.moveaxis(found, 0, 1).reshape(targets_BT.shape)


def summed_in_chunks(head: Head, x_BTW: jax.Array, targets_BT: jax.Array) -> jax.Array:
    """The sum of all losses, whose gradient is found with it: no logits are made twice. Not of the multiplier."""
    chunks = chunks_of(targets_BT, head.matrix_VW.shape[0])
    if chunks == 1:
        return head.summed(x_BTW, targets_BT)
    multiplier = jax.lax.stop_gradient(jnp.asarray(head.multiplier, jnp.float32))
    return _summed(_cut(x_BTW, chunks), head.matrix_VW, multiplier, _cut(targets_BT, chunks))


def chunks_of(targets_BT: jax.Array, vocabulary: int) -> int:
    """Equal chunks of a sequence: the fewest that divide it and hold no more than LOGITS, one token at least."""
    if computing().plain:
        return 1
    batch, tokens = targets_BT.shape
    fitting = max(1, LOGITS[computing().platform] // (batch * vocabulary))
    return next(count for count in range(1, tokens + 1) if tokens % count == 0 and tokens // count <= fitting)


def _cut(x: jax.Array, chunks: int) -> jax.Array:
    """[B, T, ...] -> [C, B, T / C, ...]: along the tokens, so that sequences stay where they are."""
    return jnp.moveaxis(x.reshape(x.shape[0], chunks, -1, *x.shape[2:]), 1, 0)


def _of_chunk(matrix_VW: jax.Array, multiplier: jax.Array, targets_BT: jax.Array, x_BTW: jax.Array) -> jax.Array:
    return Head(matrix_VW, multiplier).summed(x_BTW, targets_BT)


@jax.custom_vjp
def _summed(x_CBTW: jax.Array, matrix_VW: jax.Array, multiplier: jax.Array, targets_CBT: jax.Array) -> jax.Array:
    def add(total: jax.Array, own: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, None]:
        x_BTW, targets_BT = own
        return total + _of_chunk(matrix_VW, multiplier, targets_BT, x_BTW), None

    total, _ = jax.lax.scan(add, jnp.float32(0), (x_CBTW, targets_CBT))
    return total


def _summed_forward(
    x_CBTW: jax.Array, matrix_VW: jax.Array, multiplier: jax.Array, targets_CBT: jax.Array
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    def add(carry: Any, own: tuple[jax.Array, jax.Array]) -> tuple[Any, jax.Array]:
        total, by_matrix_VW = carry
        x_BTW, targets_BT = own

        def loss(matrix_VW: jax.Array, x_BTW: jax.Array) -> jax.Array:
            return _of_chunk(matrix_VW, multiplier, targets_BT, x_BTW)

        one, (by_matrix, by_x_BTW) = jax.value_and_grad(loss, argnums=(0, 1))(rounded_VW, x_BTW)
        return (total + one, by_matrix_VW + by_matrix), by_x_BTW

    rounded_VW = matrix_VW.astype(x_CBTW.dtype)
    nothing = jnp.float32(0), jnp.zeros(matrix_VW.shape, jnp.float32)
    (total, by_matrix_VW), by_x_CBTW = jax.lax.scan(add, nothing, (x_CBTW, targets_CBT))
    return total, (by_x_CBTW, by_matrix_VW)


def _summed_backward(kept: tuple[jax.Array, jax.Array], by_total: jax.Array) -> tuple[jax.Array, jax.Array, None, None]:
    by_x_CBTW, by_matrix_VW = (one * by_total.astype(one.dtype) for one in kept)
    return by_x_CBTW, by_matrix_VW, None, None


_summed.defvjp(_summed_forward, _summed_backward)
