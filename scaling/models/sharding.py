"""Where a model says how its activations lie: by logical axes, which whoever traces it maps to a mesh.

Outside `laid_out` nothing is constrained, and a model runs on one device as it is.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol

import jax

Axes = tuple[str | None, ...]
Function = Callable[..., jax.Array]


class Layout(Protocol):
    """A mesh, and how logical axes lie on it."""

    def constrain(self, x: jax.Array, axes: Axes) -> jax.Array:
        """`x`, split so."""

    def on_each_device(self, function: Function, given: Sequence[Axes], found: Axes) -> Function:
        """`function`, called on each device with its own part of arrays that are split so."""


_LAYOUT: ContextVar[Layout | None] = ContextVar("layout", default=None)


@contextmanager
def laid_out(layout: Layout | None) -> Iterator[None]:
    """While a model is traced in here, each of its marked activations is placed by `layout`."""
    token = _LAYOUT.set(layout)
    try:
        yield
    finally:
        _LAYOUT.reset(token)


def mark(x: jax.Array, *axes: str | None) -> jax.Array:
    """`x` with the logical name of each of its dimensions; None is never split."""
    layout = _LAYOUT.get()
    return x if layout is None else layout.constrain(x, axes)


def on_each_device(function: Function, given: Sequence[Axes], found: Axes) -> Function:
    """`function` of arrays with these logical axes, by parts where they are split, as a kernel has to be."""
    layout = _LAYOUT.get()
    return function if layout is None else layout.on_each_device(function, given, found)


def split_over_devices() -> bool:
    """Whether what is traced now is laid out over a mesh."""
    return _LAYOUT.get() is not None
