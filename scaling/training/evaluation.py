"""What held-out text and named sets say of a model, by one compiled program of one shape."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np

from scaling.config import Own, StudyError, loaded
from scaling.data import Domain, EvaluationBatches, HeldOut, Scored
from scaling.records import PositionLoss
from scaling.training.state import Params
from scaling.training.step import Program


@dataclass(frozen=True)
class Evaluation:
    """What held-out text says of a model."""

    mean: float
    """Nats a token."""
    standard_error: float
    """Of the mean, clustered by document."""
    metrics: dict[str, float] = field(default_factory=dict)
    """The user's own: attribute -> value."""
    by_position: tuple[PositionLoss, ...] = ()
    """The loss by place in the window."""
    domains: dict[str, Scored] = field(default_factory=dict)
    """Of a mixture: the held-out documents of each domain."""
    bits_per_byte_se: float | None = None
    """Standard error of bits per byte, clustered by document; None where the text is not known."""


def evaluate(
    program: Program,
    params: Params,
    batches: EvaluationBatches,
    metrics: Sequence[Own] = (),
    domains: Sequence[Domain] = (),
    document_bytes: np.ndarray[Any, Any] | None = None,
) -> Evaluation:
    """Cross-entropy of every held-out token but the first: mean in nats a token, standard error by document; its losses
    by position and by domain; and what the user's own metrics make of these losses."""
    nats = losses(program, params, batches.tokens)
    score = batches.score(nats)
    own = measured(metrics, batches.held_out(nats)) if metrics else {}
    of_domains = {one.name: batches.score(nats, one.documents) for one in domains}
    bits = None
    if document_bytes is not None and len(document_bytes):
        bits = batches.bits_per_byte(nats, document_bytes).standard_error
    return Evaluation(score.mean, score.standard_error, own, batches.by_position(nats), of_domains, bits)


def losses(program: Program, params: Params, batches: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Losses float32[M, B, L] of each target of int32[M, B, L + 1] tokens."""
    sequences = len(batches[0])
    rows = program.rows(sequences)
    mine = slice(rows.start, rows.stop)
    pending = [program.losses(params, program.placed(tokens[mine], sequences)) for tokens in batches]
    return np.stack(jax.device_get(pending))


def measured(metrics: Sequence[Own], held_out: HeldOut) -> dict[str, float]:
    """Each metric's value; StudyError where one is not a finite number."""
    found = {}
    for metric in metrics:
        value = loaded(metric)(held_out)
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = math.nan
        if not math.isfinite(number):
            raise StudyError(
                f"evaluation.metrics has {metric!r}, which returned {value!r:.80}; return one finite number"
            )
        found[metric.attribute] = number
    return found


def bits_per_byte(nats_a_token: float, tokens: int, text_bytes: int) -> float | None:
    """tokens x nats / (ln 2 x bytes): comparable across tokenisers; None where the text is not known."""
    return None if not text_bytes else nats_a_token * tokens / (math.log(2) * text_bytes)
