"""CPU seconds of one fit and of one resample, side by side: this engine, the literature's recipe, a package from PyPI.

    python benchmarks/fit.py                      on 240 planted runs
    python benchmarks/fit.py TABLE --columns params="Model Size" flops="Training FLOP" --drop-highest-loss 5

All do the same on one core: L = E + A / N^alpha + B / D^beta, the sum of Huber_1e-3 over residuals of ln L. The recipe
(Hoffmann et al. 2022, appendix D.3) is SciPy's L-BFGS-B with numerical gradients from 4,500 starts, and one run from
the optimum for each resample. It and the package are timed on some of the starts and scaled to all.
"""

import argparse
import functools
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

if hasattr(os, "sched_setaffinity"):
    # Before NumPy and JAX start their threads: a second core would hide what a first one has to do.
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})

import numpy as np
import polars as pl
from scipy.optimize import minimize
from scipy.special import logsumexp

from scaling import laws
from scaling.cli.parsing import pairs
from scaling.laws import solver, uncertainty
from scaling.laws.forms import form_named
from scaling.laws.objective import Objective, huber

DELTA = 1e-3
GRID = {
    "e": np.arange(-1.0, 1.01, 0.5),
    "a": np.arange(0.0, 25.1, 5.0),
    "b": np.arange(0.0, 25.1, 5.0),
    "alpha": np.arange(0.0, 2.01, 0.5),
    "beta": np.arange(0.0, 2.01, 0.5),
}
"""Starts of Hoffmann et al. 2022, appendix D.3: ln E, ln A, ln B, alpha, beta."""
STARTS = int(np.prod([len(values) for values in GRID.values()]))
TIGHT = {"ftol": 1e-15, "gtol": 1e-12, "maxiter": 10**5, "maxfun": 10**6}
"""SciPy's own settings stop a resample far above its optimum."""
CLOSE = 1e-6
"""Relative excess of the objective up to which a start has reached the optimum."""
FASTER_FIT, FASTER_RESAMPLE = 50, 200
"""What the engine has to be, against each of the others."""

Found = dict[str, Any]
"""fit: CPU seconds; resample: CPU seconds; objectives: of the starts; and what is particular to one."""


def main() -> None:
    given = arguments()
    table = laws.read(given.table or planted(), pairs(given.columns, "--columns", "params=N"), None, given.drop)
    if given.package_only:
        print(json.dumps(package(table)))
        return
    ours = engine(table, given.resamples)
    scipys = recipe(table, given.subset, ours["optimum"])
    theirs = in_fresh_process()
    print(f"\n{table.rows} runs, one core; CPU seconds, compilation apart ({ours['compilation']:.2f} s once a form)\n")
    print(f"{'':34}{'s a fit':>10}{'ratio':>8}{'ms a resample':>15}{'ratio':>10}  {'objective':17}at optimum")
    best = min(min(one["objectives"]) for one in (ours, scipys, theirs) if one)
    row("this engine, 256 starts", ours, ours, best)
    row(f"SciPy L-BFGS-B, {given.subset} of {STARTS:,} starts", scipys, ours, best)
    if theirs:
        row(f"PyPI chinchilla, 32 of {STARTS:,} starts", theirs, ours, best)
    else:
        print("PyPI chinchilla: not installed (pip install 'scaling[bench]')")
    print(f"\n{given.resamples:,} resamples of this engine: noise {ours['noise']:.2f} s, pairs {ours['pairs']:.2f} s")
    print(
        f"SciPy's resample: one run from the optimum with ftol {TIGHT['ftol']:g} and gtol {TIGHT['gtol']:g}, ending "
        f"above the engine's by a median of {scipys['excess']:.0e};\nwith its own settings "
        f"{1e3 * scipys['quick']:.1f} ms, {scipys['quick'] / ours['resample']:.0f} times the engine's, and it ends "
        f"{scipys['quick_excess']:.0e} above.\nThe package has no resamples: each is a fit"
    )
    cold(given)
    others = [one for one in (scipys, theirs) if one]
    fit = min(one["fit"] for one in others) / ours["fit"]
    resample = min(one["resample"] for one in others) / ours["resample"]
    good = fit >= FASTER_FIT and resample >= FASTER_RESAMPLE
    print(
        f"faster by {fit:,.0f} times a fit (at least {FASTER_FIT}) and {resample:,.0f} times a resample "
        f"(at least {FASTER_RESAMPLE}): {'yes' if good else 'NO'}"
    )
    sys.exit(0 if good else 1)


