"""Tables whose law is known: designs like a small study's, with noise shared within a trajectory."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

PUBLISHED = Path(__file__).parents[3] / "shared" / "data"
TRUTH = {"E": 1.2, "A": 0.8 * 6e4**0.4, "alpha": 0.4, "B": 0.9 * 1.2e6**0.45, "beta": 0.45}
SIZES = np.array([1.1e4, 2.4e4, 4.4e4, 7e4, 1.05e5, 1.9e5, 3.2e5])
BUDGETS = np.array([3e10, 8e10, 2e11, 5e11])


def published(*parts: str) -> Path:
    """A table of measured runs beside the checkout; the test is skipped where it is absent."""
    path = PUBLISHED.joinpath(*parts)
    if not path.is_file():
        pytest.skip(f"the published table {'/'.join(parts)} is not beside this checkout")
    return path


def loss(params: Any, tokens: Any, truth: dict[str, float] = TRUTH) -> Any:
    return truth["E"] + truth["A"] / params ** truth["alpha"] + truth["B"] / tokens ** truth["beta"]


def best_size(flops: float, truth: dict[str, float] = TRUTH) -> float:
    """N*(C) under C = 6 N D (Hoffmann 2022, eq. 4)."""
    a, b = truth["alpha"], truth["beta"]
    ratio = a * truth["A"] / (b * truth["B"])
    return float(ratio ** (1 / (a + b)) * (flops / 6) ** (b / (a + b)))


def unit(generator: np.random.Generator, count: int, heavy: bool) -> np.ndarray[Any, Any]:
    """`count` draws of variance 1: normal, or heavy-tailed."""
    return generator.standard_t(3, count) / np.sqrt(3) if heavy else generator.standard_normal(count)


def study(
    noise: float = 0.0,
    share: float = 0.5,
    seed: int = 0,
    sizes: np.ndarray[Any, Any] = SIZES,
    budgets: np.ndarray[Any, Any] = BUDGETS,
    sizes_a_budget: int = 5,
    replicated: int = 2,
    replicated_budgets: int = 2,
    heavy: bool = False,
) -> dict[str, list[Any]]:
    """Isoflop design: one trajectory a size with a horizon a budget; the smallest sizes with two more seeds each.

    ln L has standard deviation `noise`, normal or with the heavy tails of Student's t of 3 degrees of freedom; `share`
    of its variance is common to a trajectory.
    """
    cells = []
    for flops in budgets:
        nearest = np.argsort(np.abs(np.log(sizes / np.sqrt(flops / 120))))[:sizes_a_budget]
        cells += [(sizes[index], flops, 0) for index in sorted(nearest)]
    for size in sizes[:replicated]:
        lowest = [cell for cell in cells if cell[0] == size and cell[2] == 0][:replicated_budgets]
        cells += [(size, flops, other) for other in (1, 2) for _, flops, _ in lowest]
    params = np.array([size for size, _, _ in cells])
    flops = np.array([budget for _, budget, _ in cells])
    trajectory = [f"n{size:.0f}-s{own}" for size, _, own in cells]
    generator = np.random.default_rng(seed)
    names, place = np.unique(trajectory, return_inverse=True)
    common = np.sqrt(share) * unit(generator, len(names), heavy)[place]
    scatter = noise * (common + np.sqrt(1 - share) * unit(generator, len(cells), heavy))
    tokens = flops / (6 * params)
    return {
        "params": params.tolist(),
        "tokens": tokens.tolist(),
        "flops": flops.tolist(),
        "budget": flops.tolist(),
        "loss": (loss(params, tokens) * np.exp(scatter)).tolist(),
        "trajectory": trajectory,
        "seed": [own for _, _, own in cells],
        "role": ["fit"] * len(cells),
        "params_convention": ["with_embeddings"] * len(cells),
        "flops_convention": ["6N"] * len(cells),
    }
