"""Domains of a mixture: where each lies in the streams, and which sequence of the training is of which.

Of every SLOTS sequences each domain has its share, spread evenly: its sequence j of n stands at (j + 1/2) / n of the
way. So sequence k tells by itself which domain it is of, and how many of that domain came before.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from scaling.records import SLOTS, DataRecord, slots


@dataclass(frozen=True)
class Domain:
    """Where the tokens and held-out documents of a domain lie, and its share of the training sequences."""

    name: str
    train: slice
    """Of the training stream."""
    documents: slice
    """Of the held-out documents."""
    share: float


def domains_of(record: DataRecord, mixture: Mapping[str, float]) -> tuple[Domain, ...]:
    """The domains of a mixture, those without a share too; nothing where the text is none."""
    found, train, documents = [], 0, 0
    for one in record.domains:
        found.append(
            Domain(
                name=one.name,
                train=slice(train, train + one.train_tokens),
                documents=slice(documents, documents + one.validation_documents),
                share=mixture.get(one.name, 0.0),
            )
        )
        train += one.train_tokens
        documents += one.validation_documents
    return tuple(found)


class Order:
    """Sequence number -> (domain, number in the domain)."""

    def __init__(self, shares: Mapping[str, float]):
        counts = tuple(slots(shares).values())
        self._counts = np.array(counts, dtype=np.int64)
        self._domains, self._before = _pattern(counts)

    def of(self, numbers: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """([n] which domain, [n] which of its sequences) of sequences `numbers` [n]."""
        rounds, places = np.divmod(numbers, SLOTS)
        domains = self._domains[places]
        return domains, rounds * self._counts[domains] + self._before[places]


@lru_cache(maxsize=8)
def _pattern(counts: tuple[int, ...]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """[SLOTS] the domain at each place, and how many of it came before."""
    domains = np.repeat(np.arange(len(counts)), counts)
    before = np.concatenate([np.arange(count) for count in counts])
    order = np.argsort(np.concatenate([(np.arange(n) + 0.5) / max(n, 1) for n in counts]), kind="stable")
    return domains[order], before[order]
