"""CPU seconds of one fit and of one resample, side by side: this engine, the literature's recipe, a package from PyPI.

    python benchmarks/fit.py                      on 240 planted runs
    python benchmarks/fit.py TABLE --columns params="Model Size" flops="Training FLOP" --drop-highest-loss 5

All do the same: L = E + A / N^alpha + B / D^beta, the sum of Huber_1e-3 over residuals of ln L, on one core. The
recipe (Hoffmann et al. 2022, appendix D.3; Besiroglu et al. 2024) is SciPy's L-BFGS-B with numerical gradients from
4,500 starts, and once more from the optimum for each resample. It and the package are timed on some of the starts and
scaled to all.
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
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

if hasattr(os, "sched_setaffinity"):
    # Before NumPy and JAX start their threads: a second core would hide what a first one has to do.
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})

import numpy as np
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
CLOSE = 1e-6
"""Relative excess of the objective up to which a start has reached the optimum."""
FASTER_FIT, FASTER_RESAMPLE = 50, 200
"""What the engine has to be, against each of the others."""


def main() -> None:
    given = _arguments()
    table = laws.read(given.table or planted(), pairs(given.columns, "--columns", "params=N"), None, given.drop)
    if given.package_only:
        print(json.dumps(package(table)))
        return
    ours = engine(table, given.resamples)
    found = {
        "this engine": ours,
        f"SciPy L-BFGS-B, {given.subset} of {STARTS} starts": recipe(table, given.subset, ours.pop("z")),
        "PyPI chinchilla, 32 starts": in_fresh_process(),
    }
    best = min(one["objective"] for one in found.values() if one)
    print(f"\n{table.rows} runs, one core; CPU seconds, compilation apart ({ours['compilation']:.2f} s once a form)\n")
    print(f"{'':34}{'s a fit':>10}{'ratio':>8}{'ms a resample':>15}{'ratio':>8}  {'objective':<17}at optimum")
    for name, one in found.items():
        if one is None:
            print(f"{name:34}{'not installed: pip install scaling[bench]':>10}")
            continue
        shares = np.mean(np.asarray(one["objectives"]) <= best * (1 + CLOSE))
        line = f"{name:34}{one['fit']:10.3f}{one['fit'] / ours['fit']:8.0f}"
        line += f"{1e3 * one['resample']:15.3f}{one['resample'] / ours['resample']:8.0f}"
        print(f"{line}  {one['objective']:<17.12g}{shares:.1%} of starts")
    print(
        f"\n{given.resamples} resamples of this engine: " + ", ".join(f"{k} {v:.2f} s" for k, v in ours["ways"].items())
    )
    print("a resample of the recipe is one run from the optimum, which ends above the engine's by a median of ", end="")
    print(f"{found[next(name for name in found if 'SciPy' in name)]['excess']:.1e};")
    print("the package has no resamples: each is a fit")
    cold(given)
    verdict(ours, [one for name, one in found.items() if one and name != "this engine"])


def planted() -> dict[str, Any]:
    """240 runs of a known law, spread as those of Hoffmann et al. 2022, with noise of 1%."""
    generator = np.random.default_rng(0)
    params = 10 ** generator.uniform(7.6, 10.2, 240)
    tokens = 10 ** generator.uniform(9.0, 11.5, 240)
    loss = 1.82 + 478 / params**0.347 + 2143 / tokens**0.367
    return {"params": params, "tokens": tokens, "loss": loss * np.exp(0.01 * generator.standard_normal(240))}


def problem_of(table: laws.Table) -> solver.Problem:
    logs = {"params": np.log(table.params), "tokens": np.log(table.tokens)}
    target, objective = np.log(table.target), Objective("huber", DELTA, "log")
    return solver.Problem(form_named("chinchilla"), logs, target, table.weight, objective)


def engine(table: laws.Table, resamples: int) -> dict[str, Any]:
    """This engine: 256 starts, and both ways to resample."""
    problem = problem_of(table)
    starts = solver.default_starts(problem, 256, 0)
    first, _ = timed(lambda: solver.solve(problem, starts))
    five, solution = timed(lambda: [solver.solve(problem, starts) for _ in range(5)][-1])
    seconds = five / 5
    z = solution.z[int(np.argmin(solution.objective))]
    ways = {
        way: timed(lambda way=way: uncertainty.resample(problem, z, table.cluster, resamples, 1, way))[0]
        for way in ("noise", "pairs")
    }
    return {
        "fit": seconds,
        "compilation": first - seconds,
        "resample": max(ways.values()) / resamples,
        "ways": ways,
        "objective": float(solution.objective.min()),
        "objectives": solution.objective,
        "z": problem.natural(z),
    }


def recipe(table: laws.Table, subset: int, optimum: dict[str, Any]) -> dict[str, Any]:
    """The literature's: `subset` random starts of the grid, scaled to all; 20 resamples from the optimum."""
    log_n, log_d, log_l = np.log(table.params), np.log(table.tokens), np.log(table.target)

    def objective(p: np.ndarray, weights: np.ndarray | float = 1.0) -> float:
        e, a, b, alpha, beta = p
        terms = np.stack(np.broadcast_arrays(e, a - alpha * log_n, b - beta * log_d))
        return float(np.sum(weights * huber(logsumexp(terms, axis=0) - log_l, DELTA)))

    generator = np.random.default_rng(0)
    grid = np.array(list(itertools.product(*GRID.values())))
    picked = grid[generator.choice(len(grid), subset, replace=False)]
    seconds, found = timed(lambda: [minimize(objective, start, method="L-BFGS-B").fun for start in picked])
    logs = [float(np.log(optimum[name])) for name in ("E", "A", "B")]
    best = np.array([*logs, float(optimum["alpha"]), float(optimum["beta"])])
    rows = table.rows
    drawn = generator.multinomial(rows, np.full(rows, 1 / rows), size=20).astype(float)
    again, values = timed(lambda: [minimize(objective, best, (w,), method="L-BFGS-B").fun for w in drawn])
    problem = problem_of(table)
    start = np.tile(problem.coordinates(optimum), (len(drawn), 1))
    exact = solver.solve(problem, start, weights=drawn).objective
    return {
        "fit": seconds * len(grid) / subset,
        "resample": again / len(drawn),
        "objective": min(found),
        "objectives": found,
        "excess": float(np.median(np.array(values) / exact - 1)),
    }


