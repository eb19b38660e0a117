"""Trajectories of one shape stacked along a leading axis, P of them, and stepped together by one program under vmap.

On an accelerator one small model leaves most of it idle; P of them take little more time than one. On a CPU they cost
half of the throughput, and run one after another instead. A member whose loss is not finite, or above its limit, is
frozen at the step before: its numbers no longer change, and its neighbours never see it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from scaling.config import ModelConfig, Optimizer
from scaling.training.mesh import constraining, state_shardings
from scaling.training.state import Architecture, TrainState, architecture, initial_state
from scaling.training.step import Hyper, train_step


@dataclass(frozen=True)
class Population:
    """The compiled functions of P stacked trajectories; each compiles at its first call."""

    initialise: Callable[..., TrainState]
    """(seeds int[P], beta1 float[P]) -> stacked state."""
    train: Callable[..., tuple[TrainState, jax.Array, jax.Array]]
    """(state, tokens [P, K, B, T + 1], count <= K, stacked Hyper, limit float[P], alive bool[P]) -> (state, losses
    float32[P, K], alive); the state is donated."""
    fork: Callable[[TrainState], TrainState]
    """A copy that survives donation of the original."""


def population(config: ModelConfig, kind: Optimizer = "adamw", mesh: Mesh | None = None) -> Population:
    """The stacked functions of `config`, on one device or with members over the mesh's axis `population`."""
    model = architecture(config)
    across = None if mesh is None else "population"

    def initialise(seeds: jax.Array, beta1: jax.Array) -> TrainState:
        return jax.vmap(lambda seed, own: initial_state(model, kind, seed, own))(seeds, beta1)

    def train(state: TrainState, tokens: jax.Array, count: jax.Array, hyper: Hyper, limit: Any, alive: Any) -> Any:
        def member(*own: Any) -> Any:
            return _member_steps(model, kind, count, *own)

        return jax.vmap(member, spmd_axis_name=across)(state, tokens, hyper, limit, alive)

    def fork(state: TrainState) -> TrainState:
        return jax.tree.map(jnp.copy, state)

    if mesh is None:
        return Population(jax.jit(initialise), jax.jit(train, donate_argnums=0), jax.jit(fork))
    abstract = jax.eval_shape(initialise, np.zeros(mesh.shape["population"], int), np.zeros(mesh.shape["population"]))
    placed = state_shardings(abstract, model.declared, mesh, stacked=True)
    members = NamedSharding(mesh, PartitionSpec("population"))
    tokens = NamedSharding(mesh, PartitionSpec("population", None, ("data", "fsdp")))
    return Population(
        initialise=jax.jit(initialise, out_shardings=placed),
        train=jax.jit(
            constraining(mesh, train),
            in_shardings=(placed, tokens, None, members, members, members),
            out_shardings=(placed, members, members),
            donate_argnums=0,
        ),
        fork=jax.jit(fork, in_shardings=(placed,), out_shardings=placed),
    )


def _member_steps(
    model: Architecture,
    kind: Optimizer,
    count: jax.Array,
    state: TrainState,
    batches_KBT: jax.Array,
    hyper: Hyper,
    limit: jax.Array,
    alive: jax.Array,
) -> tuple[TrainState, jax.Array, jax.Array]:
    """`count` optimiser steps of one member, none from the one on whose loss is above its limit or no number."""

    def body(index: jax.Array, carry: tuple[TrainState, jax.Array, jax.Array]) -> Any:
        state, losses, alive = carry
        tokens = jax.lax.dynamic_index_in_dim(batches_KBT, index, keepdims=False).astype(jnp.int32)
        after, loss = train_step(model, kind, state, tokens, hyper)
        alive = alive & (loss <= limit)
        state = jax.tree.map(lambda new, old: jnp.where(alive, new, old), after, state)
        return state, losses.at[index].set(loss), alive

    return jax.lax.fori_loop(0, count, body, (state, jnp.zeros(len(batches_KBT), jnp.float32), alive))


def stacked(members: Sequence[Any]) -> Any:
    """Trees of one structure as one, with a leading axis."""
    return jax.tree.map(lambda *leaves: jnp.stack([jnp.asarray(leaf) for leaf in leaves]), *members)


def member(tree: Any, place: int) -> Any:
    """One member of a stacked tree."""
    return jax.tree.map(lambda leaf: leaf[place], tree)
