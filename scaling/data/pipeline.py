"""Training batches: a pure function of (seed, step), served by Grain.

Windows of sequence_length + 1 tokens lie `sequence_length` apart in the training stream, so that every token but
the first is a target once an epoch (and but for a tail shorter than a window). Window number

    k = sequences before step + row,   epoch, place = divmod(k, windows),   window = shuffle[seed, epoch](place)

so a batch depends on nothing but (seed, step): not on hosts, devices, dispatch length, or where a run resumed.
To resume, the step is enough.

B sequences a batch, L sequence length, K steps a dispatch, W windows.
"""

import hashlib
from functools import lru_cache

import grain
import numpy as np
from grain.experimental import index_shuffle
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from scaling.config import StudyError
from scaling.data.tokenizers import TokenArray
from scaling.records import BatchSizes

ENDLESS = 2**48
"""Length of the stream of batches, in steps: Grain asks for one, and no training gets there."""
LARGEST_PERMUTATION = 2**22
"""Windows above which an epoch's order is Grain's index shuffle, which takes no memory but 4 us a window."""


class TrainingBatches:
    """Batches of training sequences as a pure function of (seed, step)."""

    def __init__(self, train: TokenArray, *, sequences: int | BatchSizes, sequence_length: int, seed: int):
        """Set up random access; nothing is read yet.

        Args:
          train: [tokens], the training stream.
          sequences: B, sequences a batch, or how they grow.
          sequence_length: L, tokens that a sequence predicts.
          seed: of the order of the windows.

        Raises:
          StudyError: one batch is larger than the training text.
        """
        sizes = sequences if isinstance(sequences, BatchSizes) else BatchSizes(sequences)
        reader = _Reader(train, sizes, sequence_length, seed)
        sequences = max(sizes.sizes)
        if sequences > reader.windows:
            room = f"use at most {reader.windows * sequence_length}, or give more text"
            raise StudyError(
                f"training.batch_tokens is {sequences * sequence_length} ({sequences} sequences of "
                f"family.sequence_length {sequence_length}), but the training text has only {len(train)} tokens "
                f"({reader.windows} such sequences); "
                + (room if reader.windows else "use a shorter sequence_length, or give more text")
            )
        self.sizes = sizes
        self.sequence_length = sequence_length
        self.windows_per_epoch = reader.windows
        self._reader = reader
        self._datasets: dict[int, grain.MapDataset[NDArray[np.int32]]] = {}

    def batch(self, step: int) -> NDArray[np.int32]:
        """Tokens [B, L + 1] of optimiser step `step`, counted from 0: inputs [:, :-1], targets [:, 1:]."""
        return self.dispatch(step, 1)[0]

    def dispatch(self, first_step: int, count: int, rows: range | None = None) -> NDArray[np.int32]:
        """Tokens [K, B, L + 1] of the `count` = K steps from first_step on: the same as K calls of batch.

        All of these batches are of one size. With `rows` those rows of each batch alone, [K, rows, L + 1]: nothing else
        of the text is read.
        """
        if first_step < 0 or count < 1:
            raise ValueError(f"first_step is {first_step} and count {count}; use at least 0 and at least 1")
        if rows is not None and rows != range(self.sizes.at(first_step)):
            return self._reader.read(first_step, count, rows)
        return self.dataset(count)[first_step]

    def dataset(self, count: int) -> grain.MapDataset[NDArray[np.int32]]:
        """Grain's random access to dispatches: element i is steps i to i + count - 1, [K, B, L + 1].

        `dataset(count)[::count]` is the stream of dispatches, for Grain's own prefetching and sharding.
        """
        if count not in self._datasets:
            self._datasets[count] = grain.MapDataset.source(_DispatchSource(self._reader, count))
        return self._datasets[count]


class _DispatchSource:
    """Grain's random-access protocol over a reader. One element is a whole dispatch, because Grain's own cost is
    some 10 us an element, and a step of a small model takes about a hundred of those."""

    def __init__(self, reader: "_Reader", count: int):
        self._reader = reader
        self._count = count

    def __len__(self) -> int:
        return ENDLESS

    def __getitem__(self, first_step: int) -> NDArray[np.int32]:
        return self._reader.read(int(first_step), self._count)


class _Reader:
    """Windows of the training stream in their shuffled order."""

    def __init__(self, train: TokenArray, sizes: BatchSizes, sequence_length: int, seed: int):
        self.windows = max(0, (len(train) - 1) // sequence_length)
        self._sizes = sizes
        self._seed = seed
        if self.windows:
            self._windows_WL = sliding_window_view(train, sequence_length + 1)[::sequence_length]

    def read(self, first_step: int, count: int, rows: range | None = None) -> NDArray[np.int32]:
        """[K, B, L + 1], the batches of `count` steps, or some rows of them, in one gather."""
        size = self._sizes.at(first_step)
        row = np.arange(size, dtype=np.int64) if rows is None else np.array(rows, dtype=np.int64)
        first = self._sizes.before(first_step) + size * np.arange(count, dtype=np.int64)[:, None]
        epochs, places = np.divmod(first + row, self.windows)
        chosen = np.empty_like(places)
        for epoch in range(int(epochs[0, 0]), int(epochs[-1, -1]) + 1):
            now = epochs == epoch
            chosen[now] = self._order(epoch, places[now])
        return self._windows_WL[chosen].astype(np.int32)

    def _order(self, epoch: int, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """The windows at these places of an epoch."""
        if self.windows <= LARGEST_PERMUTATION:
            return _permutation(self._seed, epoch, self.windows)[places]
        key = int(_epoch_key(self._seed, epoch) % 2**32)
        last = self.windows - 1
        shuffled = [index_shuffle(place, max_index=last, seed=key, rounds=4) for place in places.tolist()]
        return np.array(shuffled, dtype=np.int64)


@lru_cache(maxsize=4)
def _permutation(seed: int, epoch: int, windows: int) -> NDArray[np.int64]:
    """[W], a permutation by sorting Philox's raw stream, which NumPy keeps the same in every version."""
    return np.argsort(np.random.Philox(key=_epoch_key(seed, epoch)).random_raw(windows), kind="stable")


def _epoch_key(seed: int, epoch: int) -> int:
    """128 bits from both. Not their sum: then epoch 1 of seed 0 would repeat epoch 0 of seed 1."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{epoch}".encode()).digest()[:16], "little")
