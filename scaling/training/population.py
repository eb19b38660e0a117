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

from scaling.config import ComputeConfig, ModelConfig, Optimizer
from scaling.training.computation import AS_IT_COMES, Computation, computation
from scaling.training.mesh import constraining, state_shardings
from scaling.training.state import Architecture, TrainState, architecture, initial_state
from scaling.training.step import Hyper, train_step


@dataclass(frozen=True)
class Population:
    """The compiled functions of P stacked trajectories; each compiles at its first call with a P."""

    initialise: Callable[..., TrainState]
    """(seeds int[P], beta1 float[P]) -> stacked state."""
    train: Callable[..., tuple[TrainState, jax.Array, jax.Array]]
    """(state, tokens [P, K, B, T + 1], most <= K, counts int[P] <= most, stacked Hyper, limit float[P], alive bool[P])
    -> (state, losses float32[P, K], alive); the state is donated."""
    take: Callable[[TrainState, int], TrainState]
    """One member's state, placed as the program for one has it."""
    put: Callable[[TrainState, int, TrainState], TrainState]
    """The stacked state, donated, with one member's replaced."""
    revive: Callable[[jax.Array, int], jax.Array]
    """alive with one member's True."""


def population(
    config: ModelConfig, kind: Optimizer = "adamw", mesh: Mesh | None = None, compute: ComputeConfig = AS_IT_COMES
) -> Population:
    """The stacked functions of `config`, on one device or with members over the mesh's axis `population`."""
    model, how = architecture(config), computation(compute, mesh)
    across = None if mesh is None else "population"

    def initialise(seeds: jax.Array, beta1: jax.Array) -> TrainState:
        return jax.vmap(lambda seed, own: initial_state(model, kind, seed, own))(seeds, beta1)

    def train(state: TrainState, tokens: jax.Array, most: jax.Array, *rest: Any) -> Any:
        def member(*own: Any) -> Any:
            return _member_steps(model, kind, how, most, *own)

        return jax.vmap(member, spmd_axis_name=across)(state, tokens, *rest)

    initialise, train = how.applied(initialise), how.applied(train)

    def take(state: TrainState, index: jax.Array) -> TrainState:
        return jax.tree.map(lambda leaf: jax.lax.dynamic_index_in_dim(leaf, index, keepdims=False), state)

    def put(state: TrainState, index: jax.Array, own: TrainState) -> TrainState:
        return jax.tree.map(lambda leaf, new: jax.lax.dynamic_update_index_in_dim(leaf, new, index, 0), state, own)

    def revive(alive: jax.Array, index: jax.Array) -> jax.Array:
        return jax.lax.dynamic_update_index_in_dim(alive, True, index, 0)

    if mesh is None:
        return Population(
            jax.jit(initialise),
            jax.jit(train, donate_argnums=0),
            jax.jit(take),
            jax.jit(put, donate_argnums=0),
            jax.jit(revive),
        )
    least = mesh.shape["population"]
    abstract = jax.eval_shape(initialise, np.zeros(least, int), np.zeros(least))
    stack = state_shardings(abstract, model.declared, mesh, stacked=True)
    alone = state_shardings(jax.eval_shape(lambda seed: initial_state(model, kind, seed, 0.9), 0), model.declared, mesh)
    members = NamedSharding(mesh, PartitionSpec("population"))
    tokens = NamedSharding(mesh, PartitionSpec("population", None, ("data", "fsdp")))
    return Population(
        initialise=jax.jit(initialise, out_shardings=stack),
        train=jax.jit(
            constraining(mesh, train),
            in_shardings=(stack, tokens, None, members, None, members, members),
            out_shardings=(stack, members, members),
            donate_argnums=0,
        ),
        take=jax.jit(take, in_shardings=(stack, None), out_shardings=alone),
        put=jax.jit(put, in_shardings=(stack, None, alone), out_shardings=stack, donate_argnums=0),
        revive=jax.jit(revive, in_shardings=(members, None), out_shardings=members),
    )


def _member_steps(
    model: Architecture,
    kind: Optimizer,
    how: Computation,
    most: jax.Array,
    state: TrainState,
    batches_KBT: jax.Array,
    count: jax.Array,
    hyper: Hyper,
    limit: jax.Array,
    alive: jax.Array,
) -> tuple[TrainState, jax.Array, jax.Array]:
    """`count` of `most` steps of one member; none from the one on whose loss is above its limit, or no number."""

    def body(index: jax.Array, carry: tuple[TrainState, jax.Array, jax.Array]) -> Any:
        state, losses, alive = carry
        tokens = jax.lax.dynamic_index_in_dim(batches_KBT, index, keepdims=False).astype(jnp.int32)
        after, loss = train_step(model, kind, how, state, tokens, hyper)
        wanted = index < count
        alive = alive & ((loss <= limit) | ~wanted)
        state = jax.tree.map(lambda new, old: jnp.where(alive & wanted, new, old), after, state)
        return state, losses.at[index].set(loss), alive

    return jax.lax.fori_loop(0, most, body, (state, jnp.zeros(len(batches_KBT), jnp.float32), alive))


def stacked(members: Sequence[Any]) -> Any:
    """Trees of numbers as one, float32[P] each."""
    return jax.tree.map(lambda *leaves: np.array(leaves, np.float32), *members)
