"""N, D and C: the only place that counts. No JAX.

Parameters and FLOPs of a ModelConfig in the conventions of the literature. What is in a block or model of the user's
own, a `Count` tells that has built it (`models.counting`). A FLOP is one multiplication or one
addition, so a matrix product of (m, k) with (k, n) takes 2 m k n.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from scaling.config import AccountingConfig, ModelConfig

ParamsConvention = Literal["with_embeddings", "without_embeddings"]
FlopsConvention = Literal["exact", "6N", "6N_non_embedding"]

BACKWARD_AND_FORWARD = 3
"""A matrix product is done once forward and twice backward: for its input's gradient and for its weight's."""


@dataclass(frozen=True)
class ParamCount:
    """Parameters of one model, by role. `total` is the number of scalars in the built model's leaves."""

    token_embedding: int
    position_embedding: int
    attention: int
    feed_forward: int
    norms: int
    head: int

    @property
    def total(self) -> int:
        """N with embeddings (Hoffmann 2022, appendix F counts it so)."""
        return self.token_embedding + self.position_embedding + self.non_embedding + self.head

    @property
    def non_embedding(self) -> int:
        """N without token embedding, positions and output head (Kaplan 2020, section 2.1)."""
        return self.attention + self.feed_forward + self.norms


@dataclass(frozen=True)
class FlopsPerToken:
    """Training FLOPs for each token, forward and backward, in every convention.

    Attributes:
      exact: every matrix product of the traced program: projections, attention scores and values over the full
        square of the sequence, feed-forward, output head (Hoffmann 2022, appendix F, without its softmax and
        embedding terms; Chowdhery 2022, appendix B).
      causal: as exact, with attention over the lower triangle only, (T + 1) / 2 keys a query on average.
      six_n: 6 N with embeddings (Hoffmann 2022, section 3.3).
      six_n_non_embedding: 6 N without embeddings (Kaplan 2020, section 2.1).
    """

    exact: int
    causal: int
    six_n: int
    six_n_non_embedding: int


@dataclass(frozen=True)
class Counts:
    """Parameters and training FLOPs for each token of one model, or of one block."""

    params: int
    """Embeddings included."""
    params_non_embedding: int
    flops_per_token_exact: int
    flops_per_token_causal: int


Count = Callable[[ModelConfig], Counts]
"""How models are counted: `counts`, or where one is the user's own, from the built model."""


def counts(model: ModelConfig) -> Counts:
    """Of a model of the laboratory's own blocks, by formula."""
    count, flops = count_params(model), flops_per_token(model)
    return Counts(count.total, count.non_embedding, flops.exact, flops.causal)


def counts_with_blocks(model: ModelConfig, block: Counts) -> Counts:
    """Of `model` with another block in each layer: layers x block, and what lies around them."""
    around = _around(model)
    head = 2 * BACKWARD_AND_FORWARD * model.vocabulary * model.width
    return Counts(
        params=model.layers * block.params + around.total,
        params_non_embedding=model.layers * block.params_non_embedding + around.non_embedding,
        flops_per_token_exact=model.layers * block.flops_per_token_exact + head,
        flops_per_token_causal=model.layers * block.flops_per_token_causal + head,
    )


def count_params(model: ModelConfig) -> ParamCount:
    """Parameters of `model` by role, equal to the built model's leaves."""
    if model.own is not None:
        raise ValueError(f"{model.own} has parameters that only the built model tells; count it by models.counted")
    around = _around(model)
    query = model.width * model.heads * model.head_width
    key_value = 2 * model.width * model.kv_heads * model.head_width
    qk_norm = 2 * model.head_width if model.qk_norm else 0
    return ParamCount(
        token_embedding=around.token_embedding,
        position_embedding=around.position_embedding,
        attention=model.layers * (2 * query + key_value),
        feed_forward=model.layers * _ffn_matrices(model) * model.width * model.ffn_width,
        norms=model.layers * (2 * model.width + qk_norm) + around.norms,
        head=around.head,
    )


def flops_per_token(model: ModelConfig) -> FlopsPerToken:
    """Training FLOPs for each token of `model` in every convention."""
    count = count_params(model)
    matrices = count.attention + count.feed_forward + model.vocabulary * model.width
    scores_a_key = model.layers * 2 * model.heads * model.head_width

    def training(multiplications: float) -> int:
        return round(2 * BACKWARD_AND_FORWARD * multiplications)

    return FlopsPerToken(
        exact=training(matrices + scores_a_key * model.sequence_length),
        causal=training(matrices + scores_a_key * (model.sequence_length + 1) / 2),
        six_n=6 * count.total,
        six_n_non_embedding=6 * count.non_embedding,
    )


def params(model: ModelConfig, convention: ParamsConvention, count: Count = counts) -> int:
    """N of `model` under one convention."""
    found = count(model)
    return found.params if convention == "with_embeddings" else found.params_non_embedding


def training_flops_per_token(model: ModelConfig, convention: FlopsConvention, count: Count = counts) -> int:
    """C for each token of `model` under one convention."""
    found = count(model)
    by_name = {
        "exact": found.flops_per_token_exact,
        "6N": 6 * found.params,
        "6N_non_embedding": 6 * found.params_non_embedding,
    }
    return by_name[convention]


def size_and_cost(model: ModelConfig, accounting: AccountingConfig, count: Count = counts) -> tuple[int, int]:
    """(N, training FLOPs per token) of `model` under a study's conventions."""
    return params(model, accounting.params, count), training_flops_per_token(model, accounting.flops, count)


def _around(model: ModelConfig) -> ParamCount:
    """What is not in a block."""
    return ParamCount(
        token_embedding=model.vocabulary * model.width,
        position_embedding=model.sequence_length * model.width if model.positions == "learned" else 0,
        attention=0,
        feed_forward=0,
        norms=model.width,
        head=0 if model.tied_head else model.vocabulary * model.width,
    )


def _ffn_matrices(model: ModelConfig) -> int:
    return 3 if model.feed_forward == "swiglu" else 2
