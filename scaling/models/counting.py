"""N and C of a model with a part of the user's own: its declarations, and the matrix products of its traced program.

A model of the laboratory's own blocks is counted by formula (`accounting`), which is held to the same program by tests.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from scaling.accounting import Counts, counts, counts_with_blocks
from scaling.config import ModelConfig
from scaling.models.computing import Computing, computed_by
from scaling.models.parameterization import Forward, declarations
from scaling.models.transformer import new_block, new_model, next_token_losses

INSIDE = ("hidden", "gain", "final_gain")
"""Roles that N without embeddings counts."""
PLAIN = Computing(plain=True)
UNCOUNTABLE = ("while", "pallas_call")
"""Primitives that do not say how often what is in them runs."""


def counted(model: ModelConfig) -> Counts:
    """N and training FLOPs for each token of `model`, whatever its block.

    Traces on abstract shapes and allocates nothing. What of the FLOPs grows with the sequence length is taken for
    attention over its full square, of which the causal count takes the (T + 1) / 2 keys that a token sees on average.
    """
    if model.model is not None:
        return _traced(model, _whole)
    if model.block is not None:
        return counts_with_blocks(model, _traced(model, _one_block))
    return counts(model)


Trace = Callable[[ModelConfig], tuple[nnx.Module, Any]]
"""Model -> (what was built of it, the jaxpr of its forward and backward pass over one sequence)."""


def _traced(model: ModelConfig, trace: Trace) -> Counts:
    with computed_by(PLAIN):
        return _count(model, trace)


def _count(model: ModelConfig, trace: Trace) -> Counts:
    length = model.sequence_length
    built, program = trace(model)
    _, longer = trace(model.model_copy(update={"sequence_length": 2 * length}))
    flops = matrix_product_flops(program) / length
    square = matrix_product_flops(longer) / (2 * length) - flops
    declared = declarations(built)
    state = nnx.state(built, nnx.Param)
    paths = [path for path, _ in nnx.to_flat_state(state)]
    sizes = {path: leaf.size for path, leaf in zip(paths, jax.tree.leaves(state), strict=True)}
    return Counts(
        params=sum(sizes.values()),
        params_non_embedding=sum(size for path, size in sizes.items() if declared[path].role in INSIDE),
        flops_per_token_exact=round(flops),
        flops_per_token_causal=round(flops - square * (length - 1) / (2 * length)),
    )


def _one_block(model: ModelConfig) -> tuple[nnx.Module, Any]:
    built = nnx.eval_shape(lambda: new_block(model, nnx.Rngs(params=0)))
    structure, state = nnx.split(built, nnx.Param)

    def total(state: Any, x_BTW: jax.Array) -> jax.Array:
        return jnp.sum(nnx.merge(structure, state)(x_BTW, Forward()))

    x_BTW = jax.ShapeDtypeStruct((1, model.sequence_length, model.width), jnp.float32)
    return built, jax.make_jaxpr(jax.grad(total, argnums=(0, 1)))(state, x_BTW).jaxpr


def _whole(model: ModelConfig) -> tuple[nnx.Module, Any]:
    built = nnx.eval_shape(lambda: new_model(model, jax.random.key(0)))
    structure, state = nnx.split(built, nnx.Param)

    def loss(state: Any, tokens_BT: jax.Array) -> jax.Array:
        return next_token_losses(nnx.merge(structure, state), tokens_BT, Forward()).mean()

    tokens_BT = jax.ShapeDtypeStruct((1, model.sequence_length + 1), jnp.int32)
    return built, jax.make_jaxpr(jax.grad(loss))(state, tokens_BT).jaxpr


def matrix_product_flops(jaxpr: Any) -> int:
    """FLOPs of every matrix product and convolution in `jaxpr`: a scan's times its length, the largest of branches.

    Raises:
      ValueError: one lies where the program does not say how often it runs.
    """
    total = 0
    for equation in jaxpr.eqns:
        name, parameters = equation.primitive.name, equation.params
        if name == "dot_general":
            (contracted, _), _ = parameters["dimension_numbers"]
            left, out = equation.invars[0].aval.shape, equation.outvars[0].aval.shape
            total += 2 * math.prod(out) * math.prod(left[axis] for axis in contracted)
        elif name == "conv_general_dilated":
            kernel, out = equation.invars[1].aval.shape, equation.outvars[0].aval.shape
            outputs = kernel[parameters["dimension_numbers"].rhs_spec[0]]
            total += 2 * math.prod(out) * math.prod(kernel) // outputs
        inner = [matrix_product_flops(one) for one in _inner(parameters.values())]
        if name in UNCOUNTABLE and any(inner):
            raise ValueError(
                f"has matrix products inside {name}, which does not say how often they run; use lax.scan or lax.map"
            )
        times = parameters["length"] if name == "scan" else 1
        total += times * (max(inner) if name == "cond" else sum(inner))
    return total


def _inner(values: Iterable[Any]) -> Iterator[Any]:
    for value in values:
        if hasattr(value, "jaxpr"):
            yield value.jaxpr
        elif hasattr(value, "eqns"):
            yield value
        elif isinstance(value, (tuple, list)):
            yield from _inner(value)
