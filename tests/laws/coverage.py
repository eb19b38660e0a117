"""How often the intervals hold the truth, and how near the law comes: planted laws, designs like the quickstart's.

Prints one line of the table in docs/laws.md for each cell: `python -m tests.laws.coverage [simulations] [cell ...]`.
"""

import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from scaling import laws
from tests.laws.planted import TRUTH, best_size, loss, study, unit

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
      replicated_budgets: of these, the lowest budgets.
      noise: standard deviation of ln L of a run.
      share: part of its variance common to a trajectory.
      heavy: noise with the tails of Student's t of 3 degrees of freedom.
      bend: ln L gets bend x ln(N / 6e4) x ln(D / 1.2e6), which the form cannot follow.
    """

    name: str
    sizes: int = 10
    budgets: int = 5
    a_budget: int = 6
    replicated: int = 3
    replicated_budgets: int = 3
    noise: float = 0.01
    share: float = 0.5
    heavy: bool = False
    bend: float = 0.0
    hoffmann: bool = False
    delta: float = 1e-2
    method: str = "auto"
    resamples: int = 400

    @property
    def truth(self) -> dict[str, float]:
        return HOFFMANN_LIKE if self.hoffmann else TRUTH


CELLS = (
    Cell("quickstart"),
    Cell("heavy tails", heavy=True),
    Cell("delta 1e-3", delta=1e-3),
    Cell("delta 1e-3, heavy tails", delta=1e-3, heavy=True),
    Cell("least squares", delta=1e3),
    Cell("least squares, heavy tails", delta=1e3, heavy=True),
    Cell("noise 0.2%", noise=0.002),
    Cell("rows independent", share=0.0),
    Cell("trajectories 80%", share=0.8),
    Cell("Hoffmann's exponents", hoffmann=True),
    Cell("7 sizes, 4 budgets, 2 replicated", sizes=7, budgets=4, a_budget=5, replicated=2, replicated_budgets=2),
    Cell("5 sizes, 4 budgets, none replicated", sizes=5, budgets=4, a_budget=3, replicated=0),
    Cell("bent 0.2%", bend=0.002),
    Cell("bent 1%", bend=0.01),
    Cell("trajectories resampled", method="pairs"),
)


@dataclass(frozen=True)
class Outcome:
    """What one simulated study found.

    Attributes:
      held: quantity -> its interval holds the truth.
      half: quantity -> the interval's half width, of a ratio for N*, curve and prediction.
      error: ln of the fitted over the true loss, of a model of the true N* at AHEAD times the largest budget.
    """

    held: dict[str, bool]
    half: dict[str, float]
    error: float


def one(cell: Cell, seed: int) -> Outcome:
    """Draw the cell's study, fit the law to it, ask AHEAD of it."""
    sizes, budgets = np.geomspace(1.1e4, 3.2e5, cell.sizes), np.geomspace(3e10, 5e11, cell.budgets)
    design = {"sizes_a_budget": cell.a_budget, "replicated": cell.replicated}
    table = study(
        cell.noise,
        cell.share,
        seed,
        sizes,
        budgets,
        **design,
        replicated_budgets=cell.replicated_budgets,
        heavy=cell.heavy,
    )
    size, tokens = np.array(table["params"]), np.array(table["tokens"])
    table["loss"] = table["loss"] * true_loss(cell, size, tokens) / loss(size, tokens)
    fit = laws.fit(
        table, "chinchilla", starts=32, resamples=cell.resamples, seed=seed, delta=cell.delta, method=cell.method
    )
    truth, flops = cell.truth, AHEAD * max(table["flops"])
    ideal = best_size(flops, truth)
    best = fit.optimum(flops=flops)
    new_size, new_tokens = best.params.value, flops / (6 * best.params.value)
    said = fit.predict(params=new_size, tokens=new_tokens, runs=RUNS)
    expected = float(true_loss(cell, new_size, new_tokens))
    measured = expected * np.mean(np.exp(cell.noise * unit(np.random.default_rng([seed, 1]), RUNS, cell.heavy)))
    exponent = fit.exponents()["params"]
    held = {name: truth[name] in fit.intervals[name] for name in ("alpha", "beta", "E")} | {
        "N*": ideal in best.params,
        "exponent": truth["beta"] / (truth["alpha"] + truth["beta"]) in exponent,
        "curve": expected in said.confidence,
        "prediction": measured in said.prediction,
    }
    half = {name: _half(fit.intervals[name]) for name in ("alpha", "beta", "E")} | {
        "N*": np.log(best.params.high / best.params.low) / 2,
        "exponent": _half(exponent),
        "curve": _half(said.confidence) / said.loss,
        "prediction": _half(said.prediction) / said.loss,
    }
    ideal_tokens = flops / (6 * ideal)
    error = fit.loss(params=ideal, tokens=ideal_tokens) / true_loss(cell, ideal, ideal_tokens)
    return Outcome(held, half, float(np.log(error)))


def true_loss(cell: Cell, params: Any, tokens: Any) -> Any:
    bend = cell.bend * np.log(params / 6e4) * np.log(tokens / 1.2e6)
    return loss(params, tokens, cell.truth) * np.exp(bend)


def coverage(outcomes: list[Outcome]) -> dict[str, float]:
    """Quantity -> share of the studies whose interval holds the truth."""
    return {name: float(np.mean([outcome.held[name] for outcome in outcomes])) for name in QUANTITIES}


def line(cell: Cell, outcomes: list[Outcome]) -> str:
    """The cell's row of the table: coverage in percent (median half width) of each quantity, then the rms error."""
    held = coverage(outcomes)
    half = {name: float(np.median([outcome.half[name] for outcome in outcomes])) for name in QUANTITIES}
    error = float(np.sqrt(np.mean([outcome.error**2 for outcome in outcomes])))
    shown = [f"{100 * held[name]:.0f} ({_width(name, half[name])})" for name in QUANTITIES]
    return " | ".join([f"| {cell.name}", *shown, f"{100 * error:.2f}% |"])


def _width(name: str, width: float) -> str:
    return f"{100 * width:.1f}%" if name in ("N*", "curve", "prediction") else f"{width:.2g}"


def _half(interval: laws.Interval | laws.Estimate) -> float:
    return (interval.high - interval.low) / 2


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    with ProcessPoolExecutor() as pool:
        for cell in CELLS:
            if not sys.argv[2:] or cell.name in sys.argv[2:]:
                print(line(cell, list(pool.map(partial(one, cell), range(count), chunksize=10))), flush=True)


if __name__ == "__main__":
    main()
