"""Zipf's law over ranks, and what sources have in common that draw from it. NumPy only."""

import string

import numpy as np
from numpy.typing import NDArray

ALPHABET = string.ascii_lowercase + string.ascii_uppercase + string.digits + string.punctuation
"""A symbol's number -> its character: 94 printable ones, each a byte."""


def zipf(count: int, exponent: float) -> NDArray[np.float64]:
    """p(r) = r^-exponent / sum over r = 1..count: [count], falling."""
    weights = np.arange(1, count + 1, dtype=np.float64) ** -exponent
    return weights / weights.sum()


def entropy(probabilities: NDArray[np.float64]) -> float:
    """-sum p ln p, in nats; 0 ln 0 = 0."""
    some = probabilities[probabilities > 0]
    return float(-np.sum(some * np.log(some)))


def ranks(generator: np.random.Generator, probabilities: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """[count] independent draws, from 0."""
    edges = np.cumsum(probabilities)[:-1]
    return np.searchsorted(edges, generator.random(count), side="right")


def permutations(generator: np.random.Generator, rows: int, count: int) -> NDArray[np.int64]:
    """[rows, count]: each row an order of its own of the numbers below `count`."""
    return np.argsort(generator.random((rows, count)), axis=1)
