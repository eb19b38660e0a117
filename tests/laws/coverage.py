"""How often the intervals hold the truth: planted laws, designs of 12 to 200 runs, one line of the table for each cell.

    python -m tests.laws.coverage [--studies 1000] [--resamples 256] [cell ...]

Each study draws its runs anew, fits them as `laws.fit` does and asks of the law what it holds for certain. Studies are
independent between cells as well as within one. The table and what it says: docs/uncertainty.md.
"""

import argparse
import zlib
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from scaling import laws
from scaling.laws import profiling
from tests.laws.planted import TRUTH, best_size, loss, study, unit

HOFFMANN_LIKE = {"E": 1.7, "A": 0.5 * 6e4**0.34, "alpha": 0.34, "B": 0.6 * 1.2e6**0.30, "beta": 0.30}
NO_FLOOR = {"E": 0.0, "A": 0.8 * 6e4**0.15, "alpha": 0.15, "B": 0.9 * 1.2e6**0.2, "beta": 0.2}
LOW_FLOOR = {"E": 0.15, "A": 0.8 * 6e4**0.2, "alpha": 0.2, "B": 0.9 * 1.2e6**0.25, "beta": 0.25}
LOWEST, HIGHEST = 3e10, 5e11
"""FLOPs of the cheapest and dearest runs, about the quickstart's."""
SHAPES = {12: (4, 3), 20: (5, 4), 50: (5, 10), 200: (10, 20)}
"""Runs -> (budgets, sizes at each)."""
AHEAD = (10, 100)
"""N*, curve and run are asked at these multiples of the highest budget."""
QUANTITIES = ("alpha", "beta", "E", *(f"{name} {ahead}x" for ahead in AHEAD for name in ("N*", "curve", "run")))


@dataclass(frozen=True)
class Cell:
    """One row of the table.

    Attributes:
      runs: of an isoflop design, sizes within a factor of 4 of sqrt(C / 120); 0 for the quickstart's own design, where
        horizons of one trajectory cross budgets and three sizes have two more seeds.
      checkpoints: rows of each run: its end, and the halves of its tokens before it.
      horizons: where not 0, `runs` sizes instead, each trained once and measured at this many numbers of tokens.
      noise: standard deviation of ln L of a row.
      share: part of its variance common to a run's checkpoints.
      decaying: the checkpoints' noise has correlation 0.8 from one to the next instead.
      heavy: noise with the tails of Student's t of 3 degrees of freedom.
      varying: the noise grows with C to this power; its mean square stays.
      measured: errors of measurement with known sizes, from a quarter to four times this times the noise.
      bend: ln L gets bend x ln(N / 6e4) x ln(D / 1.2e6), which the form cannot follow.
      profiled: intervals of alpha, beta and E from the profile; no others.
      fit: further arguments of laws.fit; delta is the noise where it names none.
    """

    name: str
    runs: int = 20
    checkpoints: int = 1
    noise: float = 0.01
    horizons: int = 0
    share: float = 0.5
    decaying: bool = False
    heavy: bool = False
    varying: float = 0.0
    measured: float = 0.0
    bend: float = 0.0
    truth: dict[str, float] = field(default_factory=lambda: TRUTH)
    profiled: bool = False
    fit: dict[str, Any] = field(default_factory=dict)

    def design(self) -> dict[str, np.ndarray]:
        """Rows without their losses."""
        if self.runs == 0:
            sizes, budgets = np.geomspace(1.1e4, 3.2e5, 10), np.geomspace(LOWEST, HIGHEST, 5)
            given = study(0.0, 0.0, 0, sizes, budgets, sizes_a_budget=6, replicated=3, replicated_budgets=3)
            return {name: np.array(given[name]) for name in ("params", "tokens", "trajectory")}
        if self.horizons:
            rows = {"params": np.repeat(np.geomspace(1.1e4, 3.2e5, self.runs), self.horizons)}
            rows["tokens"] = np.tile(np.geomspace(2e5, 1e7, self.horizons), self.runs)
            return rows | {"trajectory": np.repeat(np.arange(self.runs), self.horizons)}
        budgets, sizes = SHAPES[self.runs]
        flops = np.repeat(np.geomspace(LOWEST, HIGHEST, budgets), sizes)
        params = np.sqrt(flops / 120) * np.exp(np.tile(np.linspace(-1, 1, sizes), budgets) * np.log(4))
        tokens = (flops / (6 * params))[:, None] * 0.5 ** np.arange(self.checkpoints)
        rows = {"params": np.repeat(params, self.checkpoints), "tokens": tokens.ravel()}
        return rows | {"trajectory": np.repeat(np.arange(self.runs), self.checkpoints)}

    def true_loss(self, params: Any, tokens: Any) -> Any:
        bend = self.bend * np.log(params / 6e4) * np.log(tokens / 1.2e6)
        return loss(params, tokens, self.truth) * np.exp(bend)

    def table(self, generator: np.random.Generator) -> dict[str, Any]:
        """One study's rows."""
        rows = self.design()
        count = len(rows["params"])
        names, place = np.unique(rows["trajectory"], return_inverse=True)
        scatter = unit(generator, count, self.heavy)
        if self.decaying:
            steps = scatter.reshape(-1, self.checkpoints)
            for now in range(1, self.checkpoints):
                steps[:, now] = 0.8 * steps[:, now - 1] + 0.6 * steps[:, now]
        elif len(names) < count:
            common = unit(generator, len(names), self.heavy)[place]
            scatter = np.sqrt(self.share) * common + np.sqrt(1 - self.share) * scatter
        if self.varying:
            size = (rows["params"] * rows["tokens"]) ** self.varying
            scatter = scatter * size / np.sqrt(np.mean(size**2))
        noise = self.noise * scatter
        planted = self.true_loss(rows["params"], rows["tokens"])
        if self.measured:
            error = self.noise * self.measured * np.exp(generator.uniform(-np.log(4), np.log(4), count))
            noise, rows["loss_se"] = noise + error * generator.standard_normal(count), error * planted
        return rows | {"loss": planted * np.exp(noise)}


