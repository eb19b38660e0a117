"""Training batches are a pure function of (seed, step), and an epoch holds each window once."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling import data
from scaling.config import StudyError
from scaling.data import windows as order
from scaling.data.pipeline import TrainingBatches
from scaling.records import BatchSizes, BatchStage

STREAM = np.arange(1000, dtype=np.uint16)
"""Token i is i, so that a window's first token says where it lies."""


def batches_of(**settings: int) -> TrainingBatches:
    return TrainingBatches(STREAM, **{"sequences": 4, "sequence_length": 9, "seed": 3} | settings)


def test_a_batch_is_windows_of_consecutive_tokens() -> None:
    batch = batches_of().batch(17)
    assert batch.shape == (4, 10)
    assert batch.dtype == np.int32
    np.testing.assert_array_equal(batch[:, 1:], batch[:, :-1] + 1)
    assert np.all(batch[:, 0] % 9 == 0)


def test_growing_batches_read_the_same_windows_in_the_same_order() -> None:
    """What is read up to any step is the first so many windows of the plain stream, across epochs too."""
    sizes = BatchSizes(4, (BatchStage(step=5, sequences=8), BatchStage(step=20, sequences=12)))
    growing = TrainingBatches(STREAM, sequences=sizes, sequence_length=9, seed=3)
    steps = [growing.batch(step) for step in range(40)]
    assert [len(batch) for batch in steps[3:7] + steps[18:22]] == [4, 4, 8, 8, 8, 8, 12, 12]
    plain = batches_of(sequences=1)
    np.testing.assert_array_equal(np.concatenate(steps), plain.dispatch(0, sizes.before(40))[:, 0])
    np.testing.assert_array_equal(growing.dispatch(6, 3, range(2, 5)), np.stack(steps[6:9])[:, 2:5])


@settings(max_examples=60, deadline=None)
@given(
    tokens=st.integers(3, 300),
    sequence_length=st.integers(1, 20),
    sequences=st.integers(1, 8),
    seed=st.integers(0, 2**31),
    largest=st.sampled_from([0, 2**22]),
)
def test_every_epoch_holds_each_window_once(
    tokens: int, sequence_length: int, sequences: int, seed: int, largest: int
) -> None:
    """Under both shuffles: the permutation, and Grain's for streams too long for one (largest = 0)."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(order, "LARGEST_PERMUTATION", largest)
        windows = (tokens - 1) // sequence_length
        if sequences > windows:
            return
        batches = TrainingBatches(STREAM[:tokens], sequences=sequences, sequence_length=sequence_length, seed=seed)
        steps = -(-3 * windows // sequences)
        starts = batches.dispatch(0, steps)[:, :, 0].reshape(-1)
    every = list(range(0, windows * sequence_length, sequence_length))
    assert batches.windows_per_epoch == windows
    for epoch in range(3):
        assert sorted(starts[epoch * windows : (epoch + 1) * windows].tolist()) == every


def test_every_token_but_the_first_is_a_target_once_an_epoch() -> None:
    targets = batches_of(sequences=1).dispatch(0, 111)[:, :, 1:].reshape(-1)
    assert sorted(targets.tolist()) == list(range(1, 1000))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=8), st.integers(0, 500))
def test_dispatch_length_does_not_matter(counts: list[int], first: int) -> None:
    batches = batches_of()
    parts, step = [], first
    for count in counts:
        parts.append(batches.dispatch(step, count))
        step += count
    np.testing.assert_array_equal(np.concatenate(parts), [batches.batch(number) for number in range(first, step)])


def test_order_of_asking_does_not_matter() -> None:
    forwards, backwards = batches_of(), batches_of()
    asked = {step: backwards.batch(step) for step in (900, 3, 0, 55)}
    for step in range(0, 901):
        batch = forwards.batch(step)
        if step in asked:
            np.testing.assert_array_equal(batch, asked[step])


@pytest.mark.parametrize("largest", [0, 2**22])
def test_a_fresh_process_gives_the_same_batches(largest: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order, "LARGEST_PERMUTATION", largest)
    code = (
        "import numpy as np\nfrom scaling.data import pipeline, windows\n"
        f"windows.LARGEST_PERMUTATION = {largest}\n"
        "stream = np.arange(1000, dtype=np.uint16)\n"
        "batches = pipeline.TrainingBatches(stream, sequences=4, sequence_length=9, seed=3)\n"
        "print(batches.dispatch(40, 3)[:, :, 0].tolist())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(batches_of().dispatch(40, 3)[:, :, 0].tolist())


def test_the_order_is_part_of_the_datas_identity() -> None:
    """Recorded from the first version: another order would make resumed runs differ from undisturbed ones."""
    assert (batches_of().batch(0)[:, 0] // 9).tolist() == [82, 28, 22, 96]


def test_seeds_and_epochs_each_have_their_own_order() -> None:
    """No epoch of one seed repeats any epoch of another, as adding the two would have it."""
    orders = [
        tuple(batches_of(seed=seed, sequences=111).batch(epoch)[:, 0].tolist())
        for seed in range(4)
        for epoch in range(4)
    ]
    assert len(set(orders)) == 16


def test_a_memory_map_serves_as_well(tmp_path) -> None:
    np.save(tmp_path / "train.npy", STREAM)
    mapped = TrainingBatches(np.load(tmp_path / "train.npy", mmap_mode="r"), sequences=4, sequence_length=9, seed=3)
    np.testing.assert_array_equal(mapped.dispatch(5, 2), batches_of().dispatch(5, 2))


def test_grain_can_iterate_over_dispatches() -> None:
    batches = batches_of()
    stream = iter(batches.dataset(8)[16::8].to_iter_dataset())
    np.testing.assert_array_equal(next(stream), batches.dispatch(16, 8))
    np.testing.assert_array_equal(next(stream), batches.dispatch(24, 8))


def test_a_batch_larger_than_the_text_is_refused() -> None:
    with pytest.raises(StudyError) as caught:
        batches_of(sequences=112)
    message = str(caught.value)
    assert message.startswith("training.batch_tokens is 1008 (112 sequences of family.sequence_length 9)")
    assert "only 1000 tokens" in message
    assert "use at most 999" in message
    batches_of(sequences=111)


def test_a_sequence_longer_than_the_text_is_refused() -> None:
    with pytest.raises(StudyError, match=r"family.sequence_length 1000\).*use a shorter sequence_length"):
        batches_of(sequence_length=1000)


@pytest.mark.parametrize(("first", "count"), [(-1, 1), (0, 0)])
def test_steps_count_from_zero(first: int, count: int) -> None:
    with pytest.raises(ValueError, match="first_step is"):
        batches_of().dispatch(first, count)


def test_the_public_names_load_when_asked_for() -> None:
    assert data.TrainingBatches is TrainingBatches
    assert all(getattr(data, name) is not None for name in data.__all__)
    with pytest.raises(AttributeError, match="it has ByteTokenizer"):
        _ = data.Trainingbatches