def package(table: laws.Table) -> dict[str, Any] | None:
    """PyPI's `chinchilla`: BFGS, numerical gradients in long double; 32 starts, scaled to all."""
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
    theirs.visualizer.optim = lambda *_, **__: None
    found: list[float] = []
    own = core.sciop.minimize

    def watched(*arguments: Any, **options: Any) -> Any:
        result = own(*arguments, **options)
        found.append(float(result.fun) * table.rows)
        return result

    core.sciop.minimize = watched
    seconds, _ = timed(lambda: theirs.fit(parallel=False))
    p = theirs.params
    predicted = p["E"] + p["A"] / table.params ** p["alpha"] + p["B"] / table.tokens ** p["beta"]
    fit = seconds * STARTS / len(found)
    objective = float(np.sum(huber(np.log(predicted) - np.log(table.target), DELTA)))
    return {"fit": fit, "resample": fit, "objective": objective, "objectives": found}


def in_fresh_process() -> dict[str, Any] | None:
    """`package`, where no thread of JAX is running when it forks."""
    command = [sys.executable, __file__, *sys.argv[1:], "--package-only"]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"MPLBACKEND": "agg"}, check=True)
    found: dict[str, Any] | None = json.loads(done.stdout.splitlines()[-1])
    return found


def cold(given: argparse.Namespace) -> None:
    """What a fresh `scaling fit` costs, with nothing compiled before."""
    with tempfile.TemporaryDirectory() as folder:
        path, columns = given.table, list(given.columns)
        if path is None:
            import polars

            path = Path(folder) / "planted.csv"
            polars.DataFrame(planted()).write_csv(path)
        command = ["-c", "from scaling.cli import main; main()", "fit", str(path), "--resamples", "1000"]
        command += ["--drop-highest-loss", str(given.drop)] + (["--columns", *columns] if columns else [])
        wall = time.perf_counter()
        seconds, _ = timed(lambda: subprocess.run([sys.executable, *command], check=True, stdout=subprocess.DEVNULL))
        wall = time.perf_counter() - wall
    print(f"\na fresh `scaling fit` with 1,000 resamples: {seconds:.1f} CPU s, {wall:.1f} s of wall time")


def verdict(ours: dict[str, Any], others: Sequence[dict[str, Any]]) -> None:
    """Whether the engine is as much faster as it has to be; exit code 1 where it is not."""
    fit = min(one["fit"] for one in others) / ours["fit"]
    resample = min(one["resample"] for one in others) / ours["resample"]
    good = fit >= FASTER_FIT and resample >= FASTER_RESAMPLE
    print(
        f"faster by {fit:,.0f} times a fit (at least {FASTER_FIT}) and {resample:,.0f} times a resample "
        f"(at least {FASTER_RESAMPLE}): {'yes' if good else 'NO'}"
    )
    sys.exit(0 if good else 1)


def timed(do: Callable[[], Any]) -> tuple[float, Any]:
    """(CPU seconds of this process and of its finished children, what `do` returned)."""

    def now() -> float:
        children = os.times()
        return time.process_time() + children.children_user + children.children_system

    before = now()
    result = do()
    return now() - before, result


def _arguments() -> argparse.Namespace:
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