WIDE = tuple(
    Cell(f"{runs} runs{f' x {kept} checkpoints' if kept > 1 else ''}, noise {100 * noise:g}%", runs, kept, noise)
    for kept in (1, 4)
    for runs in (12, 20, 50, 200)
    for noise in (0.002, 0.01, 0.02)
)
"""The default method where the form is right and the noise is what the noise model says, delta as large as it."""
DEFAULT = tuple(replace(cell, name=f"{cell.name}, delta 1e-3", fit={"delta": 1e-3}) for cell in WIDE)
"""The same with the default delta, close to least absolute deviations: all is as `laws.fit` does unless told."""
HARDER = (
    Cell("quickstart", 0),
    Cell("quickstart, heavy tails", 0, heavy=True),
    Cell("quickstart, delta 1e-3", 0, fit={"delta": 1e-3}),
    Cell("12 runs, least squares", 12, fit={"objective": "least_squares"}),
    Cell("20 runs, heavy tails", 20, heavy=True),
    Cell("50 runs, heavy tails", 50, heavy=True),
    Cell("20 runs, Hoffmann's exponents", 20, truth=HOFFMANN_LIKE),
    Cell("6 sizes x 8 horizons", 6, horizons=8),
    Cell("12 sizes x 8 horizons", 12, horizons=8),
    Cell("20 runs x 4 checkpoints, share 90%", 20, 4, share=0.9),
    Cell("20 runs x 4 checkpoints, decaying", 20, 4, decaying=True),
    Cell("12 runs, E = 0", 12, truth=NO_FLOOR),
    Cell("50 runs, E = 0", 50, truth=NO_FLOOR),
    Cell("12 runs, E near 0", 12, truth=LOW_FLOOR),
    Cell("50 runs, E near 0", 50, truth=LOW_FLOOR),
    Cell("50 runs, noise growing with C^0.4", 50, varying=0.4),
    Cell("20 runs, given errors", 20, measured=1.0, fit={"columns": {"loss_se": "loss_se"}}),
    Cell("50 runs, given errors", 50, measured=1.0, fit={"columns": {"loss_se": "loss_se"}}),
)
"""The default method where something is against it."""
OTHERS = (
    Cell("20 runs, profile, least squares", 20, profiled=True, fit={"objective": "least_squares"}),
    Cell("12 runs, profile, least squares", 12, profiled=True, fit={"objective": "least_squares"}),
    Cell("50 runs, profile, least squares", 50, profiled=True, fit={"objective": "least_squares"}),
    Cell("20 runs, profile, Huber", 20, profiled=True),
    Cell("20 runs x 4 checkpoints, profile, Huber", 20, 4, profiled=True),
    Cell("quickstart, pairs", 0, fit={"method": "pairs"}),
    Cell("6 sizes x 8 horizons, pairs", 6, horizons=8, fit={"method": "pairs"}),
    Cell("12 sizes x 8 horizons, pairs", 12, horizons=8, fit={"method": "pairs"}),
    Cell("12 runs, pairs", 12, fit={"method": "pairs"}),
    Cell("20 runs, pairs", 20, fit={"method": "pairs"}),
    Cell("12 runs x 4 checkpoints, pairs", 12, 4, fit={"method": "pairs"}),
    Cell("20 runs x 4 checkpoints, pairs", 20, 4, fit={"method": "pairs"}),
    Cell("20 runs x 4 checkpoints, rows", 20, 4, fit={"method": "rows"}),
    Cell("50 runs, noise method, noise growing with C^0.4", 50, varying=0.4, fit={"method": "noise"}),
    Cell("quickstart, bent 0.2%", 0, bend=0.002),
    Cell("quickstart, bent 1%", 0, bend=0.01),
)
"""Other methods, and a form that is wrong."""
CELLS = WIDE + DEFAULT + HARDER + OTHERS


