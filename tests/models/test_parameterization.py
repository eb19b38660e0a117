"""Each parameter's own declaration, and what follows from it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scaling.config import ModelConfig
from scaling.training.state import architecture

MODEL = ModelConfig(
    layers=2, width=128, heads=4, kv_heads=2, ffn_width=256, vocabulary=512, sequence_length=64, positions="learned"
)


def test_every_parameter_is_declared_with_its_own_shape() -> None:
    built = architecture(MODEL)
    shapes = jax.eval_shape(built.initialise, 0)
    assert shapes.keys() == built.declared.keys()
    for name, declaration in built.declared.items():
        assert len(declaration.axes) == len(shapes[name].shape), name
        if declaration.role not in ("gain", "final_gain"):
            assert shapes[name].shape == (declaration.fan_in, declaration.fan_out), name


@pytest.mark.parametrize("layer_loop", ["scan", "unroll"])
def test_initial_scale_is_the_declared_one(layer_loop: str) -> None:
    built = architecture(MODEL.model_copy(update={"layer_loop": layer_loop}))
    weights = jax.jit(built.initialise)(jnp.int32(0))
    for name, declaration in built.declared.items():
        if declaration.role in ("gain", "final_gain"):
            np.testing.assert_array_equal(weights[name], 1.0)
        else:
            assert float(weights[name].std()) == pytest.approx(declaration.standard_std, rel=0.05), name


def test_matrices_decay_and_nothing_else_does() -> None:
    decays = {name for name, declaration in architecture(MODEL).declared.items() if declaration.decays}
    assert "head" in decays
    assert "blocks.1.feed_forward.down" in decays
    assert not decays & {"embedding", "position", "norm.gain", "blocks.0.attention.query_norm.gain"}


def test_seeds_and_layers_draw_different_weights() -> None:
    built = architecture(MODEL)
    one, two = (built.initialise(jnp.int32(seed)) for seed in (0, 1))
    assert not np.allclose(one["head"], two["head"])
    assert not np.allclose(one["blocks.0.attention.query"], one["blocks.1.attention.query"])
    assert not np.allclose(one["blocks.0.attention.key"], one["blocks.0.attention.value"])
