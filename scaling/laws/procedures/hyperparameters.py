"""The best hyper-parameter of each (N, D) by a bowl, then a power law of it (Li et al. 2025, arXiv 2503.04715).

    in each cell     ln L = bowl in the logarithms of what was swept; ln h* where it is least, standard error s
    over cells       ln h* = ln coefficient + sum of exponents x ln inputs + e,   e ~ N(0, tau^2 + s^2)

tau is what cells differ by beyond the noise of their bowls: by its restricted likelihood, flat in tau. Intervals:
losses drawn anew from the bowls with the measured noise, everything fitted again, and e drawn with tau. Plain NumPy.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from scaling.laws import intervals
from scaling.laws import noise as noises
from scaling.laws.errors import LawError
from scaling.laws.fitting import Settings, law_fit
from scaling.laws.forms import Floats, LawForm
from scaling.laws.objective import Objective
from scaling.laws.prediction import RUN_NOISE
from scaling.laws.procedures import bowl_noise, bowls
from scaling.laws.procedures.cells import Cell, Rows, cells_of
from scaling.laws.results import LawFit, rounded_samples
from scaling.laws.table import Table
from scaling.laws.values import Diagnostic

CELL = ("params", "tokens")
LEAST_SQUARES = Objective("least_squares", 1.0, "log")
TAUS = 60
"""Points of the grid over tau."""
FEW_SPARE = 3
"""Cells beyond the law's parameters, below which tau is poorly known."""
SAME_WAY = 0.15
"""Spread of ln D about its trend in ln N, over cells, below which their exponents are one number."""
VAGUE = 0.5
"""Standard error of ln h* above which a bowl is called flat."""


@dataclass(frozen=True)
class Swept:
    """The cells of a raw sweep with their bowls.

    Attributes:
      rows: row numbers of each cell.
      inputs: (cells, N and D) logarithms.
      minima: where each bowl is lowest.
      place: which of the swept hyper-parameters is the target.
      used: (cells,) whether the law is fitted to it.
    """

    rows: list[Rows]
    cells: list[Cell]
    fitted: list[bowls.Bowl]
    inputs: Floats
    minima: list[bowls.Minimum]
    place: int
    used: Rows

    @property
    def best(self) -> Floats:
        """(cells,) ln h*."""
        return np.array([one.logs[self.place] for one in self.minima])

    @property
    def best_se(self) -> Floats:
        """(cells,) its standard error."""
        return np.array([one.logs_se[self.place] for one in self.minima])


def fit(rows: Table, form: LawForm, settings: Settings) -> LawFit:
    """The law of one hyper-parameter from the raw sweep in `rows`."""
    hyper = [name for name in form.needs if name not in (*CELL, "loss")]
    rows.inputs(form.inputs)
    swept, noise = _swept(rows, hyper, form.output, str(dict(form.options).get("edge", "leave_out")))
    design = np.column_stack([np.ones(len(swept.rows)), *(swept.inputs[:, CELL.index(x)] for x in form.inputs)])
    x, y, se = design[swept.used], swept.best[swept.used], swept.best_se[swept.used]
    if len(x) < x.shape[1] or np.linalg.matrix_rank(x - [0.0, *x[:, 1:].mean(axis=0)], tol=1e-6) < x.shape[1]:
        raise LawError(
            f"{len(x)} of {len(swept.rows)} cells have a best {form.output} within their sweep, too few or too much "
            f"alike for a law in {' and '.join(form.inputs)}: sweep more sizes, or farther"
        )
    taus, belief = _between_cells(x, y, se)
    weight = 1 / (se**2 + float(belief @ taus**2))
    solver = np.linalg.pinv(x * np.sqrt(weight)[:, None]) * np.sqrt(weight)
    params = _named(solver @ y, form)
    samples = _resampled(rows, swept, noise, solver, (taus, belief), form, settings) if settings.resamples else {}
    return law_fit(
        rows,
        form,
        replace(settings, objective=LEAST_SQUARES),
        params={name: float(value) for name, value in params.items()},
        intervals={
            name: intervals.interval(np.asarray(samples[name]), float(params[name]), settings.level)
            for name in params
            if name in samples
        },
        value=float(np.sum((y - x @ solver @ y) ** 2)),
        starts={"total": 1, "share_at_optimum": 1.0},
        diagnostics=_findings(swept, x, form, float(belief @ taus)),
        noise=noises.summary(noise, len(np.unique(rows.cluster))) | {"resampling": "noise"},
        samples=samples,
        details={"cells": _details(swept, hyper), "between_cells": float(belief @ taus)},
        excluded=_left_out(swept, form.output),
    )