def row(name: str, one: Found, ours: Found, best: float) -> None:
    share = np.mean(np.asarray(one["objectives"]) <= best * (1 + CLOSE))
    fit, resample = one["fit"] / ours["fit"], one["resample"] / ours["resample"]
    line = f"{name:34}{one['fit']:10.3f}{fit:8,.0f}{1e3 * one['resample']:15.3f}{resample:10,.0f}"
    print(f"{line}  {min(one['objectives']):<17.12g}{share:.1%} of starts")


def planted() -> dict[str, Any]:
    """240 runs of a known law, spread as those of Hoffmann et al. 2022, with noise of 1%."""
    generator = np.random.default_rng(0)
    params = 10 ** generator.uniform(7.6, 10.2, 240)
    tokens = 10 ** generator.uniform(9.0, 11.5, 240)
    loss = 1.82 + 478 / params**0.347 + 2143 / tokens**0.367
    return {"params": params, "tokens": tokens, "loss": loss * np.exp(0.01 * generator.standard_normal(240))}


def problem_of(table: laws.Table) -> solver.Problem:
    """The law on `table`, as this engine takes it."""
    logs = {"params": np.log(table.params), "tokens": np.log(table.tokens)}
    target, objective = np.log(table.target), Objective("huber", DELTA, "log")
    return solver.Problem(form_named("chinchilla"), logs, target, table.weight, objective)


def engine(table: laws.Table, resamples: int) -> Found:
    """This engine: 256 starts, and both ways to resample."""
    problem = problem_of(table)
    starts = solver.default_starts(problem, 256, 0)
    first, _ = timed(lambda: solver.solve(problem, starts))
    five, solution = timed(lambda: [solver.solve(problem, starts) for _ in range(5)][-1])
    z = solution.z[int(np.argmin(solution.objective))]
    ways = {
        way: timed(functools.partial(uncertainty.resample, problem, z, table.cluster, resamples, 1, way))[0]
        for way in ("noise", "pairs")
    }
    return ways | {
        "fit": five / 5,
        "compilation": first - five / 5,
        "resample": max(ways.values()) / resamples,
        "objectives": solution.objective,
        "optimum": {name: float(value) for name, value in problem.natural(z).items()},
    }


def recipe(table: laws.Table, subset: int, optimum: dict[str, float]) -> Found:
    """The literature's: `subset` random starts of the grid, scaled to all; 20 resamples from the optimum."""
    log_n, log_d, log_l = np.log(table.params), np.log(table.tokens), np.log(table.target)

    def objective(p: Any, weights: Any) -> float:
        e, a, b, alpha, beta = p
        terms = np.stack(np.broadcast_arrays(e, a - alpha * log_n, b - beta * log_d))
        return float(np.sum(weights * huber(logsumexp(terms, axis=0) - log_l, DELTA)))

    def run(start: Any, weights: Any = 1.0, **options: float) -> float:
        return float(minimize(objective, start, (weights,), method="L-BFGS-B", options=options).fun)

    generator = np.random.default_rng(0)
    grid = np.array(list(itertools.product(*GRID.values())))
    picked = grid[generator.choice(len(grid), subset, replace=False)]
    seconds, objectives = timed(lambda: [run(start) for start in picked])
    best = [*(float(np.log(optimum[name])) for name in ("E", "A", "B")), optimum["alpha"], optimum["beta"]]
    drawn = generator.multinomial(table.rows, np.full(table.rows, 1 / table.rows), size=20).astype(float)
    problem = problem_of(table)
    exact = solver.solve(problem, np.tile(problem.coordinates(optimum), (len(drawn), 1)), weights=drawn).objective
    quick, stopped = timed(lambda: [run(best, weights) for weights in drawn])
    again, ended = timed(lambda: [run(best, weights, **TIGHT) for weights in drawn])
    return {
        "fit": seconds * len(grid) / subset,
        "resample": again / len(drawn),
        "excess": float(np.median(np.array(ended) / exact - 1)),
        "quick": quick / len(drawn),
        "quick_excess": float(np.median(np.array(stopped) / exact - 1)),
        "objectives": objectives,
    }


