"""The input pipeline alone, on one core: tokens a CPU second of batches from a memory map, no step behind it.

    python benchmarks/pipeline.py

Ends with 1 where a case gives less than 10 times what the fastest step takes on one core of a CPU.
"""

import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from scaling.data import Domain, TrainingBatches
from scaling.records import shares

FASTEST_STEP = 120_000
"""Tokens a second that a step of 28.8k parameters takes on one core."""
TOKENS = 100_000_000
SECONDS = 2.0
"""For each case, after one dispatch, which makes the first epoch's order."""
CASES = ((64, 4, 64), (128, 8, 64), (256, 16, 16), (2048, 16, 4), (16, 4, 64))
"""Sequence length, sequences a batch, steps a dispatch. The last has more windows than a permutation is made for."""
MIXTURE = shares({"web": 0.6, "books": 0.3, "code": 0.1})


def main() -> int:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    worst = float("inf")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "train.npy"
        np.save(path, np.random.default_rng(0).integers(0, 257, TOKENS).astype(np.uint16))
        train = np.load(path, mmap_mode="r")
        print(f"{TOKENS:,} tokens, memory-mapped; one core")
        print(f"{'text':>8} {'sequence':>9} {'batch':>6} {'steps a dispatch':>17} {'tokens/s':>12} {'of a step':>10}")
        for length, sequences, count in CASES:
            for text, domains in (("plain", ()), ("mixture", domains_of_three())):
                batches = TrainingBatches(train, sequences=sequences, sequence_length=length, seed=0, domains=domains)
                rate = measured(batches, sequences * length * count, count)
                worst = min(worst, rate)
                times = f"{rate / FASTEST_STEP:,.0f}x"
                print(f"{text:>8} {length:>9} {sequences:>6} {count:>17} {rate:>12,.0f} {times:>10}", flush=True)
    return 0 if worst >= 10 * FASTEST_STEP else 1


def domains_of_three() -> tuple[Domain, ...]:
    edges = np.linspace(0, TOKENS, len(MIXTURE) + 1).astype(int).tolist()
    return tuple(
        Domain(name, slice(start, stop), slice(0), share)
        for (name, share), start, stop in zip(MIXTURE.items(), edges[:-1], edges[1:], strict=True)
    )


def measured(batches: TrainingBatches, tokens: int, count: int) -> float:
    """Tokens a CPU second of dispatches one after another."""
    batches.dispatch(0, count)
    dispatches, started = 0, time.process_time()
    while time.process_time() - started < SECONDS:
        dispatches += 1
        batches.dispatch(dispatches * count, count)
    return tokens * dispatches / (time.process_time() - started)


if __name__ == "__main__":
    sys.exit(main())
