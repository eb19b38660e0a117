"""What parabolas do to a law that is none: the error of approach 2 on a surface fitted to the same runs. Plain NumPy.

A parabola of ln L in ln N is right close to the optimum alone. Where the sizes of a budget lie off their minimum, its
own minimum is off too; where they lie off it differently from budget to budget, so is the exponent of N* (Open Athena,
"Problems with Chinchilla Approach 2"). How much is computed: L = E + A / N^alpha + B / D^beta is fitted to the runs,
its losses at the same runs go through the same parabolas, and the result is compared with the surface's own optimum.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from scipy.optimize import minimize, nnls

from scaling.laws import costs
from scaling.laws.forms import Floats
from scaling.laws.table import Table
from scaling.laws.values import Diagnostic, Interval

EXPONENTS = np.geomspace(0.05, 1.5, 16)
WITHIN = (1e-4, 10.0)
"""Where exponents may end: runs that show no law would let them run away, until a power is no number."""
WORTH = 0.01
"""Error of the exponent of N* that is worth a word."""
FITS = 1.5
"""Times the parabolas' own residuals up to which the surface's count as as good."""
CLOSE = 1e-3
"""Residuals of ln L that are good in any case."""
WIDEST = 5.0
"""Powers of e about a budget's sizes within which the surface's optimum is sought."""


def findings(
    rows: Table,
    used: list[np.ndarray[Any, Any]],
    log_c: Floats,
    residual: Floats,
    parabolas: Callable[[Floats], Mapping[str, Any]],
    lines: Callable[[Mapping[str, Floats]], Mapping[str, Any]],
    interval: Interval | None,
) -> list[Diagnostic]:
    """A warning where approach 2 itself moves the exponent of N*; nothing where the surface does not describe the runs.

    Args:
      used: row numbers of each budget.
      log_c: (budgets,) of each.
      residual: of ln L about the parabolas, budget after budget.
      parabolas: ln L of all rows (rows,) -> minima: ln N*, ln D*, ln L* of each budget.
      lines: minima -> coefficient and exponent of each power law.
      interval: of the exponent of N*.
    """
    order = np.concatenate(used)
    if len(rows.tokens) == 0:
        return []
    surface = _surface(rows, order)
    fitted = np.log(surface(np.log(rows.params), np.log(rows.tokens)))
    off = float(np.sqrt(np.mean((np.log(rows.target) - fitted)[order] ** 2)))
    spare = max(len(order) - 3 * len(used), 1)
    if not off <= max(FITS * float(np.sqrt(np.sum(residual**2) / spare)), CLOSE):
        return []
    there = np.array([_best(surface, rows, group, log_c[index]) for index, group in enumerate(used)])
    minima = parabolas(fitted)
    if not np.all(np.isfinite(there)) or not np.all(np.isfinite(minima["N"])):
        return []
    true = lines({"N": there, "D": log_c - costs.log_flops_per_token(rows.cost, there), "L": there * 0})
    read = lines(minima)
    error = float(read["N_exponent"] - true["N_exponent"])
    if abs(error) < WORTH:
        return []
    centres = np.exp(np.array([np.log(rows.params[group]).mean() for group in used]) - there)
    half = None if interval is None else (interval.high - interval.low) / 2
    beyond = "more than its interval says, " if half is not None and abs(error) > half else ""
    message = (
        f"parabolas put the exponent of N* {abs(error):.2g} too {'high' if error > 0 else 'low'}, {beyond}on a surface "
        f"fitted to these runs ({read['N_exponent']:.3f}, its own is {true['N_exponent']:.3f}), and N* at the largest "
        f"budget {np.expm1(minima['N'][-1] - there[-1]):+.0%}: the sizes lie about {centres[0]:.2g} times "
        f"the optimum at the smallest budget, {centres[-1]:.2g} times at the largest. Centre them alike, or "
        "fit a law of N and D"
    )
    return [Diagnostic("isoflop_off_centre", error, message)]


def _surface(rows: Table, order: np.ndarray[Any, Any]) -> Callable[[Floats, Floats], Floats]:
    """E + A / N^alpha + B / D^beta with the least squares of relative errors: linear but for the exponents."""
    log_n, log_d = np.log(rows.params[order]), np.log(rows.tokens[order])
    middle_n, middle_d = log_n.mean(), log_d.mean()
    scale = np.sqrt(rows.weight[order] / rows.weight[order].mean())
    loss = rows.target[order]

    def solved(logs: Floats) -> tuple[Floats, float]:
        alpha, beta = np.exp(logs)
        terms = np.stack([np.ones_like(loss), np.exp(-alpha * (log_n - middle_n)), np.exp(-beta * (log_d - middle_d))])
        return nnls((terms / loss * scale).T, scale)

    grid = [np.log([alpha, beta]) for alpha in EXPONENTS for beta in EXPONENTS]
    start = min(grid, key=lambda logs: solved(logs)[1])
    logs = minimize(
        lambda logs: solved(logs)[1],
        start,
        method="Nelder-Mead",
        bounds=np.log([WITHIN, WITHIN]),
        options={"xatol": 1e-6, "fatol": 1e-12},
    ).x
    (e, a, b), _ = solved(logs)
    alpha, beta = np.exp(logs)
    return lambda n, d: e + a * np.exp(-alpha * (n - middle_n)) + b * np.exp(-beta * (d - middle_d))


def _best(surface: Callable[[Floats, Floats], Floats], rows: Table, group: np.ndarray[Any, Any], log_c: float) -> float:
    """ln N* of the surface at a budget; NaN, inside this module, where it lies far outside the sizes."""
    sizes = np.log(rows.params[group])
    log_n = np.linspace(sizes.min() - WIDEST, sizes.max() + WIDEST, 2001)
    loss = surface(log_n, log_c - costs.log_flops_per_token(rows.cost, log_n))
    place = int(np.argmin(loss))
    if not 0 < place < len(log_n) - 1:
        return float("nan")
    low, middle, high = loss[place - 1 : place + 2]
    step = 0.5 * (low - high) / max(low - 2 * middle + high, 1e-300)
    return float(log_n[place] + step * (log_n[1] - log_n[0]))
