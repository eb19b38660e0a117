"""Quadratics in one or two inputs over a box: their terms, slopes, and where they are least. Plain NumPy.

q(x) = c + g.x + x'Hx / 2;   coefficients in the order c, g_i, H_ii, H_12
"""

import numpy as np

from scaling.laws.forms import Floats

FLAT = 1e-12
"""Curvature up to which a quadratic does not open upwards."""


def terms(x: Floats) -> Floats:
    """(..., k) -> (..., terms): 1, x_i, x_i^2 / 2, products of two."""
    products = [x[..., i] * x[..., j] for i, j in _pairs(x.shape[-1])]
    ones = np.ones(x.shape[:-1])
    return np.stack([ones, *np.moveaxis(x, -1, 0), *np.moveaxis(x**2 / 2, -1, 0), *products], axis=-1)


def cubes(x: Floats) -> Floats:
    """(rows, k) -> (rows, terms): every product of three."""
    size = x.shape[-1]
    triples = [(i, j, k) for i in range(size) for j in range(i, size) for k in range(j, size)]
    return np.stack([x[:, i] * x[:, j] * x[:, k] for i, j, k in triples], axis=1)


def term_count(size: int) -> int:
    """Terms of a quadratic in `size` inputs."""
    return 1 + 2 * size + len(_pairs(size))


def slopes(x: Floats) -> Floats:
    """(k,) -> (k, terms): derivative of each term by each input."""
    size = len(x)
    found = np.zeros((size, term_count(size)))
    for i in range(size):
        found[i, 1 + i], found[i, 1 + size + i] = 1.0, x[i]
    for place, (i, j) in enumerate(_pairs(size)):
        found[i, 1 + 2 * size + place], found[j, 1 + 2 * size + place] = x[j], x[i]
    return found


def curvature(coefficients: Floats, size: int) -> Floats:
    """(..., terms) -> H (..., k, k)."""
    found = np.zeros((*coefficients.shape[:-1], size, size))
    for i in range(size):
        found[..., i, i] = coefficients[..., 1 + size + i]
    for place, (i, j) in enumerate(_pairs(size)):
        found[..., i, j] = found[..., j, i] = coefficients[..., 1 + 2 * size + place]
    return found


def told(design: Floats) -> Floats:
    """The design (rows, terms) with zeros for the terms that follow from those before them."""
    found = np.zeros_like(design)
    rank = 0
    for index, column in enumerate(design.T):
        if np.linalg.norm(column) <= 1e-9:
            continue
        found[:, index] = column
        used = found[:, np.any(found != 0, axis=0)]
        if np.linalg.matrix_rank(used / np.linalg.norm(used, axis=0), tol=1e-6) > rank:
            rank += 1
        else:
            found[:, index] = 0.0
    return found


def lowest(coefficients: Floats, low: Floats, high: Floats) -> tuple[Floats, Floats]:
    """(x (..., k), q (...)) where the quadratic is least in the box [low, high] (k,); exact for one and two inputs."""
    size, shape = len(low), coefficients.shape[:-1]
    slope, bend = coefficients[..., 1 : 1 + size], curvature(coefficients, size)
    corners = np.stack(np.meshgrid(*np.stack([low, high], axis=1), indexing="ij"), axis=-1).reshape(-1, size)
    points = [np.broadcast_to(corner, (*shape, size)) for corner in corners]
    for i in range(size):
        for end in (low, high):
            x = np.broadcast_to(end, (*shape, size)).copy()
            pull = slope[..., i] + sum((bend[..., i, j] * x[..., j] for j in range(size) if j != i), np.array(0.0))
            x[..., i] = _stationary(pull, bend[..., i, i])
            points.append(np.clip(x, low, high))
    if size == 2:
        determinant = bend[..., 0, 0] * bend[..., 1, 1] - bend[..., 0, 1] ** 2
        determinant = np.where(bend[..., 0, 0] > 0, determinant, 0.0)
        inside = [
            _stationary(slope[..., i] * bend[..., j, j] - slope[..., j] * bend[..., 0, 1], determinant)
            for i, j in ((0, 1), (1, 0))
        ]
        points.append(np.clip(np.stack(inside, axis=-1), low, high))
    stacked = np.stack(points)
    values = np.sum(terms(stacked) * coefficients, axis=-1)
    best = np.argmin(values, axis=0)
    return np.take_along_axis(stacked, best[None, ..., None], axis=0)[0], np.min(values, axis=0)


def _pairs(size: int) -> list[tuple[int, int]]:
    return [(i, j) for i in range(size) for j in range(i)]


def _stationary(pull: Floats, bend: Floats) -> Floats:
    """-pull / bend where that is a minimum, else 0, which then loses against an end of the box."""
    opens = bend > FLAT
    return np.where(opens, -pull / np.where(opens, bend, 1.0), 0.0)