def _swept(rows: Table, hyper: Sequence[str], target: str, edge: str) -> tuple[Swept, noises.Noise]:
    number = cells_of([rows.params, rows.tokens])
    groups = [np.flatnonzero(number == index) for index in range(number.max() + 1)]
    values = {name: rows.target if name == target else rows.column(name) for name in hyper}
    logs = np.log(np.stack([values[name] for name in hyper], axis=1))
    log_loss = np.log(rows.column("loss"))
    cells = [Cell(logs[group], log_loss[group], rows.weight[group]) for group in groups]
    fitted = bowls.fit(cells)
    noise = bowl_noise.measured(cells, fitted, [rows.cluster[group] for group in groups])
    minima = [bowls.minimum(bowl, float(np.hypot(*noise.typical))) for bowl in fitted]
    place = list(hyper).index(target)
    inside = np.array(
        [b.swept[place] and (edge == "keep" or not m.at_edge[place]) for b, m in zip(fitted, minima, strict=True)]
    )
    inputs = np.array([[np.mean(np.log(rows.column(name)[group])) for name in CELL] for group in groups])
    return Swept(groups, cells, fitted, inputs, minima, place, inside), noise


def _between_cells(x: Floats, y: Floats, se: Floats) -> tuple[Floats, Floats]:
    """Grid of tau and its normalised restricted likelihood, flat in tau (Gelman 2006, section 3.2)."""
    residual = y - x @ np.linalg.lstsq(x, y, rcond=None)[0]
    freedom = len(y) - x.shape[1]
    if freedom < 1:
        return np.zeros(1), np.ones(1)
    widest = 4 * float(np.sqrt(np.sum(residual**2) / freedom)) + 1e-12
    taus = np.linspace(0.0, widest, TAUS)
    likelihood = np.empty(TAUS)
    for index, tau in enumerate(taus):
        weight = 1 / np.maximum(tau**2 + se**2, 1e-24)
        gram = x.T @ (x * weight[:, None])
        left = y - x @ np.linalg.solve(gram, x.T @ (weight * y))
        likelihood[index] = -0.5 * (
            -np.sum(np.log(weight)) + np.linalg.slogdet(gram)[1] + float(np.sum(weight * left**2))
        )
    belief = np.exp(likelihood - likelihood.max())
    return taus, belief / belief.sum()


def _named(solution: Floats, form: LawForm) -> dict[str, Floats]:
    """(..., 1 + inputs) in logarithms as the law's parameters."""
    slopes = {f"{name}_exponent": solution[..., 1 + index] for index, name in enumerate(form.inputs)}
    return {"coefficient": np.exp(solution[..., 0]), **slopes}


def _resampled(
    rows: Table,
    swept: Swept,
    noise: noises.Noise,
    solver: Floats,
    between: tuple[Floats, Floats],
    form: LawForm,
    settings: Settings,
) -> dict[str, tuple[float, ...]]:
    """Refits: `run_noise` is tau, by which the best of one new cell differs from the law."""
    generator = np.random.default_rng(settings.seed + 1)
    common, row = noise.draw(settings.resamples, generator)
    order = np.concatenate([group[bowl.rows] for group, bowl in zip(swept.rows, swept.fitted, strict=True)])
    weight = np.concatenate([bowl.weight for bowl in swept.fitted])
    drawn = noises.simulate(rows.cluster[order], weight, common, row, generator)
    best = [
        bowl.lowest(coefficients)[0][:, swept.place]
        for bowl, coefficients in zip(swept.fitted, bowl_noise.redrawn(swept.fitted, drawn), strict=True)
    ]
    tau = generator.choice(between[0], size=settings.resamples, p=between[1])
    used = np.stack(best, axis=1)[:, swept.used]
    moved = used + tau[:, None] * generator.standard_normal(used.shape)
    return rounded_samples(_named(moved @ solver.T, form) | {RUN_NOISE: tau})


