"""Loss and gradient of a batch, of parts of it one after another where it would not fit at once."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

Losses = Callable[[Any, jax.Array], jax.Array]
"""(params, int32[B, T + 1]) -> float32[B, T] losses of each target."""


def parts_of(sequences: int, length: int, shards: int, most_tokens: int | None) -> int:
    """The fewest equal parts of a batch with no more than `most_tokens` tokens on each of `shards` devices.

    One sequence a device is the least.
    """
    each = sequences // shards
    fitting = each if most_tokens is None else max(1, most_tokens // length)
    return next(parts for parts in range(1, each + 1) if each % parts == 0 and each // parts <= fitting)


def mean_and_gradient(losses: Losses, params: Any, tokens_BT: jax.Array, parts: int) -> tuple[jax.Array, Any]:
    """Mean of `losses` over all targets of the batch and its gradient, each part weighted by its targets."""
    if parts == 1:
        return jax.value_and_grad(lambda params: losses(params, tokens_BT).mean())(params)

    def add(so_far: Any, part_BT: jax.Array) -> tuple[Any, None]:
        found = jax.value_and_grad(lambda params: losses(params, part_BT).sum())(params)
        return jax.tree.map(jnp.add, so_far, found), None

    batch, length = tokens_BT.shape
    # Every `parts`-th sequence: each device takes its share of a part from the sequences that it holds.
    cut = tokens_BT.reshape(batch // parts, parts, length).swapaxes(0, 1)
    nothing = jnp.float32(0), jax.tree.map(jnp.zeros_like, params)
    total, _ = jax.lax.scan(add, nothing, cut)
    targets = batch * (length - 1)
    mean: tuple[jax.Array, Any] = jax.tree.map(lambda one: one / targets, total)
    return mean
