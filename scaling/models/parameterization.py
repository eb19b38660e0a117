"""Parameterisations as data: how initial scale, learning rate, weight decay, epsilon and the multipliers of the forward
pass follow width and depth.

Every parameter declares itself once: role, fan-in, fan-out and logical axes. A rule gives for each role the powers of

    m = width / reference width        l = layers / reference layers        k = head width / reference head width

by which a model's numbers differ from the reference model's, where all multipliers are 1. Nothing matches on names.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from scaling.config import ModelConfig

Role = Literal["embedding", "position", "hidden", "gain", "final_gain", "head"]
"""What a parameter does: look a token up, mark a place, mix features in a block, scale a block's norms, scale the last
norm, or score the vocabulary."""
ROLES: tuple[Role, ...] = ("embedding", "position", "hidden", "gain", "final_gain", "head")


class Powers(NamedTuple):
    """A multiplier: m^width x l^depth."""

    width: float = 0.0
    depth: float = 0.0

    def at(self, width: float, depth: float) -> float:
        return float(width**self.width * depth**self.depth)


ONE = Powers()
ByRole = Mapping[Role, Powers]


@dataclass(frozen=True)
class Rule:
    """One parameterisation. Roles that a table leaves out have the multiplier 1.

    Attributes:
      source: where it comes from.
      initial_std: times 1 / sqrt(fan_in), of embeddings and positions 1 / sqrt(fan_out).
      learning_rate: of updates whose entries all have about the size of the rate (Adam, Lion).
      matrix_learning_rate: of orthogonalised updates with entries of that size (Muon).
      weight_decay, matrix_weight_decay: times the decay that the rate multiplies: their product does not change.
      epsilon: of Adam, which is to stay below the gradients' scale by the same factor (Everett 2024).
      output: multiplies the logits.
      residual: multiplies what each block adds to the residual stream.
      attention: power of k that multiplies q.k / sqrt(head width).
    """

    source: str
    initial_std: ByRole = field(default_factory=dict)
    learning_rate: ByRole = field(default_factory=dict)
    matrix_learning_rate: ByRole = field(default_factory=dict)
    weight_decay: ByRole = field(default_factory=dict)
    matrix_weight_decay: ByRole = field(default_factory=dict)
    epsilon: ByRole = field(default_factory=dict)
    output: Powers = ONE
    residual: Powers = ONE
    attention: float = 0.0


_CONSTANT_STD: ByRole = {"embedding": Powers(0.5), "position": Powers(0.5), "head": Powers(0.5)}
_MUP_RATE: ByRole = {"hidden": Powers(-1)}
_MUP_MATRIX_RATE: ByRole = {"hidden": Powers(-0.5)}
_MUP_DECAY: ByRole = {"hidden": Powers(1)}
_MUP_MATRIX_DECAY: ByRole = {"hidden": Powers(0.5)}

RULES: dict[str, Rule] = {
    "standard": Rule("LeCun 1998; one rate for all"),
    "mup": Rule(
        "Yang 2022, table 8, with the logits' multiplier; epsilon of Everett 2024",
        initial_std=_CONSTANT_STD,
        learning_rate=_MUP_RATE,
        matrix_learning_rate=_MUP_MATRIX_RATE,
        weight_decay=_MUP_DECAY,
        matrix_weight_decay=_MUP_MATRIX_DECAY,
        epsilon={role: Powers(-1) for role in ROLES},
        output=Powers(-1),
        attention=-0.5,
    ),
    "completep": Rule(
        "Dey 2025, table 1, alpha = 1",
        initial_std=_CONSTANT_STD,
        learning_rate=_MUP_RATE,
        matrix_learning_rate=_MUP_MATRIX_RATE,
        weight_decay=_MUP_DECAY,
        matrix_weight_decay=_MUP_MATRIX_DECAY,
        epsilon={role: Powers(-1, -1) if role in ("hidden", "gain") else Powers(-1) for role in ROLES},
        output=Powers(-1),
        residual=Powers(0, -1),
        attention=-0.5,
    ),
}


class Forward(NamedTuple):
    """Multipliers of the forward pass; traced, so that models of one shape share a program."""

    output: jax.Array | float = 1.0
    residual: jax.Array | float = 1.0
    attention: jax.Array | float = 1.0


class Multipliers(NamedTuple):
    """What a rule comes to at one model: numbers by role, and those of the forward pass."""

    initial_std: dict[Role, jax.Array | float]
    learning_rate: dict[Role, jax.Array | float]
    matrix_learning_rate: dict[Role, jax.Array | float]
    weight_decay: dict[Role, jax.Array | float]
    matrix_weight_decay: dict[Role, jax.Array | float]
    epsilon: dict[Role, jax.Array | float]
    forward: Forward


def multipliers(model: ModelConfig, rule: Rule | None = None) -> Multipliers:
    """The multipliers of `model` under its own rule, or under another."""
    own = model.parameterization
    rule = RULES[own.rule] if rule is None else rule

    def by_role(table: ByRole) -> dict[Role, jax.Array | float]:
        return {role: table.get(role, ONE).at(own.width_ratio, own.depth_ratio) for role in ROLES}

    return Multipliers(
        initial_std=by_role(rule.initial_std),
        learning_rate=by_role(rule.learning_rate),
        matrix_learning_rate=by_role(rule.matrix_learning_rate),
        weight_decay=by_role(rule.weight_decay),
        matrix_weight_decay=by_role(rule.matrix_weight_decay),
        epsilon=by_role(rule.epsilon),
        forward=Forward(
            output=rule.output.at(own.width_ratio, own.depth_ratio),
            residual=rule.residual.at(own.width_ratio, own.depth_ratio),
            attention=own.head_ratio**rule.attention,
        ),
    )


@dataclass(frozen=True)
class Declaration:
    """What the laboratory needs to know of one parameter."""

    role: Role
    fan_in: int
    fan_out: int
    axes: tuple[str, ...]
    """Logical name of each dimension, without the leading layer of a scanned stack."""

    @property
    def standard_std(self) -> float:
        """Standard deviation of the initial weights before the rule's multiplier.

        Matrices: 1/sqrt(fan_in) (LeCun 1998). Embeddings: 1/sqrt(fan_out), since every block begins with a norm
        and so sees them at unit scale, while a tied head keeps logits of order one.
        """
        match self.role:
            case "embedding" | "position":
                return 1 / math.sqrt(self.fan_out)
            case "hidden" | "head":
                return 1 / math.sqrt(self.fan_in)
            case "gain" | "final_gain":
                return 0.0

    @property
    def decays(self) -> bool:
        """Whether weight decay applies: to matrices, not to gains nor embeddings."""
        return self.role in ("hidden", "head")

    @property
    def mixes(self) -> bool:
        """Whether it is a matrix between features, which Muon orthogonalises; Adam updates the others."""
        return self.role == "hidden"


def declare(key: Callable[[], jax.Array], shape: tuple[int, ...], declaration: Declaration) -> nnx.Param[jax.Array]:
    """A float32 parameter of `shape` that carries its declaration: normal at its standard scale, a gain at one."""
    if declaration.standard_std == 0:
        value = jnp.ones(shape, jnp.float32)
    else:
        value = declaration.standard_std * jax.random.normal(key(), shape, jnp.float32)
    return nnx.Param(value, declaration=declaration)


def declarations(model: nnx.Module) -> dict[tuple[Any, ...], Declaration]:
    """Path of each parameter in `model` -> its declaration."""
    found = {}
    for path, variable in nnx.to_flat_state(nnx.state(model, nnx.Param)):
        found[path] = variable.get_metadata("declaration")
    return found
