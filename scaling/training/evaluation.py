"""Held-out loss of a model: the mean over all validation tokens, with its standard error over documents."""

import math

import jax
import numpy as np

from scaling.data import EvaluationBatches, Scored
from scaling.training.state import Params
from scaling.training.step import Program


def evaluate(program: Program, params: Params, batches: EvaluationBatches) -> Scored:
    """Cross-entropy of every held-out token but the first: mean in nats a token, standard error by document."""
    sequences = len(batches.tokens[0])
    rows = program.rows(sequences)
    mine = slice(rows.start, rows.stop)
    pending = [program.losses(params, program.placed(tokens[mine], sequences)) for tokens in batches.tokens]
    return batches.score(np.stack(jax.device_get(pending)))


def bits_per_byte(nats_a_token: float, tokens: int, text_bytes: int) -> float:
    """tokens x nats / (ln 2 x bytes): comparable across tokenisers."""
    return nats_a_token * tokens / (math.log(2) * text_bytes)
