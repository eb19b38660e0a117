"""AdamW, made of Optax's parts, with every hyper-parameter traced."""

from typing import NamedTuple

import jax
import optax

from scaling.models import Declaration


class AdamW(NamedTuple):
    """Traced scalars of AdamW with clipping by global norm."""

    beta1: jax.Array | float
    beta2: jax.Array | float
    epsilon: jax.Array | float
    weight_decay: jax.Array | float
    gradient_clip: jax.Array | float


def adamw(settings: AdamW, declared: dict[str, Declaration]) -> optax.GradientTransformation:
    """clip -> Adam's direction -> + weight_decay x parameter where its declaration decays (Loshchilov 2019).

    The learning rate is not in it: multiply the updates by -rate.
    """
    return optax.chain(
        optax.clip_by_global_norm(settings.gradient_clip),
        optax.scale_by_adam(settings.beta1, settings.beta2, settings.epsilon),
        optax.add_decayed_weights(
            settings.weight_decay,
            mask={name: declaration.decays for name, declaration in declared.items()},
        ),
    )
