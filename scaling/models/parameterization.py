"""Parameters declare themselves once: role, fan-in, fan-out and logical axes.

Initial scale, weight decay and the optimiser's choices read the declaration; nothing matches on names.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import nnx

Role = Literal["embedding", "position", "hidden", "head", "gain"]
"""What a parameter does: look a token up, mark a place, mix features, score the vocabulary, or scale a norm."""


@dataclass(frozen=True)
class Declaration:
    """What the laboratory needs to know of one parameter."""

    role: Role
    fan_in: int
    fan_out: int
    axes: tuple[str, ...]
    """Logical name of each dimension, without the leading layer of a scanned stack."""

    @property
    def initial_std(self) -> float:
        """Standard deviation of the initial weights under the standard parameterisation.

        Matrices: 1/sqrt(fan_in) (LeCun 1998). Embeddings: 1/sqrt(fan_out), since every block begins with a norm
        and so sees them at unit scale, while a tied head keeps logits of order one.
        """
        match self.role:
            case "embedding" | "position":
                return 1 / math.sqrt(self.fan_out)
            case "hidden" | "head":
                return 1 / math.sqrt(self.fan_in)
            case "gain":
                return 0.0

    @property
    def decays(self) -> bool:
        """Whether weight decay applies: to matrices, not to gains nor embeddings."""
        return self.role in ("hidden", "head")


def declare(key: Callable[[], jax.Array], shape: tuple[int, ...], declaration: Declaration) -> nnx.Param[jax.Array]:
    """A float32 parameter of `shape` that carries its declaration: normal at its initial scale, a gain at one."""
    if declaration.role == "gain":
        value = jnp.ones(shape, jnp.float32)
    else:
        value = declaration.initial_std * jax.random.normal(key(), shape, jnp.float32)
    return nnx.Param(value, declaration=declaration)


def declarations(model: nnx.Module) -> dict[tuple[Any, ...], Declaration]:
    """Path of each parameter in `model` -> its declaration."""
    found = {}
    for path, variable in nnx.to_flat_state(nnx.state(model, nnx.Param)):
        found[path] = variable.get_metadata("declaration")
    return found
