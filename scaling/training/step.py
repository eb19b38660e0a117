"""The hot path: one jitted pure function that takes several optimiser steps, with donated state.

Dimensions: K steps a dispatch, B sequences, T tokens. Everything that does not change a shape is traced, so that the
trajectories of one shape share one compiled program, and a dispatch of fewer than K steps is the same program too.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from scaling.config import ComputeConfig, ModelConfig, Optimizer
from scaling.models import Multipliers, next_token_loss, next_token_losses
from scaling.training.accumulation import mean_and_gradient
from scaling.training.computation import AS_IT_COMES, Computation, computation
from scaling.training.mesh import constraining, own_rows, placed_batch, state_shardings
from scaling.training.optimizers import Settings, evaluated, optimizer
from scaling.training.schedules import OwnSchedule, Schedule, learning_rate
from scaling.training.state import Architecture, Params, TrainState, architecture, initial_state


class Hyper(NamedTuple):
    """Traced scalars of one run."""

    schedule: Schedule | OwnSchedule
    optimizer: Settings
    scales: Multipliers
    tail_start: jax.Array | float
    """Step from which on the losses are summed in tail_loss."""


@dataclass(frozen=True)
class Program:
    """The compiled functions of one model shape and optimiser; each compiles at its first call."""

    model: Architecture
    how: Computation
    initialise: Callable[..., TrainState]
    """(seed, beta1 = 0.9) -> state, under the model's own multipliers; only schedule-free keeps beta1 in it."""
    train: Callable[..., tuple[TrainState, jax.Array]]
    """(state, int32[K, B, T + 1], count <= K, Hyper) -> (state, float32[K] losses); the state is donated."""
    losses: Callable[[Params, jax.Array], jax.Array]
    """(params, int32[B, T + 1]) -> float32[B, T] losses of each target."""
    evaluated: Callable[[TrainState], Params]
    """The parameters that a state's loss is measured at."""
    fork: Callable[[TrainState], TrainState]
    """A copy that survives donation of the original, with tail_loss back at 0."""
    mesh: Mesh | None = None
    """Where the arrays lie; None for one device."""

    def rows(self, sequences: int) -> range:
        """Which sequences of a batch this process reads."""
        return range(sequences) if self.mesh is None else own_rows(self.mesh, sequences)

    def placed(self, tokens: np.ndarray[Any, Any], sequences: int) -> Any:
        """Tokens [..., rows, T + 1] of this process as the whole batch's array, [..., sequences, T + 1]."""
        return tokens if self.mesh is None else placed_batch(self.mesh, tokens, sequences)


def program(
    config: ModelConfig, kind: Optimizer = "adamw", mesh: Mesh | None = None, compute: ComputeConfig = AS_IT_COMES
) -> Program:
    """The functions of `config` trained by `kind`, on one device or laid out over `mesh`."""
    model, how = architecture(config), computation(compute, mesh)
    forward = model.multipliers.forward

    def initialise(seed: jax.Array, beta1: jax.Array | float = 0.9) -> TrainState:
        return initial_state(model, kind, seed, beta1)

    def train(*given: Any) -> tuple[TrainState, jax.Array]:
        return train_steps(model, kind, how, *given)

    def losses(params: Params, tokens: jax.Array) -> jax.Array:
        return next_token_losses(model.build(params), tokens.astype(jnp.int32), forward)

    def fork(state: TrainState) -> TrainState:
        return jax.tree.map(jnp.copy, state)._replace(tail_loss=jnp.float32(0))

    def average(state: TrainState) -> Params:
        return evaluated(kind, state.optimizer, state.params)

    def trained(state: TrainState) -> Params:
        return state.params

    averaged = kind == "schedule_free"
    initialise, train, losses = how.applied(initialise), how.applied(train), how.applied(losses)
    if mesh is None:
        return Program(
            model=model,
            how=how,
            initialise=jax.jit(initialise),
            train=jax.jit(train, donate_argnums=0),
            losses=jax.jit(losses),
            evaluated=jax.jit(average) if averaged else trained,
            fork=jax.jit(fork),
        )
    state = state_shardings(jax.eval_shape(initialise, 0), model.declared, mesh)
    whole = NamedSharding(mesh, PartitionSpec())
    sequences = ("data", "fsdp")
    batches = NamedSharding(mesh, PartitionSpec(None, sequences))
    return Program(
        model=model,
        how=how,
        initialise=jax.jit(initialise, out_shardings=state),
        train=jax.jit(
            constraining(mesh, train),
            in_shardings=(state, batches, None, None),
            out_shardings=(state, whole),
            donate_argnums=0,
        ),
        losses=jax.jit(
            constraining(mesh, losses),
            in_shardings=(state.params, NamedSharding(mesh, PartitionSpec(sequences))),
            out_shardings=whole,
        ),
        evaluated=jax.jit(average, in_shardings=(state,), out_shardings=state.params) if averaged else trained,
        fork=jax.jit(fork, in_shardings=(state,), out_shardings=state),
        mesh=mesh,
    )


def train_steps(
    model: Architecture,
    kind: Optimizer,
    how: Computation,
    state: TrainState,
    batches_KBT: jax.Array,
    count: jax.Array,
    hyper: Hyper,
) -> tuple[TrainState, jax.Array]:
    """Take `count` optimiser steps, one a batch: (new state, float32[K] losses; 0 beyond `count`)."""

    def body(index: jax.Array, carry: tuple[TrainState, jax.Array]) -> tuple[TrainState, jax.Array]:
        state, losses = carry
        tokens = jax.lax.dynamic_index_in_dim(batches_KBT, index, keepdims=False).astype(jnp.int32)
        state, loss = train_step(model, kind, how, state, tokens, hyper)
        return state, losses.at[index].set(loss)

    return jax.lax.fori_loop(0, count, body, (state, jnp.zeros(len(batches_KBT), jnp.float32)))


def train_step(
    model: Architecture, kind: Optimizer, how: Computation, state: TrainState, tokens_BT: jax.Array, hyper: Hyper
) -> tuple[TrainState, jax.Array]:
    """One optimiser step on int32[B, T + 1] tokens: (new state, mean loss in nats a token before the step)."""

    def loss_of(params: Params, tokens_BT: jax.Array) -> jax.Array:
        return next_token_loss(model.build(params), tokens_BT, hyper.scales.forward)

    loss, gradients = mean_and_gradient(loss_of, state.params, tokens_BT, how.parts(tokens_BT))
    rate = learning_rate(hyper.schedule, state.step)
    updates, moments = optimizer(kind, hyper.optimizer, model.declared, hyper.scales, rate).update(
        gradients, state.optimizer, state.params
    )
    params = optax.apply_updates(state.params, updates)
    before = jnp.where(state.step == hyper.tail_start, 0.0, state.tail_loss)
    tail_loss = before + jnp.where(state.step >= hyper.tail_start, loss, 0.0)
    return TrainState(params, moments, state.step + 1, tail_loss), loss