def _findings(swept: Swept, x: Floats, form: LawForm, tau: float) -> list[Diagnostic]:
    found, target = [], form.output
    edge = [index for index, one in enumerate(swept.minima) if one.at_edge[swept.place]]
    if edge:
        done = "are left out" if not swept.used[edge].any() else "count as uncertain by half the range"
        message = (
            f"{len(edge)} of {len(swept.minima)} cells are best at the edge of the {target} swept and {done}: "
            f"{'; '.join(_cell_name(swept, index) for index in edge)}. Sweep farther there"
        )
        found.append(Diagnostic("optimum_at_edge", len(edge), message))
    spare = len(x) - x.shape[1]
    if spare < FEW_SPARE:
        message = (
            f"{len(x)} cells for {x.shape[1]} parameters leave {spare} to show how far cells stray from the law; "
            "sweep more sizes or token counts"
        )
        found.append(Diagnostic("too_few_cells", len(x), message, "error" if spare < 1 else "warning"))
    if set(form.inputs) == set(CELL):
        size, data = x[:, 1 + form.inputs.index("params")], x[:, 1 + form.inputs.index("tokens")]
        spread = float(np.std(data - np.polyval(np.polyfit(size, data, 1), size)))
        if spread < SAME_WAY:
            message = (
                f"D follows N over the cells (ln D scatters {spread:.2g} about its trend): the two exponents cannot be "
                'told apart. Sweep some sizes on fewer and on more tokens, or fit inputs="params"'
            )
            found.append(Diagnostic("tokens_follow_params", spread, message, "error"))
    flat = int(np.sum(swept.best_se[swept.used] > VAGUE))
    if flat:
        message = (
            f"{flat} bowls leave the best {target} open by a factor of {np.exp(VAGUE):.2g} or more (1 standard error): "
            "repeat seeds, or sweep more widely"
        )
        found.append(Diagnostic("flat_bowls", flat, message))
    if spare >= 1 and tau > 2 * float(np.median(swept.best_se[swept.used])):
        message = f"the best {target} of a cell strays from the law by a factor of {np.exp(tau):.3g}, beyond its noise"
        found.append(Diagnostic("cells_stray", tau, message, "note"))
    return found


def _details(swept: Swept, hyper: Sequence[str]) -> list[dict[str, Any]]:
    found = []
    for index, (cell, bowl, best) in enumerate(zip(swept.cells, swept.fitted, swept.minima, strict=True)):
        found.append(
            {
                "params": float(np.exp(swept.inputs[index, 0])),
                "tokens": float(np.exp(swept.inputs[index, 1])),
                "used": bool(swept.used[index]),
                "runs": len(cell.log_loss),
                "runs_in_bowl": len(bowl.rows),
                "loss": float(np.exp(best.log_loss)),
                "log_loss_se": best.log_loss_se,
                "best": {name: float(np.exp(value)) for name, value in zip(hyper, best.logs, strict=True)},
                "log_se": dict(zip(hyper, best.logs_se.tolist(), strict=True)),
                "at_edge": dict(zip(hyper, best.at_edge.tolist(), strict=True)),
                "curvature": best.curvature.tolist(),
            }
        )
    return found


def _left_out(swept: Swept, target: str) -> tuple[str, ...]:
    lines = []
    for index in np.flatnonzero(~swept.used):
        best = swept.minima[index]
        why = (
            f"its best {target} {np.exp(best.logs[swept.place]):.3g} is at the edge of what was swept"
            if best.at_edge[swept.place]
            else f"its good runs do not differ in {target}"
        )
        lines.append(f"cell {_cell_name(swept, int(index))}: {why}")
    return tuple(lines)


def _cell_name(swept: Swept, index: int) -> str:
    size, data = np.exp(swept.inputs[index])
    return f"params {size:.3g}, tokens {data:.3g}"
