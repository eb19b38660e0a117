"""How often the intervals hold the truth: planted laws, designs like a small study's, noise shared within a trajectory.

Prints one line of the table in docs/laws.md for each cell: `python -m tests.laws.coverage [simulations] [cell ...]`.
"""

import sys
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from scaling import laws
from tests.laws.planted import TRUTH, best_size, loss, study

HOFFMANN_LIKE = {"E": 1.7, "A": 0.5 * 6e4**0.34, "alpha": 0.34, "B": 0.6 * 1.2e6**0.30, "beta": 0.30}
QUANTITIES = ("alpha", "beta", "E", "N*", "exponent", "curve", "prediction")
AHEAD = 4.0
"""N*, curve and prediction are asked at this multiple of the largest budget."""
RUNS = 2


@dataclass(frozen=True)
class Cell:
    """One row of the table.

    Attributes:
      sizes, budgets: geometric grids between fixed ends, about the quickstart's.
      a_budget: sizes trained at each budget.
      replicated: sizes with two more seeds.
      noise: standard deviation of ln L of a run.
      share: part of its variance common to a trajectory.
      bend: ln L gets bend x ln(N / 6e4) x ln(D / 1.2e6), which the form cannot follow.
    """

    name: str
    sizes: int = 7
    budgets: int = 4
    a_budget: int = 5
    replicated: int = 2
    noise: float = 0.005
    share: float = 0.5
    bend: float = 0.0
    hoffmann: bool = False
    delta: float = 1e-3
    method: str = "auto"
    resamples: int = 400

    @property
    def truth(self) -> dict[str, float]:
        return HOFFMANN_LIKE if self.hoffmann else TRUTH


CELLS = (
    Cell("quickstart 0.2%", noise=0.002),
    Cell("quickstart 0.5%"),
    Cell("quickstart 1%", noise=0.01),
    Cell("quickstart, rows independent", share=0.0),
    Cell("quickstart, trajectories 80%", share=0.8),
    Cell("quickstart, Hoffmann-like", hoffmann=True),
    Cell("8 sizes, 5 budgets", sizes=8, budgets=5),
    Cell("5 sizes, 4 budgets, no seeds", sizes=5, a_budget=3, replicated=0),
    Cell("quickstart, least squares", delta=1e3),
    Cell("quickstart, bent 0.2%", bend=0.002),
    Cell("quickstart, bent 1%", bend=0.01),
    Cell("quickstart, pairs", method="pairs"),
)


def one(cell: Cell, seed: int) -> dict[str, tuple[bool, float]]:
    """Quantity -> (interval holds the truth, its relative or absolute half width), for one simulated study."""
    sizes, budgets = np.geomspace(1.1e4, 3.2e5, cell.sizes), np.geomspace(3e10, 5e11, cell.budgets)
    table = study(cell.noise, cell.share, seed, sizes, budgets, cell.a_budget, cell.replicated)
    size, tokens = np.array(table["params"]), np.array(table["tokens"])
    table["loss"] = table["loss"] * true_loss(cell, size, tokens) / loss(size, tokens)
    fit = laws.fit(
        table, "chinchilla", starts=32, resamples=cell.resamples, seed=seed, delta=cell.delta, method=cell.method
    )
    flops = AHEAD * max(table["flops"])
    best = fit.optimum(flops=flops)
    new_size = best.params.value
    new_tokens = flops / (6 * new_size)
    said = fit.predict(params=new_size, tokens=new_tokens, runs=RUNS)
    expected = float(true_loss(cell, new_size, new_tokens))
    measured = expected * np.mean(np.exp(cell.noise * np.random.default_rng([seed, 1]).standard_normal(RUNS)))
    truth = cell.truth
    exponent = truth["beta"] / (truth["alpha"] + truth["beta"])
    found = {name: (truth[name] in fit.intervals[name], _half(fit.intervals[name])) for name in ("alpha", "beta", "E")}
    found["N*"] = (best_size(flops, truth) in best.params, np.log(best.params.high / best.params.low) / 2)
    found["exponent"] = (exponent in fit.exponents()["params"], _half(fit.exponents()["params"]))
    found["curve"] = (expected in said.confidence, _half(said.confidence) / said.loss)
    found["prediction"] = (measured in said.prediction, _half(said.prediction) / said.loss)
    return found


def true_loss(cell: Cell, params: Any, tokens: Any) -> Any:
    bend = cell.bend * np.log(params / 6e4) * np.log(tokens / 1.2e6)
    return loss(params, tokens, cell.truth) * np.exp(bend)


def simulate(cell: Cell, seeds: Iterable[int]) -> dict[str, tuple[float, float]]:
    """Quantity -> (share of the simulations whose interval holds the truth, median half width)."""
    results = [one(cell, seed) for seed in seeds]
    return {
        name: (float(np.mean([r[name][0] for r in results])), float(np.median([r[name][1] for r in results])))
        for name in QUANTITIES
    }


def line(cell: Cell, count: int) -> str:
    """The cell's row of the table."""
    found = simulate(cell, range(count))
    shown = [f"{100 * held:.1f} ({_width(name, width)})" for name, (held, width) in found.items()]
    return " | ".join([f"| {cell.name}", *shown]) + " |"


def _width(name: str, width: float) -> str:
    return f"{100 * width:.1f}%" if name in ("N*", "curve", "prediction") else f"{width:.2g}"


def _half(interval: laws.Interval | laws.Estimate) -> float:
    return (interval.high - interval.low) / 2


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    wanted = [cell for cell in CELLS if not sys.argv[2:] or cell.name in sys.argv[2:]]
    with ProcessPoolExecutor() as pool:
        for text in pool.map(line, wanted, [count] * len(wanted)):
            print(text, flush=True)


if __name__ == "__main__":
    main()
