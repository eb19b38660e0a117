"""Causal attention: every kernel against the definition, in float64 and without any of its code."""

import logging

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scaling.models import kernels
from scaling.models.causal import by_blocks, causal_attention, pair_scores
from scaling.models.computing import Computing, computed_by


def drawn(tokens: int, heads: int = 4, kv_heads: int = 2, size: int = 8) -> tuple[jax.Array, jax.Array, jax.Array]:
    q, k, v = jax.random.split(jax.random.key(tokens), 3)
    keys = (2, kv_heads, tokens, size)
    return jax.random.normal(q, (2, heads, tokens, size)), jax.random.normal(k, keys), jax.random.normal(v, keys)


def defined(q: jax.Array, k: jax.Array, v: jax.Array) -> np.ndarray:
    """Token by token."""
    q, k, v = (np.asarray(x, np.float64) for x in (q, k, v))
    mixed = np.zeros_like(q)
    groups = q.shape[1] // k.shape[1]
    for batch, head, token in np.ndindex(*q.shape[:3]):
        seen = slice(0, token + 1)
        weights = np.exp(k[batch, head // groups, seen] @ q[batch, head, token])
        mixed[batch, head, token] = weights @ v[batch, head // groups, seen] / weights.sum()
    return mixed


@pytest.mark.parametrize(("tokens", "block"), [(24, 8), (21, 8), (5, None), (24, 24)])
def test_blocks_are_the_definition(tokens: int, block: int | None) -> None:
    given = drawn(tokens)
    np.testing.assert_allclose(by_blocks(*given, block=block), defined(*given), atol=1e-6)


def test_blocks_have_the_gradient_of_the_whole_square() -> None:
    given = drawn(24)
    ways = [
        jax.grad(lambda *x, block=block: jnp.sum(jnp.sin(by_blocks(*x, block=block))), argnums=(0, 1, 2))(*given)
        for block in (8, 24)
    ]
    for blocks, square in zip(*ways, strict=True):
        np.testing.assert_allclose(blocks, square, rtol=1e-6, atol=2e-6)


def test_pair_scores_are_products_of_every_query_with_its_heads_keys() -> None:
    q, k, _ = drawn(6)
    expected = np.einsum("bhtk,bhsk->bhts", q, np.repeat(k, 2, axis=1))
    np.testing.assert_allclose(pair_scores(q, k), expected, atol=1e-5)


@pytest.mark.full
def test_splash_interpreted_is_the_definition_and_has_the_gradient_of_blocks() -> None:
    given = drawn(256, heads=2, kv_heads=1, size=64)
    given = given[0] / 8, given[1], given[2]
    np.testing.assert_allclose(kernels.splash(*given, interpret=True), defined(*given), atol=1e-5)
    ways = [
        jax.grad(lambda *x, way=way: jnp.sum(jnp.sin(way(*x))), argnums=(0, 1, 2))(*given)
        for way in (lambda *x: kernels.splash(*x, interpret=True), by_blocks)
    ]
    for splash, blocks in zip(*ways, strict=True):
        np.testing.assert_allclose(splash, blocks, atol=1e-4)


def test_a_tpu_gets_splash_in_its_program_and_what_it_cannot_serve_is_said_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def lowered(tokens: int, size: int) -> str:
        def attend(*given: jax.Array) -> jax.Array:
            with computed_by(Computing(platform="tpu", precision="bfloat16")):
                return causal_attention(*given)

        shape = jax.ShapeDtypeStruct((1, 2, tokens, size), jnp.bfloat16)
        return jax.export.export(jax.jit(attend), platforms=("tpu",))(shape, shape, shape).mlir_module()

    assert "tpu_custom_call" in lowered(256, 64)
    kernels._say.cache_clear()
    with caplog.at_level(logging.WARNING):
        assert "tpu_custom_call" not in lowered(200, 64)
        lowered(200, 64)
        assert "tpu_custom_call" not in lowered(256, 24)
    assert [record.getMessage() for record in caplog.records] == [
        f"splash attention cannot serve: {reason}; attention by blocks is used, which is slower"
        for reason in ("sequences of 200 tokens are no multiple of 128", "heads of 24 are no multiple of 64")
    ]


def test_a_gpu_in_float32_is_told_why_it_has_no_cudnn(caplog: pytest.LogCaptureFixture) -> None:
    kernels._say.cache_clear()
    with caplog.at_level(logging.WARNING), computed_by(Computing(platform="gpu")):
        np.testing.assert_allclose(causal_attention(*drawn(5)), defined(*drawn(5)), atol=1e-6)
    assert "engine.compute.precision is float32" in caplog.text


def test_attention_by_blocks_on_request_asks_no_kernel() -> None:
    with computed_by(Computing(platform="tpu", attention="blocks")):
        np.testing.assert_allclose(causal_attention(*drawn(5)), defined(*drawn(5)), atol=1e-6)
