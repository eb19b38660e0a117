"""Windows of a token stream in their shuffled order: any of them at once, epoch after epoch.

W windows of L + 1 tokens, L apart.
"""

import hashlib
from collections import OrderedDict
from functools import lru_cache

import numpy as np
from grain.experimental import index_shuffle
from numpy.typing import NDArray

from scaling.data.tokenizers import TokenArray

LARGEST_PERMUTATION = 2**22
"""Windows above which an epoch's order is Grain's index shuffle, which takes no memory but 4 us a window."""

EPOCHS_KEPT = 2
"""Orders that a stream keeps: a dispatch at the turn of an epoch needs two."""


class Windows:
    """The windows of one stream. Window number k of all epochs is place k mod W of epoch k // W."""

    def __init__(self, stream: TokenArray, sequence_length: int, seed: int, name: str = ""):
        """`name`: of a domain, whose order is then its own."""
        self.count = max(0, (len(stream) - 1) // sequence_length)
        self._length, self._seed, self._name = sequence_length, seed, name
        self._stream, self._orders = stream, OrderedDict[int, NDArray[np.uint32]]()
        self._rows_WL = stream[: self.count * sequence_length].reshape(self.count, sequence_length)

    def take(self, numbers: NDArray[np.int64], out: NDArray[np.int32]) -> None:
        """Windows `numbers` [n], counted over all epochs, into `out` [n, L + 1]."""
        chosen = self._chosen(numbers)
        out[:, :-1] = np.take(self._rows_WL, chosen, axis=0)
        out[:, -1] = self._stream[(chosen + 1) * self._length]

    def _chosen(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        epochs, places = np.divmod(numbers, self.count)
        first, last = int(epochs.min()), int(epochs.max())
        if first == last:
            return self._order(first, places)
        chosen = np.empty_like(places)
        for epoch in range(first, last + 1):
            now = epochs == epoch
            chosen[now] = self._order(epoch, places[now])
        return chosen

    def _order(self, epoch: int, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """The windows at these places of an epoch."""
        if self.count <= LARGEST_PERMUTATION:
            return self._permutation(epoch)[places].astype(np.int64)
        key = int(_epoch_key(self._seed, epoch, self._name) % 2**32)
        last = self.count - 1
        shuffled = [index_shuffle(place, max_index=last, seed=key, rounds=4) for place in places.tolist()]
        return np.array(shuffled, dtype=np.int64)

    def _permutation(self, epoch: int) -> NDArray[np.uint32]:
        """[W]; of the epochs that a dispatch is in now, kept."""
        if epoch not in self._orders:
            self._orders[epoch] = _permutation(self._seed, epoch, self._name, self.count)
            while len(self._orders) > EPOCHS_KEPT:
                self._orders.popitem(last=False)
        return self._orders[epoch]


@lru_cache(maxsize=4)
def _permutation(seed: int, epoch: int, name: str, windows: int) -> NDArray[np.uint32]:
    """[W], a permutation by sorting Philox's raw stream, which NumPy keeps the same in every version."""
    drawn = np.random.Philox(key=_epoch_key(seed, epoch, name)).random_raw(windows)
    return np.argsort(drawn, kind="stable").astype(np.uint32)


def _epoch_key(seed: int, epoch: int, name: str) -> int:
    """128 bits from all. Not their sum: then epoch 1 of seed 0 would repeat epoch 0 of seed 1."""
    said = f"{seed}:{epoch}:{name}" if name else f"{seed}:{epoch}"
    return int.from_bytes(hashlib.sha256(said.encode()).digest()[:16], "little")
