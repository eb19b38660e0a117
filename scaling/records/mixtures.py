"""Mixtures: how many of every SLOTS training sequences are of each domain."""

from collections.abc import Mapping

SLOTS = 126_000
"""Sequences in which a mixture's shares come out exactly: tenths, thirds, sevenths, thousandths are whole numbers."""


def slots(weights: Mapping[str, float]) -> dict[str, int]:
    """Domain -> its sequences of every SLOTS, nearest to its weight over their sum; largest remainders make them whole.

    A weight above 0 is at least one.
    """
    total = sum(weights.values())
    exact = {name: weight / total * SLOTS for name, weight in weights.items()}
    found = {name: max(int(share), 1 if share > 0 else 0) for name, share in exact.items()}
    by_remainder = sorted(exact, key=lambda name: found[name] - exact[name])
    for name in by_remainder[: max(0, SLOTS - sum(found.values()))]:
        found[name] += 1
    largest = max(found, key=lambda name: found[name])
    found[largest] += SLOTS - sum(found.values())
    return found


def shares(weights: Mapping[str, float]) -> dict[str, float]:
    """Domain -> its share of the training sequences, as `slots` has it; nothing of nothing."""
    return {name: count / SLOTS for name, count in slots(weights).items()} if weights else {}
