"""Draws from a box, even in the logarithm of each side: a pure function of the seed, and more draws keep the first."""

import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from scaling.config import is_whole

STREAM = 0x5CA1E
"""Keeps these draws apart from others of the same seed."""


def drawn(ranges: Mapping[str, tuple[float, float]], samples: int, seed: int, even: bool) -> Iterator[dict[str, Any]]:
    """NAME -> value of each draw; `even` takes them from a scrambled Sobol sequence, else they are independent."""
    names = sorted(ranges)
    points = _sobol(len(names), samples, seed) if even else _independent(len(names), samples, seed)
    low = np.log([ranges[name][0] for name in names])
    span = np.log([ranges[name][1] for name in names]) - low
    whole = [is_whole(name) for name in names]
    for row in np.exp(low + points * span).tolist():
        yield {name: round(value) if one else value for name, value, one in zip(names, row, whole, strict=True)}


def _independent(dimensions: int, samples: int, seed: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.random.default_rng([STREAM, seed]).random((samples, dimensions))


def _sobol(dimensions: int, samples: int, seed: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    from scipy.stats import qmc  # takes 0.7 s, which other designs do not need

    sequence = qmc.Sobol(dimensions, scramble=True, rng=np.random.default_rng([STREAM, seed]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a number that is no power of 2 is the user's choice
        return np.asarray(sequence.random(samples))
