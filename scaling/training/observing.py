"""What a horizon taught, as the record that is committed for it."""

from typing import Any

import jax

from scaling.data import Domain, DomainSummary, Scored, Tokens, domains_of, epochs
from scaling.planning import usable_cores
from scaling.records import (
    DomainObservation,
    DomainRecord,
    Horizon,
    Observation,
    Trajectory,
    observation_of,
)
from scaling.training.evaluation import Evaluation, bits_per_byte
from scaling.training.step import Program


def observe(
    trajectory: Trajectory, horizon: Horizon, tokens: Tokens, score: Evaluation, train_loss: float
) -> Observation:
    """What a horizon taught, under the study's conventions."""
    return observation_of(
        trajectory,
        horizon,
        loss=score.mean,
        loss_se=score.standard_error,
        bits_per_byte=bits_per_byte(score.mean, tokens.record.validation_tokens, tokens.summary.validation_bytes),
        train_loss=train_loss,
        metrics=score.metrics,
        by_position=score.by_position,
        bits_per_byte_se=score.bits_per_byte_se,
        domains={
            one.name: _of_domain(one, record, summary, horizon.tokens, score.domains[one.name])
            for one, record, summary in zip(
                domains_of(tokens.record, trajectory.recipe.mixture),
                tokens.record.domains,
                tokens.summary.domains,
                strict=True,
            )
        },
    )


def _of_domain(
    domain: Domain, record: DomainRecord, summary: DomainSummary, tokens: int, score: Scored
) -> DomainObservation:
    seen = domain.share * tokens
    return DomainObservation(
        share=domain.share,
        tokens=seen,
        unique_tokens=record.train_tokens,
        epochs=epochs(seen, record.train_tokens),
        loss=score.mean,
        loss_se=score.standard_error,
        bits_per_byte=bits_per_byte(score.mean, record.validation_tokens, summary.validation_bytes),
    )


def made_by(compiled: Program) -> dict[str, Any]:
    """What of this process and its program a horizon's record tells."""
    return {
        "device": jax.devices()[0].device_kind,
        "cores": len(usable_cores()),
        "precision": compiled.how.computing.precision,
    }