def package(table: laws.Table) -> Found | None:
    """PyPI's `chinchilla`: BFGS, numerical gradients in long double; 32 of the grid's starts, scaled to all."""
    try:
        import pandas
        from chinchilla import Chinchilla, core
        from chinchilla._metrics import log_huber
    except ImportError:
        return None
    corners = {name: (float(values[1]), float(values[-2])) for name, values in GRID.items()}
    with tempfile.TemporaryDirectory() as folder:
        theirs = Chinchilla(folder, param_grid=corners, loss_fn=functools.partial(log_huber, delta=DELTA), log_level=50)
    columns = {"C": table.flops, "N": table.params, "D": table.tokens, "loss": table.target}
    theirs.database.df = pandas.DataFrame(columns)
    theirs.visualizer.optim = lambda *_, **__: None  # drawing is no part of the fit
    objectives: list[float] = []
    own = core.sciop.minimize

    def watched(*given: Any, **options: Any) -> Any:
        result = own(*given, **options)
        objectives.append(float(result.fun) * table.rows)  # the package minimises the mean
        return result

    core.sciop.minimize = watched
    seconds, _ = timed(lambda: theirs.fit(parallel=False))
    fit = seconds * STARTS / len(objectives)
    return {"fit": fit, "resample": fit, "objectives": objectives}


def in_fresh_process() -> Found | None:
    """`package` where it is installed, in a process in which no thread of JAX runs when it forks."""
    command = [sys.executable, __file__, *sys.argv[1:], "--package-only"]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"MPLBACKEND": "agg"}, check=True)
    found: Found | None = json.loads(done.stdout.splitlines()[-1])
    return found


def cold(given: argparse.Namespace) -> None:
    """What a fresh `scaling fit` costs, with nothing compiled before."""
    with tempfile.TemporaryDirectory() as folder:
        path = given.table or Path(folder) / "planted.csv"
        if not given.table:
            pl.DataFrame(planted()).write_csv(path)
        command = [sys.executable, "-c", "from scaling.cli import main; main()", "fit", str(path)]
        command += ["--resamples", "1000", "--drop-highest-loss", str(given.drop)]
        command += ["--columns", *given.columns] if given.columns else []
        wall = time.perf_counter()
        seconds, _ = timed(lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL))
        wall = time.perf_counter() - wall
    print(f"\na fresh `scaling fit` with 1,000 resamples: {seconds:.1f} CPU s, {wall:.1f} s of wall time")


def timed(do: Callable[[], Any]) -> tuple[float, Any]:
    """(CPU seconds of this process and of its finished children, what `do` returned)."""

    def now() -> float:
        children = os.times()
        return time.process_time() + children.children_user + children.children_system

    before = now()
    result = do()
    return now() - before, result


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", nargs="?", help="measured runs; planted ones where it is left out")
    parser.add_argument("--columns", nargs="+", default=[], metavar="NAME=COLUMN", help="as for scaling fit")
    parser.add_argument("--drop-highest-loss", type=int, default=0, dest="drop", metavar="K")
    parser.add_argument("--subset", type=int, default=90, metavar="K", help="starts of the recipe that are timed")
    parser.add_argument("--resamples", type=int, default=4000, metavar="K")
    parser.add_argument("--package-only", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
