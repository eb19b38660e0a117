"""The loss in chunks against the whole of the logits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scaling.models import loss as module
from scaling.models.computing import Computing, computed_by
from scaling.models.loss import Head, chunks_of, cross_entropy, losses_in_chunks, summed_in_chunks

X = jax.random.normal(jax.random.key(0), (3, 12, 8))
MATRIX = jax.random.normal(jax.random.key(1), (50, 8))
TARGETS = jax.random.randint(jax.random.key(2), (3, 12), 0, 50)


def expected(x: jax.Array, matrix: jax.Array) -> jax.Array:
    logs = jax.nn.log_softmax(0.5 * (x @ matrix.T))
    return -jnp.sum(logs * jax.nn.one_hot(TARGETS, 50), axis=-1)


@pytest.mark.parametrize(("most", "chunks"), [(10_000, 1), (3 * 50 * 4, 3), (3 * 50 * 5, 3), (1, 12)])
def test_chunks_have_the_losses_and_the_gradient_of_the_whole(
    most: int, chunks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(module.LOGITS, "cpu", most)
    assert chunks_of(TARGETS, 50) == chunks
    head = Head(MATRIX, 0.5)
    np.testing.assert_allclose(losses_in_chunks(head, X, TARGETS), expected(X, MATRIX), rtol=1e-5)

    def mean(x: jax.Array, matrix: jax.Array) -> jax.Array:
        return summed_in_chunks(Head(matrix, 0.5), x, TARGETS) / TARGETS.size

    value, gradient = jax.value_and_grad(mean, argnums=(0, 1))(X, MATRIX)
    whole, slope = jax.value_and_grad(lambda x, matrix: expected(x, matrix).mean(), argnums=(0, 1))(X, MATRIX)
    np.testing.assert_allclose(value, whole, rtol=1e-6)
    for found, wanted in zip(gradient, slope, strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-7)


def test_what_is_counted_is_never_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(module.LOGITS, "cpu", 1)
    with computed_by(Computing(plain=True)):
        assert chunks_of(TARGETS, 50) == 1


def test_logits_are_rounded_where_they_are_trained_on_and_nowhere_else() -> None:
    head, x = Head(MATRIX, 0.5), X.astype(jnp.bfloat16)
    exact = x.astype(jnp.float32) @ MATRIX.astype(jnp.bfloat16).astype(jnp.float32).T
    rounded = exact.astype(jnp.bfloat16).astype(jnp.float32)
    losses = [
        -jnp.take_along_axis(jax.nn.log_softmax(0.5 * y), TARGETS[..., None], -1)[..., 0] for y in (exact, rounded)
    ]
    np.testing.assert_allclose(head.losses(x, TARGETS), losses[0], rtol=1e-6)
    np.testing.assert_allclose(head.summed(x, TARGETS), losses[1].sum(), rtol=1e-6)
    assert abs(float(losses[0].sum() - losses[1].sum())) > 1e-5 * float(losses[0].sum())


def test_the_gradient_of_the_loss_scatters_nothing() -> None:
    logits = jnp.zeros((3, 12, 50))
    jaxpr = jax.make_jaxpr(jax.grad(lambda y: cross_entropy(y, TARGETS).sum()))(logits)
    assert "scatter" not in str(jaxpr)
