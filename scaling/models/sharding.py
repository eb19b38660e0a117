"""Where a model says how its activations lie: by logical axes, which whoever traces it maps to a mesh.

Outside `laid_out` nothing is constrained, and a model runs on one device as it is.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import jax

Axes = tuple[str | None, ...]
Constrain = Callable[[jax.Array, Axes], jax.Array]
_CONSTRAIN: ContextVar[Constrain | None] = ContextVar("constrain", default=None)


@contextmanager
def laid_out(constrain: Constrain | None) -> Iterator[None]:
    """While a model is traced in here, `constrain` is applied to each of its marked activations."""
    token = _CONSTRAIN.set(constrain)
    try:
        yield
    finally:
        _CONSTRAIN.reset(token)


def mark(x: jax.Array, *axes: str | None) -> jax.Array:
    """`x` with the logical name of each of its dimensions; None is never split."""
    constrain = _CONSTRAIN.get()
    return x if constrain is None else constrain(x, axes)


def split_over_devices() -> bool:
    """Whether what is traced now is laid out over a mesh."""
    return _CONSTRAIN.get() is not None
