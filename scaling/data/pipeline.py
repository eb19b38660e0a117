"""Training batches: a pure function of (seed, step), served by Grain.

Windows of sequence_length + 1 tokens lie `sequence_length` apart in the training stream, so that every token but
the first is a target once an epoch (and but for a tail shorter than a window). Window number

    k = sequences before step + row,   epoch, place = divmod(k, windows),   window = shuffle[seed, epoch](place)

(for a mixture each domain has windows and an order of its own, and k tells which domain's turn it is: domains.py),
so a batch depends on nothing but (seed, step): not on hosts, devices, dispatch length, or where a run resumed.
To resume, the step is enough.

B sequences a batch, L sequence length, K steps a dispatch, W windows.
"""

from collections.abc import Sequence

import grain
import numpy as np
from numpy.typing import NDArray

from scaling.config import StudyError
from scaling.data.domains import Domain, Order
from scaling.data.tokenizers import TokenArray
from scaling.data.windows import Windows
from scaling.records import BatchSizes

ENDLESS = 2**48
"""Length of the stream of batches, in steps: Grain asks for one, and no training gets there."""


class TrainingBatches:
    """Batches of training sequences as a pure function of (seed, step)."""

    def __init__(
        self,
        train: TokenArray,
        *,
        sequences: int | BatchSizes,
        sequence_length: int,
        seed: int,
        domains: Sequence[Domain] = (),
    ):
        """Set up random access; nothing is read yet.

        Args:
          train: [tokens], the training stream.
          sequences: B, sequences a batch, or how they grow.
          sequence_length: L, tokens that a sequence predicts.
          seed: of the order of the windows.
          domains: of a mixture; those without a share are left out.

        Raises:
          StudyError: one batch is larger than the training text.
        """
        sizes = sequences if isinstance(sequences, BatchSizes) else BatchSizes(sequences)
        reader = _reader(train, sizes, sequence_length, seed, [one for one in domains if one.share])
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
    """Windows of one stream, or of a mixture's domains."""

    def __init__(self, sizes: BatchSizes, sequence_length: int, streams: Sequence[Windows], order: Order | None):
        self.windows = sum(stream.count for stream in streams)
        self._sizes, self._length = sizes, sequence_length
        self._streams, self._order = streams, order

    def read(self, first_step: int, count: int, rows: range | None = None) -> NDArray[np.int32]:
        """[K, B, L + 1], the batches of `count` steps, or some rows of them, in one gather."""
        size = self._sizes.at(first_step)
        row = np.arange(size, dtype=np.int64) if rows is None else np.array(rows, dtype=np.int64)
        first = self._sizes.before(first_step) + size * np.arange(count, dtype=np.int64)[:, None]
        numbers = (first + row).reshape(-1)
        out = np.empty((len(numbers), self._length + 1), dtype=np.int32)
        if self._order is None:
            self._streams[0].take(numbers, out)
        else:
            which, own = self._order.of(numbers)
            for domain, stream in enumerate(self._streams):
                mine = np.flatnonzero(which == domain)
                if mine.size:
                    part = np.empty((len(mine), self._length + 1), dtype=np.int32)
                    stream.take(own[mine], part)
                    out[mine] = part
        return out.reshape(count, len(row), self._length + 1)


def _reader(
    train: TokenArray, sizes: BatchSizes, sequence_length: int, seed: int, domains: Sequence[Domain]
) -> _Reader:
    if not domains:
        return _Reader(sizes, sequence_length, [Windows(train, sequence_length, seed)], None)
    streams = [Windows(train[one.train], sequence_length, seed, one.name) for one in domains]
    for one, stream in zip(domains, streams, strict=True):
        if stream.count < max(sizes.sizes) * one.share:
            raise StudyError(
                f"data.mixture.{one.name} has {one.train.stop - one.train.start} training tokens, {stream.count} "
                f"sequences of family.sequence_length {sequence_length}: less than its share of one batch of "
                f"{max(sizes.sizes)}; use a smaller training.batch_tokens or weight, or give it more text"
            )
    return _Reader(sizes, sequence_length, streams, Order({one.name: one.share for one in domains}))
