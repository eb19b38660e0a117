"""What was learnt at a horizon: one row of a table."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from scaling.config import Part, unused
from scaling.records.schema import Horizon, Role, Trajectory
from scaling.records.scores import PositionLoss, Score


class DomainObservation(Part):
    """What a horizon has seen of one domain of a mixture, and what it loses on that domain's held-out documents."""

    share: float
    """Of the training sequences."""
    tokens: float
    """share x D."""
    unique_tokens: int
    epochs: float
    """tokens / unique_tokens."""
    loss: float | None
    """Mean over its held-out tokens, in nats a token; None where a command of the user's own trained."""
    loss_se: float | None
    """Its standard error over its held-out documents."""
    bits_per_byte: float | None
    """None where the text of the tokens is not known."""


class Observation(Part):
    """One row of what was learnt: a horizon's N, D, C and loss, under one convention, and where it came from."""

    trajectory: str
    role: Role
    seed: int
    width: int
    layers: int
    params: int
    tokens: int
    flops: float
    budget: float
    loss: float
    """Mean validation cross-entropy in nats a token."""
    loss_se: float | None
    """Its standard error over held-out documents; None where a command trained that did not say."""
    bits_per_byte: float | None
    """None where the text of the tokens is not known."""
    train_loss: float | None
    """Mean training loss of the decay's last tenth; None where a command trained that did not say."""
    params_convention: str
    flops_convention: str
    params_non_embedding: int | None
    """None where a command trained another N than was planned."""
    flops_causal: float | None
    """None where a command trained another N or C than was planned."""
    unique_tokens: int
    epochs: float
    """tokens / unique training tokens."""
    steps: int
    decay_steps: int
    learning_rate: float
    batch_tokens: int
    horizon: str
    metrics: Annotated[dict[str, float], Field(exclude_if=unused, default_factory=dict)]
    """The user's own: attribute -> value."""
    bits_per_byte_se: Annotated[float | None, Field(exclude_if=unused)] = None
    """Its standard error over held-out documents; None in records of before it was measured."""
    by_position: Annotated[tuple[PositionLoss, ...], Field(exclude_if=unused)] = ()
    """The loss by place in the window; empty in records of before it was measured."""
    sets: Annotated[Mapping[str, Score], Field(exclude_if=unused)] = {}
    """Named held-out sets: what was measured on each. Committed beside the horizon's own file, not in it."""
    domains: Annotated[dict[str, DomainObservation], Field(exclude_if=unused, default_factory=dict)]
    """Of a mixture, by name."""


def observation_of(trajectory: Trajectory, horizon: Horizon, **measured: Any) -> Observation:
    """The row of a horizon: what was planned of it, and over that what was `measured`, by the fields' names."""
    return Observation(**(planned_of(trajectory, horizon) | measured))


def planned_of(trajectory: Trajectory, horizon: Horizon) -> dict[str, Any]:
    """What of the row of a horizon its plan decides, by the fields' names."""
    tokens = horizon.tokens
    return {
        "trajectory": trajectory.id,
        "role": trajectory.role,
        "seed": trajectory.recipe.seed,
        "width": trajectory.model.width,
        "layers": trajectory.model.layers,
        "params": trajectory.params,
        "tokens": tokens,
        "flops": float(tokens) * trajectory.flops_per_token,
        "budget": horizon.budget,
        "params_convention": trajectory.accounting.params,
        "flops_convention": trajectory.accounting.flops,
        "params_non_embedding": trajectory.params_non_embedding,
        "flops_causal": float(tokens) * trajectory.flops_per_token_causal,
        "unique_tokens": trajectory.unique_tokens,
        "epochs": tokens / trajectory.unique_tokens,
        "steps": horizon.steps,
        "decay_steps": horizon.decay_steps,
        "learning_rate": trajectory.recipe.learning_rate,
        "batch_tokens": trajectory.recipe.batches.at(horizon.steps - 1) * trajectory.model.sequence_length,
        "horizon": horizon.name,
    }
