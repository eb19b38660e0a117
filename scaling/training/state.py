"""What a training step reads and writes: a plain pytree, so that nothing is flattened anew at the jit boundary."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from scaling.config import ModelConfig, Optimizer
from scaling.models import Declaration, Model, Multipliers, computing, declarations, multipliers, new_model
from scaling.training.optimizers import Settings, optimizer

MATRICES = ("hidden", "head")
"""Roles of what is multiplied with, and not looked up."""
Params = dict[str, jax.Array]
"""Dotted path of each parameter -> its array."""


class TrainState(NamedTuple):
    """Everything that a checkpoint holds."""

    params: Params
    optimizer: optax.OptState
    step: jax.Array
    """int32: optimiser steps taken."""
    tail_loss: jax.Array
    """float32: sum of the training losses of the last steps before a horizon."""


class Architecture(NamedTuple):
    """A model without its numbers: how to make them from a seed, and how to call it with them."""

    initialise: Callable[..., Params]
    """(seed, multipliers = the model's own) -> initial parameters."""
    build: Callable[[Params], Model]
    """The module over given parameters; both ways inside a traced function."""
    declared: dict[str, Declaration]
    multipliers: Multipliers
    """The model's own, by its parameterisation."""


def architecture(config: ModelConfig) -> Architecture:
    """The architecture of `config`; traces the model's shapes once and allocates nothing."""
    abstract = nnx.eval_shape(lambda: new_model(config, jax.random.key(0)))
    structure, state = nnx.split(abstract, nnx.Param)
    declared = {_dotted(path): declaration for path, declaration in declarations(abstract).items()}
    names = [_dotted(path) for path, _ in nnx.to_flat_state(state)]
    treedef = jax.tree.structure(state)

    own = multipliers(config)

    def initialise(seed: jax.Array, scales: Multipliers = own) -> Params:
        leaves = jax.tree.leaves(nnx.state(new_model(config, jax.random.key(seed)), nnx.Param))
        drawn = dict(zip(names, leaves, strict=True))
        return {name: value * scales.initial_std[declared[name].role] for name, value in drawn.items()}

    def build(params: Params) -> Model:
        """Matrices in the type that products are computed in; tables and gains as they are."""
        dtype = computing().dtype
        used = [params[name].astype(dtype if declared[name].role in MATRICES else jnp.float32) for name in names]
        model: Model = nnx.merge(structure, jax.tree.unflatten(treedef, used))
        return model

    return Architecture(initialise, build, declared, own)


def initial_state(
    model: Architecture,
    kind: Optimizer,
    seed: jax.Array,
    beta1: jax.Array | float,
    scales: Multipliers | None = None,
) -> TrainState:
    """The state before the first step."""
    scales = model.multipliers if scales is None else scales
    params = model.initialise(seed, scales)
    settings = Settings(beta1, 0.99, 1e-8, 0.95, 0.0, 0.0, 1.0)
    moments = optimizer(kind, settings, model.declared, scales, 0.0).init(params)
    return TrainState(params, moments, jnp.int32(0), jnp.float32(0))


def _dotted(path: tuple[object, ...]) -> str:
    return ".".join(str(part) for part in path)
