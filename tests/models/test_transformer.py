"""The transformer against its equations, written a second time in NumPy, and against what must not change it."""

import itertools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from scaling.config import ModelConfig
from scaling.models import Transformer, cross_entropy, next_token_losses
from scaling.models.computing import Computing, computed_by
from scaling.models.layers import linear, linears, rotate
from scaling.training.state import architecture

SMALL = {
    "layers": 2, "width": 16, "heads": 4, "kv_heads": 2, "ffn_width": 24, "vocabulary": 29, "sequence_length": 12,
}  # fmt: skip


def config(**changes: Any) -> ModelConfig:
    return ModelConfig(**(SMALL | changes))


def tokens(model: ModelConfig, sequences: int = 2) -> jax.Array:
    return jax.random.randint(jax.random.key(7), (sequences, model.sequence_length), 0, model.vocabulary)


def reference(model: ModelConfig, weights: dict[str, np.ndarray], ids: np.ndarray) -> np.ndarray:
    """Logits [T, V] of one sequence, head by head, in float64: the equations, not the program."""

    def norm(x: np.ndarray, gain: np.ndarray) -> np.ndarray:
        return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-6) * gain

    def turn(x: np.ndarray) -> np.ndarray:
        half = model.head_width // 2
        out = np.empty_like(x)
        for t, i in itertools.product(range(len(x)), range(half)):
            angle = t * 10_000.0 ** (-i / half)
            out[t, i] = x[t, i] * math.cos(angle) - x[t, i + half] * math.sin(angle)
            out[t, i + half] = x[t, i + half] * math.cos(angle) + x[t, i] * math.sin(angle)
        return out

    def activation(x: np.ndarray) -> np.ndarray:
        if model.feed_forward == "swiglu":
            return x / (1 + np.exp(-x))
        if model.feed_forward == "relu2":
            return np.maximum(x, 0) ** 2
        return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))

    w = {name: value.astype(np.float64) for name, value in weights.items()}
    x = w["embedding"][ids]
    if model.positions == "learned":
        x = x + w["position"][: len(ids)]
    K = model.head_width
    for layer in range(model.layers):
        at = f"blocks.{layer}."
        h = norm(x, w[at + "attention_norm.gain"])
        heads = []
        for head in range(model.heads):
            group = head // (model.heads // model.kv_heads)
            q = (h @ w[at + "attention.query"])[:, head * K : (head + 1) * K]
            k = (h @ w[at + "attention.key"])[:, group * K : (group + 1) * K]
            v = (h @ w[at + "attention.value"])[:, group * K : (group + 1) * K]
            if model.qk_norm:
                q, k = norm(q, w[at + "attention.query_norm.gain"]), norm(k, w[at + "attention.key_norm.gain"])
            if model.positions == "rotary":
                q, k = turn(q), turn(k)
            rows = []
            for t in range(len(ids)):
                score = np.exp(k[: t + 1] @ q[t] / math.sqrt(K))
                rows.append(score / score.sum() @ v[: t + 1])
            heads.append(np.array(rows))
        x = x + np.concatenate(heads, -1) @ w[at + "attention.out"]
        h = norm(x, w[at + "feed_forward_norm.gain"])
        up = h @ w[at + "feed_forward.up"]
        inside = activation(h @ w[at + "feed_forward.gate"]) * up if model.feed_forward == "swiglu" else activation(up)
        x = x + inside @ w[at + "feed_forward.down"]
    head = w["embedding"].T if model.tied_head else w["head"]
    return norm(x, w["norm.gain"]) @ head


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"feed_forward": "gelu", "positions": "learned", "tied_head": True, "kv_heads": 4},
        {"feed_forward": "relu2", "positions": "none", "qk_norm": False, "kv_heads": 1},
    ],
    ids=str,
)
def test_logits_equal_the_equations(changes: dict[str, Any]) -> None:
    model = config(**changes)
    built = architecture(model)
    weights = built.initialise(jnp.int32(3))
    noise = jax.random.normal(jax.random.key(1), (64,))
    weights = {name: value + 0.1 * noise[: value.shape[-1]] for name, value in weights.items()}
    ids = tokens(model)
    logits = built.build(weights)(ids)
    plain = {name: np.asarray(value) for name, value in weights.items()}
    for row in range(len(ids)):
        np.testing.assert_allclose(logits[row], reference(model, plain, np.asarray(ids[row])), atol=2e-4, rtol=1e-4)


