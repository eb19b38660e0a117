"""What a result file says, as the row that is committed for its horizon: what it does not say stays empty."""

from scaling.data import epochs
from scaling.records import DomainObservation, Horizon, Observation, Result, ResultError, Trajectory, observation_of

FOLLOWS = {("with_embeddings", "6N"), ("without_embeddings", "6N_non_embedding")}
"""Conventions of N and C under which C is 6 N D."""


def observe(trajectory: Trajectory, horizon: Horizon, result: Result, source: str) -> Observation:
    """What a horizon taught, under the study's conventions.

    Raises:
      ResultError: N is another than was planned, and C is not known; names `source`.
    """
    tokens = result.tokens or horizon.tokens
    params = result.params or trajectory.params
    as_planned = params == trajectory.params
    unique_tokens = result.unique_tokens or trajectory.unique_tokens
    return observation_of(
        trajectory,
        horizon,
        params=params,
        tokens=tokens,
        flops=_flops(trajectory, tokens, params, result.flops, source),
        loss=result.loss,
        loss_se=result.loss_se,
        bits_per_byte=result.bits_per_byte,
        train_loss=result.train_loss,
        params_non_embedding=trajectory.params_non_embedding if as_planned else None,
        flops_causal=float(tokens) * trajectory.flops_per_token_causal if as_planned and result.flops is None else None,
        unique_tokens=unique_tokens,
        epochs=epochs(tokens, unique_tokens),
        metrics=dict(result.metrics),
        domains={} if result.unique_tokens else _domains(trajectory, tokens),
    )


def _flops(trajectory: Trajectory, tokens: int, params: int, said: float | None, source: str) -> float:
    if said is not None:
        return said
    if params == trajectory.params:
        return float(tokens) * trajectory.flops_per_token
    accounting = trajectory.accounting
    if (accounting.params, accounting.flops) in FOLLOWS:
        return 6.0 * params * tokens
    raise ResultError(
        f"{source}: flops is missing: params is {params}, and {trajectory.params} were planned, so that C under "
        f"accounting.flops {accounting.flops} is not known; give flops"
    )


def _domains(trajectory: Trajectory, tokens: int) -> dict[str, DomainObservation]:
    """Of a mixture: what was seen of each domain, as the recipe has it."""
    found = {}
    for one in trajectory.data.domains:
        share = trajectory.recipe.mixture.get(one.name, 0.0)
        found[one.name] = DomainObservation(
            share=share,
            tokens=share * tokens,
            unique_tokens=one.train_tokens,
            epochs=epochs(share * tokens, one.train_tokens),
            loss=None,
            loss_se=None,
            bits_per_byte=None,
        )
    return found
