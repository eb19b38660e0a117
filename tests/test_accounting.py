"""The counts against the built model's leaves, the traced program's matrix products, XLA, and published models."""

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from flax import nnx

from scaling.accounting import count_params, flops_per_token, params, size_and_cost, training_flops_per_token
from scaling.config import AccountingConfig, ModelConfig
from scaling.models import Transformer, next_token_losses
from scaling.models.counting import matrix_product_flops
from scaling.training.state import architecture


def config(**changes: Any) -> ModelConfig:
    base = {
        "layers": 2, "width": 32, "heads": 4, "kv_heads": 4, "ffn_width": 88, "vocabulary": 257, "sequence_length": 16,
    }  # fmt: skip
    return ModelConfig(**(base | changes))


CONFIGS = [
    config(feed_forward=feed_forward, positions=positions, tied_head=tied, kv_heads=kv_heads, qk_norm=qk_norm)
    for (feed_forward, positions, tied), (kv_heads, qk_norm) in itertools.product(
        [("swiglu", "rotary", False), ("gelu", "learned", True), ("relu2", "none", False), ("swiglu", "learned", True)],
        [(4, True), (1, False), (2, True)],
    )
] + [config(layers=7), config(layers=8, layer_loop="unroll"), config(layers=1, layer_loop="scan", heads=1, kv_heads=1)]


@pytest.mark.parametrize("model", CONFIGS, ids=str)
def test_params_are_the_leaves_of_the_built_model(model: ModelConfig) -> None:
    built = nnx.eval_shape(lambda: Transformer(model, jax.random.key(0)))
    leaves = jax.tree.leaves(nnx.state(built, nnx.Param))
    assert count_params(model).total == sum(leaf.size for leaf in leaves)


@pytest.mark.parametrize("model", CONFIGS, ids=str)
def test_non_embedding_params_are_the_blocks_and_the_last_norm(model: ModelConfig) -> None:
    declared = architecture(model).declared
    shapes = jax.eval_shape(architecture(model).initialise, 0)
    inside = [shapes[name].size for name, one in declared.items() if one.role in ("hidden", "gain", "final_gain")]
    assert count_params(model).non_embedding == sum(inside)


@pytest.mark.parametrize("model", CONFIGS, ids=str)
def test_exact_flops_are_the_matrix_products_of_the_traced_program(model: ModelConfig) -> None:
    sequences = 2
    built = architecture(model)
    shapes = jax.eval_shape(built.initialise, 0)
    tokens = jax.ShapeDtypeStruct((sequences, model.sequence_length + 1), jnp.int32)
    traced = jax.make_jaxpr(jax.grad(lambda given, batch: next_token_losses(built.build(given), batch).mean()))(
        shapes, tokens
    )
    counted = matrix_product_flops(traced.jaxpr)
    assert counted == flops_per_token(model).exact * sequences * model.sequence_length


def test_exact_flops_are_within_two_percent_of_xlas_own_count() -> None:
    model = config(width=128, heads=2, kv_heads=2, ffn_width=352, sequence_length=64, layer_loop="unroll")
    built = architecture(model)
    shapes = jax.eval_shape(built.initialise, 0)
    tokens = jax.ShapeDtypeStruct((2, 65), jnp.int32)
    compiled = (
        jax.jit(jax.grad(lambda given, batch: next_token_losses(built.build(given), batch).mean()))
        .lower(shapes, tokens)
        .compile()
    )
    counted = compiled.cost_analysis()["flops"]
    assert counted == pytest.approx(flops_per_token(model).exact * 2 * 64, rel=0.02)


def test_the_articles_70b_model_has_69_billion_params() -> None:
    llama = ModelConfig(
        layers=80, width=8192, heads=64, kv_heads=8, ffn_width=28672, vocabulary=32000, sequence_length=4096,
        qk_norm=False,
    )  # fmt: skip
    assert count_params(llama).total == 68_976_648_192


@pytest.mark.parametrize(
    ("name", "layers", "width", "heads", "billions"),
    [("GPT-3 125M", 12, 768, 12, 0.125), ("GPT-3 6.7B", 32, 4096, 32, 6.7), ("GPT-3 175B", 96, 12288, 96, 174.6)],
)
def test_gpt3_table_2_1(name: str, layers: int, width: int, heads: int, billions: float) -> None:
    model = ModelConfig(
        layers=layers, width=width, heads=heads, kv_heads=heads, ffn_width=4 * width, vocabulary=50257,
        sequence_length=2048, feed_forward="gelu", positions="learned", tied_head=True, qk_norm=False,
    )  # fmt: skip
    assert count_params(model).total / 1e9 == pytest.approx(billions, rel=0.01), name


def test_conventions_are_what_they_say() -> None:
    model = config(positions="learned")
    count, flops = count_params(model), flops_per_token(model)
    assert params(model, "with_embeddings") == count.total
    assert params(model, "without_embeddings") == count.total - 2 * 257 * 32 - 16 * 32
    assert training_flops_per_token(model, "6N") == 6 * count.total
    assert training_flops_per_token(model, "6N_non_embedding") == 6 * count.non_embedding
    assert size_and_cost(model, AccountingConfig()) == (count.total, flops.exact)
    attention = 2 * 3 * 2 * model.layers * model.width
    assert flops.exact - flops.causal == attention * (16 - 1) / 2
