"""The decoder-only transformer, and its loss.

Dimensions: B sequences, T tokens, W width, V vocabulary.
"""

from functools import partial
from typing import Any, Protocol

import jax
import jax.numpy as jnp
from flax import nnx

from scaling.config import ModelConfig, loaded
from scaling.models.attention import Attention
from scaling.models.computing import computing, rematerialised, row_major
from scaling.models.layers import FeedForward, RMSNorm
from scaling.models.loss import Head, cross_entropy, losses_in_chunks, summed_in_chunks
from scaling.models.parameterization import Declaration, Forward, declare, multipliers
from scaling.models.sharding import mark


class Block(nnx.Module):
    """x + residual attention(norm(x)), then x + residual feed_forward(norm(x)) (pre-norm, Xiong 2020)."""

    def __init__(self, config: ModelConfig, rngs: nnx.Rngs):
        self.attention_norm = RMSNorm(config.width, "width", rngs)
        self.attention = Attention(config, rngs)
        self.feed_forward_norm = RMSNorm(config.width, "width", rngs)
        self.feed_forward = FeedForward(config, rngs)

    def __call__(self, x_BTW: jax.Array, forward: Forward) -> jax.Array:
        x_BTW = x_BTW + forward.residual * self.attention(self.attention_norm(x_BTW), forward.attention)
        x_BTW = x_BTW + forward.residual * self.feed_forward(self.feed_forward_norm(x_BTW))
        return mark(x_BTW, "batch", None, None)


def new_block(config: ModelConfig, rngs: nnx.Rngs) -> Any:
    """A block of `config`: the laboratory's, or the user's own."""
    make = Block if config.block is None else loaded(config.block)
    return make(config, rngs)


class Model(Protocol):
    """Token ids int[B, T] -> logits float32[B, T, V]."""

    def __call__(self, tokens_BT: jax.Array, forward: Forward | None = None) -> jax.Array: ...


def new_model(config: ModelConfig, key: jax.Array) -> Any:
    """The model of `config`: a Transformer, or the user's own."""
    make = Transformer if config.model is None else loaded(config.model)
    return make(config, key)


class Transformer(nnx.Module):
    """Token ids int[B, T] -> logits float32[B, T, V].

    Each layer draws its weights from its own key, so scanned and unrolled models of one seed are the same model.
    """

    def __init__(self, config: ModelConfig, key: jax.Array):
        embed_key, layers_key, head_key = jax.random.split(key, 3)
        rngs = nnx.Rngs(params=embed_key)
        vocabulary, width = config.vocabulary, config.width
        self.config = config
        self.embedding = declare(
            rngs.params,
            (vocabulary, width),
            Declaration("embedding", vocabulary, width, ("vocabulary", "width")),
        )
        place = Declaration("position", config.sequence_length, width, ("sequence", "width"))
        learned = config.positions == "learned"
        self.position = declare(rngs.params, (config.sequence_length, width), place) if learned else None
        self.blocks = _blocks(config, layers_key)
        self.norm = RMSNorm(width, "width", rngs, role="final_gain")
        score = Declaration("head", width, vocabulary, ("width", "vocabulary"))
        self.head = None if config.tied_head else declare(lambda: head_key, (width, vocabulary), score)

    def __call__(self, tokens_BT: jax.Array, forward: Forward | None = None) -> jax.Array:
        forward = multipliers(self.config).forward if forward is None else forward
        return self.scorer(forward).logits(self.features(tokens_BT, forward))

    def features(self, tokens_BT: jax.Array, forward: Forward) -> jax.Array:
        """What the head scores: [B, T, W]."""
        dtype = computing().dtype
        forward = forward._replace(
            residual=jnp.asarray(forward.residual, dtype), attention=jnp.asarray(forward.attention, dtype)
        )
        x_BTW = mark(self._table()[tokens_BT], "batch", None, None)
        if self.position is not None:
            x_BTW = x_BTW + self.position[...][: tokens_BT.shape[1]]
        x_BTW = row_major(x_BTW.astype(dtype))
        if isinstance(self.blocks, nnx.List):
            for block in self.blocks:
                structure, layer = nnx.split(block)
                x_BTW = rematerialised(partial(_called, structure))(layer, x_BTW, forward)
        else:
            structure, layers = nnx.split(self.blocks)
            one = rematerialised(partial(_called, structure), scanned=True)
            x_BTW, _ = jax.lax.scan(lambda x, layer: (one(layer, x, forward), None), x_BTW, layers)
        return self.norm(x_BTW)

    def scorer(self, forward: Forward) -> Head:
        """What scores the features."""
        return Head(self._table() if self.head is None else self.head[...].T, forward.output)

    def _table(self) -> jax.Array:
        """Gathered before it is looked up: a lookup in a table whose rows are split would have to be moved whole."""
        return mark(self.embedding[...], "vocabulary", None)


def next_token_losses(model: Model, tokens_BT: jax.Array, forward: Forward | None = None) -> jax.Array:
    """Cross-entropy in nats of each next token: int[B, T + 1] -> float32[B, T]."""
    inputs_BT, targets_BT = tokens_BT[:, :-1], tokens_BT[:, 1:]
    if not isinstance(model, Transformer):
        return cross_entropy(model(inputs_BT, forward), targets_BT)
    forward = multipliers(model.config).forward if forward is None else forward
    return losses_in_chunks(model.scorer(forward), model.features(inputs_BT, forward), targets_BT)


def next_token_loss(model: Model, tokens_BT: jax.Array, forward: Forward | None = None) -> jax.Array:
    """Mean cross-entropy in nats of the next token of int[B, T + 1], to be differentiated."""
    inputs_BT, targets_BT = tokens_BT[:, :-1], tokens_BT[:, 1:]
    if not isinstance(model, Transformer):
        return cross_entropy(model(inputs_BT, forward), targets_BT).mean()
    forward = multipliers(model.config).forward if forward is None else forward
    total = summed_in_chunks(model.scorer(forward), model.features(inputs_BT, forward), targets_BT)
    return total / targets_BT.size


def _called(structure: Any, layer: Any, x_BTW: jax.Array, forward: Forward) -> jax.Array:
    """One block. The stream keeps its type, whatever a block of the user's own makes of it."""
    found: jax.Array = nnx.merge(structure, layer)(x_BTW, forward)
    return found.astype(x_BTW.dtype)


def _blocks(config: ModelConfig, key: jax.Array) -> Any:
    """The blocks of all layers: a list, or one whose parameters have a leading layer dimension, for `lax.scan`.

    One piece of code draws all layers, so that compiling takes no longer for more of them. On a CPU vmap compiles a
    second sooner than a loop; on an H200 it had not compiled 12 layers after 90 s, where the loop takes 6.
    """

    def drawn(layer: jax.Array) -> Any:
        return nnx.state(new_block(config, nnx.Rngs(params=jax.random.fold_in(key, layer))))

    structure, _ = nnx.split(nnx.eval_shape(lambda: new_block(config, nnx.Rngs(params=0))))
    numbers = jnp.arange(config.layers)
    states = jax.vmap(drawn)(numbers) if computing().platform == "cpu" else jax.lax.map(drawn, numbers)
    if config.scanned:
        return nnx.merge(structure, states)
    leaves, tree = jax.tree.flatten(states)
    layers = [jax.tree.unflatten(tree, [leaf[layer] for leaf in leaves]) for layer in range(config.layers)]
    return nnx.List(nnx.merge(structure, layer) for layer in layers)
