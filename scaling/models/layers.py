"""RMSNorm, rotary positions and the feed-forward.

Dimensions: B sequences, T tokens, W width, F hidden size of the feed-forward, H heads, K size of a head.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx

from scaling.config import ModelConfig
from scaling.models.parameterization import Declaration, Role, declare
from scaling.models.sharding import mark

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


def linear(x: jax.Array, matrix: jax.Array) -> jax.Array:
    """x[..., in] matrix[in, out] as one product of two matrices.

    Its gradient by the matrix is then one too; with more dimensions XLA copies transposed operands on a CPU, and computes
    what is fused into them twice.
    """
    return (x.reshape(-1, x.shape[-1]) @ matrix).reshape(*x.shape[:-1], matrix.shape[-1])


def rotate(x_BHTK: jax.Array) -> jax.Array:
    """Rotary positions (Su 2021): the pair (x[i], x[i + K/2]) at token t turns by t x 10000^(-2i/K)."""
    tokens, head_width = x_BHTK.shape[-2:]
    half = head_width // 2
    frequency = ROTARY_BASE ** (-jnp.arange(half, dtype=jnp.float32) / half)
    angle_TK = jnp.arange(tokens, dtype=jnp.float32)[:, None] * frequency
    cos, sin = jnp.cos(angle_TK), jnp.sin(angle_TK)
    first, second = x_BHTK[..., :half], x_BHTK[..., half:]
    return jnp.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)


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
        hidden_BTF = mark(linear(x_BTW, self.up[...]), "batch", None, "ffn")
        if self.gate is None:
            hidden_BTF = self.activation(hidden_BTF)
        else:
            hidden_BTF = self.activation(linear(x_BTW, self.gate[...])) * hidden_BTF
        return linear(hidden_BTF, self.down[...])