@dataclass(frozen=True)
class Outcome:
    """What one study found of one quantity: whether its interval holds the truth, and half its width (of a ratio for
    N*, curve and run)."""

    held: bool
    half: float


def named(name: str) -> Cell:
    """The cell called `name`."""
    return next(cell for cell in CELLS if cell.name == name)


def one(cell: Cell, seed: int, resamples: int = 256, starts: int = 8) -> dict[str, Outcome]:
    """Quantity -> what the study of this seed found."""
    generator = np.random.default_rng([zlib.crc32(cell.name.encode()), seed])
    table = cell.table(generator)
    given = {"delta": cell.noise, "seed": seed, "starts": starts, "resamples": resamples} | cell.fit
    if cell.profiled:
        shown = {name: profiling.profile(table, "chinchilla", name, **given).interval for name in QUANTITIES[:3]}
        return {name: _outcome(interval, cell.truth[name], 1.0) for name, interval in shown.items()}
    fit = laws.fit(table, "chinchilla", **given)
    found = {name: _outcome(fit.intervals[name], cell.truth[name], 1.0) for name in QUANTITIES[:3]}
    for ahead in AHEAD:
        size = best_size(ahead * HIGHEST, cell.truth)
        tokens = ahead * HIGHEST / (6 * size)
        best = fit.optimum(flops=ahead * HIGHEST).params
        said = fit.predict(params=size, tokens=tokens)
        expected = float(cell.true_loss(size, tokens))
        measured = cell.measured * generator.standard_normal()
        new = expected * np.exp(cell.noise * (unit(generator, 1, cell.heavy)[0] + measured))
        ratio = np.log(best.high / best.low) / 2
        found[f"N* {ahead}x"] = Outcome(size in best, float(ratio))
        found[f"curve {ahead}x"] = _outcome(said.confidence, expected, expected)
        found[f"run {ahead}x"] = _outcome(said.prediction, new, expected)
    return found


def _outcome(interval: laws.Interval, truth: float, unit_: float) -> Outcome:
    return Outcome(bool(truth in interval), (interval.high - interval.low) / 2 / unit_)


def coverage(outcomes: list[dict[str, Outcome]]) -> dict[str, float]:
    """Quantity -> share of the studies whose interval holds the truth."""
    return {name: float(np.mean([one[name].held for one in outcomes])) for name in outcomes[0]}


def monte_carlo_error(share: float, studies: int) -> float:
    """Standard error of a share of `studies`; at a share of 0 or 1 that of one study more or less."""
    inner = np.clip(share, 1 / studies, 1 - 1 / studies)
    return float(np.sqrt(inner * (1 - inner) / studies))


def line(cell: Cell, outcomes: list[dict[str, Outcome]]) -> str:
    """The cell's row: percent of the 95% intervals that hold the truth, its Monte-Carlo error, (median half width)."""
    shown = []
    for name in QUANTITIES:
        if name not in outcomes[0]:
            shown.append("")
            continue
        share = coverage(outcomes)[name]
        half = float(np.median([outcome[name].half for outcome in outcomes]))
        width = f"{100 * half:.2g}%" if " " in name else f"{half:.2g}"
        shown.append(f"{100 * share:.1f} ±{100 * monte_carlo_error(share, len(outcomes)):.1f} ({width})")
    return " | ".join([f"| {cell.name}", *shown]) + " |"


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--studies", type=int, default=1000)
    asked.add_argument("--resamples", type=int, default=256)
    asked.add_argument("cells", nargs="*", help="names; all of them when none is given")
    given = asked.parse_args()
    print("| " + " | ".join(["study", *QUANTITIES]) + " |\n|" + "---|" * (len(QUANTITIES) + 1), flush=True)
    for cell in [named(name) for name in given.cells] or CELLS:
        print(line(cell, [one(cell, seed, given.resamples) for seed in range(given.studies)]), flush=True)


if __name__ == "__main__":
    main()
