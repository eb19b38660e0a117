"""RMSNorm, rotary positions and the feed-forward.

Dimensions: B sequences, T tokens, W width, F hidden size of the feed-forward, H heads, K size of a head.
"""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import accumulate
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from scaling.config import ModelConfig
from scaling.models.computing import computing
from scaling.models.parameterization import Declaration, Role, declare
from scaling.models.sharding import mark, split_over_devices

NORM_EPSILON = 1e-6
ROTARY_BASE = 10_000.0


class RMSNorm(nnx.Module):
    """x / sqrt(mean(x^2) + 1e-6) x gain, over the last dimension (Zhang and Sennrich 2019)."""

    def __init__(self, size: int, axis: str, rngs: nnx.Rngs, role: Role = "gain"):
        self.gain = declare(rngs.params, (size,), Declaration(role, 1, size, (axis,)))

    def __call__(self, x: jax.Array) -> jax.Array:
        exact = x.astype(jnp.float32)
        scale = jax.lax.rsqrt(jnp.mean(jnp.square(exact), axis=-1, keepdims=True) + NORM_EPSILON)
        return (exact * scale * self.gain[...]).astype(x.dtype)


def linear(x: jax.Array, matrix: jax.Array, out: Any = None) -> jax.Array:
    """x[..., in] matrix[in, out] as one product of two matrices, rounded to the type `out`, or to x's.

    Its gradient by the matrix is then one too; with more dimensions XLA copies transposed operands on a CPU, and
    computes what is fused into them twice.
    """
    rows = x.reshape(-1, x.shape[-1])
    return _product(rows, matrix, jnp.dtype(out or x.dtype)).reshape(*x.shape[:-1], matrix.shape[-1])


def linears(x: jax.Array, matrices: Sequence[jax.Array]) -> list[jax.Array]:
    """x with each of `matrices`: as one product, unless their columns lie on several devices."""
    if split_over_devices():
        return [linear(x, matrix) for matrix in matrices]
    ends = list(accumulate(matrix.shape[1] for matrix in matrices))
    return jnp.split(linear(x, jnp.concatenate(matrices, axis=1)), ends[:-1], axis=-1)


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def _product(x: jax.Array, matrix: jax.Array, out: Any) -> jax.Array:
    return jax.lax.dot(x, matrix, preferred_element_type=out)


def _product_forward(x: jax.Array, matrix: jax.Array, out: Any) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    # Not by _product itself: rematerialisation looks for products, and would find a rule.
    return jax.lax.dot(x, matrix, preferred_element_type=out), (x, matrix)


def _product_backward(_: Any, kept: tuple[jax.Array, jax.Array], by_out: jax.Array) -> tuple[jax.Array, jax.Array]:
    """A CPU multiplies two transposed matrices a third faster where the narrower one is on the left."""
    x, matrix = kept
    by_out = by_out.astype(x.dtype)
    wide = matrix.shape[0] > matrix.shape[1] and computing().platform == "cpu"
    by_matrix = jax.lax.optimization_barrier(by_out.T @ x).T if wide else x.T @ by_out
    return by_out @ matrix.T, by_matrix


_product.defvjp(_product_forward, _product_backward)


def rotate(x_BHTK: jax.Array) -> jax.Array:
    """Rotary positions (Su 2021): the pair (x[i], x[i + K/2]) at token t turns by t x 10000^(-2i/K)."""
    tokens, head_width = x_BHTK.shape[-2:]
    half = head_width // 2
    frequency = ROTARY_BASE ** (-jnp.arange(half, dtype=jnp.float32) / half)
    angle_TK = jnp.arange(tokens, dtype=jnp.float32)[:, None] * frequency
    cos, sin = jnp.cos(angle_TK), jnp.sin(angle_TK)
    first, second = x_BHTK[..., :half], x_BHTK[..., half:]
    return jnp.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1).astype(x_BHTK.dtype)


def squared_relu(x: jax.Array) -> jax.Array:
    """max(x, 0)^2 (So 2021, Primer)."""
    return jnp.square(jax.nn.relu(x))


class FeedForward(nnx.Module):
    """down(activation(up(x))); with SwiGLU down(silu(gate(x)) x up(x)) (Shazeer 2020)."""

    def __init__(self, config: ModelConfig, rngs: nnx.Rngs):
        width, hidden = config.width, config.ffn_width
        widen = Declaration("hidden", width, hidden, ("width", "ffn"))
        self.up = declare(rngs.params, (width, hidden), widen)
        self.gate = declare(rngs.params, (width, hidden), widen) if config.feed_forward == "swiglu" else None
        self.down = declare(rngs.params, (hidden, width), Declaration("hidden", hidden, width, ("ffn", "width")))
        activations: dict[str, Callable[[jax.Array], jax.Array]] = {
            "swiglu": jax.nn.silu,
            "gelu": jax.nn.gelu,
            "relu2": squared_relu,
        }
        self.activation = activations[config.feed_forward]

    def __call__(self, x_BTW: jax.Array) -> jax.Array:
        matrices = [self.up[...]] if self.gate is None else [self.up[...], self.gate[...]]
        # What lies between the products is cheaper to compute again than to keep.
        hidden_BTF = jax.checkpoint(self._activated)(*map(_hidden, linears(x_BTW, matrices)))
        return linear(hidden_BTF, self.down[...])

    def _activated(self, up_BTF: jax.Array, gate_BTF: jax.Array | None = None) -> jax.Array:
        return self.activation(up_BTF) if gate_BTF is None else self.activation(gate_BTF) * up_BTF


def _hidden(x_BTF: jax.Array) -> jax.Array:
    return mark(x_BTF, "batch", None, "ffn")
