"""A block whose feed-forward also looks at the token before: SwiGLU whose gate is fed by it.

Dimensions: B sequences, T tokens, W width, F hidden size of the feed-forward.
"""

import jax
import jax.numpy as jnp
from flax import nnx

from scaling.config import ModelConfig
from scaling.models import Attention, Declaration, Forward, RMSNorm, declare, mark


class LookingBack(nnx.Module):
    """down(silu(gate(x one token ago)) x up(x)): as many parameters and FLOPs as SwiGLU (token shift: Peng 2023)."""

    def __init__(self, config: ModelConfig, rngs: nnx.Rngs):
        width, hidden = config.width, config.ffn_width
        widen = Declaration("hidden", width, hidden, ("width", "ffn"))
        self.up = declare(rngs.params, (width, hidden), widen)
        self.gate = declare(rngs.params, (width, hidden), widen)
        self.down = declare(rngs.params, (hidden, width), Declaration("hidden", hidden, width, ("ffn", "width")))

    def __call__(self, x_BTW: jax.Array) -> jax.Array:
        before_BTW = jnp.pad(x_BTW, ((0, 0), (1, 0), (0, 0)))[:, :-1]
        up_BTF = mark(x_BTW @ self.up[...], "batch", None, "ffn")
        return (jax.nn.silu(before_BTW @ self.gate[...]) * up_BTF) @ self.down[...]


class Block(nnx.Module):
    """The laboratory's block with that feed-forward."""

    def __init__(self, config: ModelConfig, rngs: nnx.Rngs):
        self.attention_norm = RMSNorm(config.width, "width", rngs)
        self.attention = Attention(config, rngs)
        self.feed_forward_norm = RMSNorm(config.width, "width", rngs)
        self.feed_forward = LookingBack(config, rngs)

    def __call__(self, x_BTW: jax.Array, forward: Forward) -> jax.Array:
        x_BTW = x_BTW + forward.residual * self.attention(self.attention_norm(x_BTW), forward.attention)
        x_BTW = x_BTW + forward.residual * self.feed_forward(self.feed_forward_norm(x_BTW))
        return mark(x_BTW, "batch", None, None)