def test_no_token_sees_the_future() -> None:
    model = Transformer(config(), jax.random.key(0))
    ids = tokens(config(), 1)
    before, after = model(ids), model(ids.at[0, 6].set((ids[0, 6] + 1) % 29))
    np.testing.assert_array_equal(before[0, :6], after[0, :6])
    assert np.abs(before[0, 6:] - after[0, 6:]).max(axis=-1).min() > 0


def test_scanned_and_unrolled_layers_are_one_model() -> None:
    key, ids = jax.random.key(5), tokens(config())
    scanned = Transformer(config(layers=3, layer_loop="scan"), key)(ids)
    unrolled = Transformer(config(layers=3, layer_loop="unroll"), key)(ids)
    np.testing.assert_allclose(scanned, unrolled, atol=1e-5)


def test_layers_are_scanned_above_twenty_four() -> None:
    assert [config(layers=layers).scanned for layers in (24, 25)] == [False, True]


def test_rotary_scores_depend_on_distance_alone() -> None:
    q, k = jax.random.normal(jax.random.key(0), (2, 8))
    tiled = rotate(jnp.broadcast_to(q, (1, 1, 20, 8))), rotate(jnp.broadcast_to(k, (1, 1, 20, 8)))
    scores = np.asarray(tiled[0][0, 0] @ tiled[1][0, 0].T)
    for distance in range(-5, 6):
        np.testing.assert_allclose(np.diagonal(scores, distance), scores.diagonal(distance)[0], atol=1e-5)
    assert np.ptp(scores[0]) > 0.1


def test_an_untrained_model_knows_about_nothing() -> None:
    model = config(width=64, heads=4, kv_heads=4, vocabulary=257, sequence_length=64)
    batch = jax.random.randint(jax.random.key(2), (8, 65), 0, 257)
    loss = float(next_token_losses(Transformer(model, jax.random.key(0)), batch).mean())
    assert math.log(257) <= loss < math.log(257) + 1


def test_cross_entropy_is_optaxs() -> None:
    logits = 3 * jax.random.normal(jax.random.key(0), (2, 5, 29))
    targets = jax.random.randint(jax.random.key(1), (2, 5), 0, 29)
    expected = optax.softmax_cross_entropy_with_integer_labels(logits, targets)
    np.testing.assert_allclose(cross_entropy(logits, targets), expected, rtol=1e-5)


@pytest.mark.parametrize(("ins", "outs"), [(5, 3), (3, 5)])
def test_products_have_the_gradients_of_plain_ones(ins: int, outs: int) -> None:
    x, one, other = (
        jax.random.normal(jax.random.key(number), shape)
        for number, shape in enumerate([(2, 4, ins), (ins, outs), (ins, 2)])
    )

    def here(x: jax.Array, one: jax.Array, other: jax.Array) -> jax.Array:
        first, second = linears(x, [one, other])
        return jnp.sum(jnp.sin(first)) + jnp.sum(jnp.cos(second)) + jnp.sum(jnp.sin(linear(x, one)))

    def plain(x: jax.Array, one: jax.Array, other: jax.Array) -> jax.Array:
        return 2 * jnp.sum(jnp.sin(x @ one)) + jnp.sum(jnp.cos(x @ other))

    for found, wanted in zip(*(jax.grad(way, argnums=(0, 1, 2))(x, one, other) for way in (here, plain)), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)


def test_a_gpu_draws_the_same_numbers_and_keeps_the_stream_in_order() -> None:
    """What is traced for one, on this CPU: layers drawn in a loop; the stream's layout, and its gradient's."""
    model = config(positions="learned", layers=3)
    here = architecture(model).initialise(0)
    with computed_by(Computing(platform="gpu", attention="blocks")):
        there = architecture(model).initialise(0)
        built, ids = architecture(model).build, tokens(model)
        traced = str(jax.make_jaxpr(jax.grad(lambda p: next_token_losses(built(p), ids).mean()))(here))
    for name, value in here.items():  # but for the last bit, which vectorising decides
        np.testing.assert_allclose(there[name], value, rtol=5e-7)
    assert traced.count("layout_constraint[") == 2
