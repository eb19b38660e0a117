"""How the numbers of a model are computed, for whoever traces it: it changes results by rounding alone."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental.layout import Layout, with_layout_constraint

from scaling.config.compute import Attention, Precision, Remat


@dataclass(frozen=True)
class Computing:
    """What a model is computed with."""

    platform: str = "cpu"
    """cpu, gpu or tpu."""
    precision: Precision = "float32"
    """Of matrix products and activations."""
    attention: Attention = "auto"
    remat: Remat = "none"
    plain: bool = False
    """No kernel, no block, nothing twice: every matrix product of the definition once, for counting them."""

    @property
    def dtype(self) -> Any:
        return jnp.bfloat16 if self.precision == "bfloat16" else jnp.float32


_COMPUTING: ContextVar[Computing] = ContextVar("computing", default=Computing())  # noqa: B039 - it is frozen


@contextmanager
def computed_by(computing: Computing) -> Iterator[None]:
    """While a model is traced in here, it is computed so."""
    token = _COMPUTING.set(computing)
    try:
        yield
    finally:
        _COMPUTING.reset(token)


def computing() -> Computing:
    """How what is traced now is computed."""
    return _COMPUTING.get()


def row_major(x: jax.Array) -> jax.Array:
    """`x`, which a GPU then keeps in the order of its dimensions, as it does its gradient.

    XLA would rather sum the gradient of positions over neighbouring numbers, and for that keep the whole residual
    stream with sequences last: it is then transposed for the products of each layer.
    """
    if computing().platform != "gpu":
        return x
    return with_layout_constraint(x, Layout(major_to_minor=tuple(range(x.ndim))))


def rematerialised(block: Callable[..., jax.Array], scanned: bool = False) -> Callable[..., jax.Array]:
    """`block`, a pure function of arrays, with what its backward pass computes again (Chen 2016)."""
    remat = computing().remat
    if remat == "none":
        return block
    policy = None if remat == "full" else jax.checkpoint_policies.dots_with_no_batch_dims_saveable
    # In a scan there is nothing that the second computation could be merged with.
    return jax.checkpoint(block, policy=policy, prevent_cse=not scanned)
