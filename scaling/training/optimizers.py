"""Optimisers, made of Optax's parts, with every number traced and every choice read from declarations.

    parameter -= rate x rate multiplier x (direction + weight_decay x decay multiplier x parameter)

With independent decay the last term is (rate / peak) x weight_decay x parameter.
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from optax import contrib

from scaling.config import Optimizer, Own, loaded
from scaling.models import Declaration, Multipliers

Declared = dict[str, Declaration]
MATRIX_RMS = 0.2
"""Root mean square of the entries of Muon's direction: about Adam's, so that both take one rate (Liu 2025)."""
MATRIX = contrib.MuonDimensionNumbers(reduction_axis=-2, output_axis=-1)
"""Stacked kernels (layer, in, out) are orthogonalised layer by layer."""


class Settings(NamedTuple):
    """Traced scalars."""

    beta1: jax.Array | float
    beta2: jax.Array | float
    epsilon: jax.Array | float
    momentum: jax.Array | float
    weight_decay: jax.Array | float
    peak: jax.Array | float
    """The rate that independent decay is divided by; 0 where decay follows the rate."""
    gradient_clip: jax.Array | float


def optimizer(
    kind: Optimizer, settings: Settings, declared: Declared, scales: Multipliers, rate: jax.Array | float
) -> optax.GradientTransformation:
    """clip -> each role's direction -> decay -> times minus each role's rate; averaged where schedule-free.

    One of the user's own is all of this, from the same arguments but `kind`.
    """
    if isinstance(kind, Own):
        given: optax.GradientTransformation = loaded(kind)(settings, declared, scales, rate)
        return given
    inner = optax.chain(
        optax.clip_by_global_norm(settings.gradient_clip),
        _directions(kind, settings, declared, scales),
        _applied(kind, settings, declared, scales, rate),
    )
    if kind == "schedule_free":
        return contrib.schedule_free(inner, rate, b1=settings.beta1)
    return inner


def evaluated(kind: Optimizer, state: optax.OptState, params: dict[str, jax.Array]) -> dict[str, jax.Array]:
    """The parameters that a loss is measured at: schedule-free's average, else those that are trained."""
    if kind != "schedule_free":
        return params
    average: dict[str, jax.Array] = contrib.schedule_free_eval_params(state, params)
    return average


def _directions(
    kind: Optimizer, settings: Settings, declared: Declared, scales: Multipliers
) -> optax.GradientTransformation:
    """Adam's with each role's epsilon, Lion's sign, or for matrices Muon's orthogonal matrix."""
    if kind == "lion":
        return optax.scale_by_lion(settings.beta1, settings.beta2)
    # Schedule-free interpolates in place of a first moment (Defazio 2024, section 2).
    beta1 = 0.0 if kind == "schedule_free" else settings.beta1
    labels: dict[str, str] = {name: one.role for name, one in declared.items()}
    by_label: dict[str, optax.GradientTransformation] = {
        one.role: optax.scale_by_adam(beta1, settings.beta2, settings.epsilon * scales.epsilon[one.role])
        for one in declared.values()
    }
    if kind == "muon":
        labels |= {name: "matrix" for name, one in declared.items() if one.mixes}
        by_label["matrix"] = contrib.scale_by_muon(beta=settings.momentum, weight_dimension_numbers=_matrices)
    return optax.partition(by_label, labels)


def _applied(
    kind: Optimizer, settings: Settings, declared: Declared, scales: Multipliers, rate: jax.Array | float
) -> optax.GradientTransformation:
    """-rate x multiplier x (direction + decay x parameter), the decay only where a declaration decays."""

    def one(name: str, direction: jax.Array, parameter: jax.Array) -> jax.Array:
        declaration = declared[name]
        role, matrix = declaration.role, kind == "muon" and declaration.mixes
        if matrix:
            # Orthogonal columns or rows of length 1 have entries of about 1 / sqrt(the longer side).
            direction = MATRIX_RMS * math.sqrt(max(declaration.fan_in, declaration.fan_out)) * direction
        scale = (scales.matrix_learning_rate if matrix else scales.learning_rate)[role]
        if declaration.decays:
            follows = (scales.matrix_weight_decay if matrix else scales.weight_decay)[role]
            apart = 1 / (jnp.where(settings.peak > 0, settings.peak, 1.0) * scale)
            decay = settings.weight_decay * jnp.where(settings.peak > 0, apart, follows)
            direction = direction + decay * parameter
        return -(rate * scale) * direction

    def update(updates: Any, params: Any) -> Any:
        return {name: one(name, direction, params[name]) for name, direction in updates.items()}

    return optax.stateless(update)


def _matrices(params: Any) -> Any:
    return jax.tree.map(lambda _: MATRIX, params)
