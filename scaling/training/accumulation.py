"""Loss and gradient of a batch, of parts of it one after another where it would not fit at once."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

Loss = Callable[[Any, jax.Array], jax.Array]
"""(params, int32[B, T + 1]) -> mean loss over its B x T targets."""


def parts_of(sequences: int, length: int, shards: int, most_tokens: int | None) -> int:
    """The fewest equal parts of a batch with no more than `most_tokens` tokens on each of `shards` devices.

    One sequence a device is the least.
    """
    each = sequences // shards
    fitting = each if most_tokens is None else max(1, most_tokens // length)
    return next(parts for parts in range(1, each + 1) if each % parts == 0 and each // parts <= fitting)


def mean_and_gradient(loss: Loss, params: Any, tokens_BT: jax.Array, parts: int) -> tuple[jax.Array, Any]:
    """`loss` of the batch and its gradient: the mean over parts, each weighted by its share of the targets."""
    if parts == 1:
        return jax.value_and_grad(loss)(params, tokens_BT)

    def add(so_far: Any, part_BT: jax.Array) -> tuple[Any, None]:
        found = jax.value_and_grad(loss)(params, part_BT)
        return jax.tree.map(lambda total, one: total + one / parts, so_far, found), None

    batch, length = tokens_BT.shape
    # Every `parts`-th sequence: each device takes its share of a part from the sequences that it holds.
    cut = tokens_BT.reshape(batch // parts, parts, length).swapaxes(0, 1)
    total: tuple[jax.Array, Any]
    total, _ = jax.lax.scan(add, (jnp.float32(0), jax.tree.map(jnp.zeros_like, params)), cut)
    return total
