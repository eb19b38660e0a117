"""Batch sizes against a hand-made table, and as the inverse of themselves."""

from fractions import Fraction

import pytest

from scaling.records import BatchSizes, BatchStage, ramp

GROWING = BatchSizes(4, (BatchStage(step=10, sequences=8), BatchStage(step=15, sequences=6)))


@pytest.mark.parametrize(
    ("step", "size", "before", "same_until"),
    [(0, 4, 0, 10), (9, 4, 36, 10), (10, 8, 40, 15), (14, 8, 72, 15), (15, 6, 80, None), (20, 6, 110, None)],
)
def test_sizes_and_what_was_seen(step: int, size: int, before: int, same_until: int | None) -> None:
    assert (GROWING.at(step), GROWING.before(step), GROWING.same_until(step)) == (size, before, same_until)
    assert GROWING.steps(before) == step


def test_what_was_seen_is_the_sum_of_the_batches() -> None:
    assert [GROWING.before(step) for step in range(30)] == [
        sum(GROWING.at(done) for done in range(step)) for step in range(30)
    ]


@pytest.mark.parametrize(("sequences", "steps"), [(1, Fraction(1, 4)), (44, Fraction(21, 2)), (83, Fraction(31, 2))])
def test_steps_between_whole_ones(sequences: int, steps: Fraction) -> None:
    assert GROWING.steps(sequences) == steps


def test_a_stage_begins_once_so_much_was_seen() -> None:
    stages = ramp(4, [(Fraction(38), 8), (Fraction(80), 6)])
    assert BatchSizes(4, stages) == GROWING
    assert ramp(4, [(Fraction(1), 8), (Fraction(3, 2), 4)]) == (), "nor is one that ends where it begins"
    assert ramp(4, [(Fraction(38), 4)]) == (), "no other size is no stage"
    assert ramp(4, [(Fraction(37), 8), (Fraction(39), 16)]) == (BatchStage(step=10, sequences=16),)
