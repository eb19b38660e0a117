"""Every held-out token is scored once, under its own document; the standard error is that of documents."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling.config import StudyError
from scaling.data.held_out import EvaluationBatches


@settings(max_examples=100, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 60), min_size=1, max_size=12).filter(lambda lengths: sum(lengths) > 1),
    sequences=st.integers(1, 6),
    sequence_length=st.integers(1, 20),
)
def test_every_token_but_the_first_is_scored_once(lengths: list[int], sequences: int, sequence_length: int) -> None:
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    stream = np.arange(offsets[-1], dtype=np.uint16)
    batches = EvaluationBatches(stream, offsets, sequences, sequence_length)
    assert batches.tokens.shape == (len(batches), sequences, sequence_length + 1)
    assert batches.mask.shape == batches.documents.shape == (len(batches), sequences, sequence_length)
    real = batches.mask == 1
    targets = batches.tokens[..., 1:][real]
    assert sorted(targets.tolist()) == list(range(1, len(stream)))
    np.testing.assert_array_equal(batches.tokens[..., :-1][real], targets - 1)
    owners = np.repeat(np.arange(len(lengths)), lengths)
    np.testing.assert_array_equal(batches.documents[real], owners[targets])
    assert batches.target_count == real.sum() == len(stream) - 1
    assert np.all((batches.mask == 0) | (batches.mask == 1))
    assert np.all(batches.tokens < len(stream))


def scored(losses_by_document: list[list[float]]):
    """Score documents with these token losses; one more leads the stream, whose token is never a target."""
    lengths = [len(losses) for losses in losses_by_document]
    offsets = np.concatenate([[0], np.cumsum([1, *lengths])])
    losses = np.concatenate([[np.nan], *losses_by_document])
    batches = EvaluationBatches(np.arange(offsets[-1], dtype=np.uint16), offsets, 2, 3)
    nats = np.full(batches.mask.shape, np.nan)
    real = batches.mask > 0
    nats[real] = losses[batches.tokens[..., 1:][real]]
    return batches.score(nats)


def test_the_mean_is_over_tokens_and_padding_counts_for_nothing() -> None:
    assert scored([[1.0, 2.0, 3.0], [6.0]]).mean == pytest.approx(3.0)


def test_equal_documents_leave_no_error() -> None:
    assert scored([[2.0, 2.0], [2.0] * 5]).standard_error == pytest.approx(0.0)


def test_documents_of_equal_length_give_the_textbook_error_of_their_means() -> None:
    means = np.array([1.0, 2.0, 4.0, 7.0])
    result = scored([[mean, mean, mean] for mean in means])
    assert result.standard_error == pytest.approx(means.std(ddof=1) / np.sqrt(4))


def test_the_error_agrees_with_a_bootstrap_over_documents() -> None:
    random = np.random.default_rng(0)
    documents = [
        (random.normal(3, 0.5) + random.normal(0, 1, size=size)).tolist() for size in random.integers(5, 60, 80)
    ]
    sums = np.array([sum(losses) for losses in documents])
    counts = np.array([len(losses) for losses in documents])
    chosen = random.integers(0, 80, size=(4000, 80))
    bootstrap = (sums[chosen].sum(1) / counts[chosen].sum(1)).std()
    assert scored(documents).standard_error == pytest.approx(bootstrap, rel=0.1)


def test_a_single_document_says_nothing_about_others() -> None:
    batches = EvaluationBatches(np.arange(9, dtype=np.uint16), np.array([0, 9]), 2, 3)
    assert batches.score(np.ones(batches.mask.shape)).standard_error == float("inf")


def test_nothing_to_evaluate_on() -> None:
    with pytest.raises(StudyError, match=r"data.validation_tokens gave 1 held-out"):
        EvaluationBatches(np.zeros(1, np.uint16), np.array([0, 1]), 2, 3)
