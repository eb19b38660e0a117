"""The annealing law as a problem for the solver, with the momentum a parameter like the others.

S2 depends on the momentum and is smooth in u = ln(1 - momentum): over a window of u, (1 - momentum) S2 of each row is a
polynomial, its Chebyshev coefficients the inputs. Rates between logged steps follow by straight lines, those before a
run's first row are that row's.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

import numpy as np

from scaling.laws import solver
from scaling.laws.errors import LawError
from scaling.laws.forms import Data, Floats, LawForm, Values, real
from scaling.laws.forms.schedule import FORWARD, annealing_areas, curve_parameters, rates_between, warmup_steps
from scaling.laws.objective import Objective
from scaling.laws.table import Table

NODES = 20
"""Chebyshev coefficients of a window."""
QUICKEST = 0.5
"""Least momentum that is sought."""
PLACE = "place"
"""The momentum's own parameter: where in its window, from -1 to 1."""


@dataclass(frozen=True)
class Window:
    """u = ln(1 - momentum) between `low` and `high`; one momentum where they are equal."""

    low: float
    high: float

    def momentum(self, place: Any) -> Any:
        """The momentum at `place`, -1 (low u, long memory) to 1."""
        return -np.expm1((self.low + self.high) / 2 + place * (self.high - self.low) / 2)

    def place(self, u: float) -> float:
        return 0.0 if self.low == self.high else (2 * u - self.low - self.high) / (self.high - self.low)


@dataclass(frozen=True)
class Curve:
    """One run: rates (steps,) of every step, the rows it is fitted to and their steps (1, 2, ...)."""

    rates: Floats
    rows: np.ndarray[Any, Any]
    steps: np.ndarray[Any, Any]


@dataclass(frozen=True)
class Curves:
    """The rows that are fitted and the runs that they come from; `warmup` as the form's option."""

    rows: Table
    runs: tuple[Curve, ...]
    warmup: str

    def sums(self, momentum: float) -> tuple[Floats, Floats]:
        """(S1, S2) of every row."""
        forward, annealed = np.empty(self.rows.rows), np.empty(self.rows.rows)
        for run in self.runs:
            s1, s2 = annealing_areas(run.rates, momentum, self.warmup)
            forward[run.rows], annealed[run.rows] = s1[run.steps - 1], s2[run.steps - 1]
        if np.any(forward <= 0):
            row = self.rows.labels[int(np.argmin(forward))]
            raise LawError(f"{row}: the rate is 0 up to here; leave out the rows before it is above 0")
        return forward, annealed

    def problem(self, window: Window, objective: Objective) -> solver.Problem:
        """The law on the rows; its C multiplies (1 - momentum) S2, its PLACE is the momentum's in the window."""
        coefficients = np.zeros((NODES, self.rows.rows))
        if window.low == window.high:
            forward, annealed = self.sums(float(window.momentum(0.0)))
            coefficients[0] = np.exp(window.low) * annealed
        else:
            nodes = np.cos(np.pi * (np.arange(NODES) + 0.5) / NODES)
            for place in nodes:
                momentum = float(window.momentum(place))
                forward, annealed = self.sums(momentum)
                angles = np.arange(NODES) * np.arccos(place)
                coefficients += 2 / NODES * np.cos(angles)[:, None] * (1 - momentum) * annealed
            coefficients[0] /= 2
        inputs = {FORWARD: np.log(forward)} | {f"c{index}": row for index, row in enumerate(coefficients)}
        target = np.log(self.rows.target) if objective.space == "log" else self.rows.target
        pins = {PLACE: 0.0} if window.low == window.high else {}
        return solver.Problem(_interpolated(), inputs, target, self.rows.weight, objective, pins)

    def wide(self) -> Window:
        """From a memory of the longest run to one of the spacing of rows: nothing beyond can be told."""
        spacing = float(np.median(np.concatenate([np.diff(run.steps, prepend=0) for run in self.runs])))
        high = float(np.log(min(1 - QUICKEST, 1 / spacing)))
        return Window(min(-float(np.log(max(len(run.rates) for run in self.runs))), high - 2.0), high)


def around(u: float, half: float) -> Window:
    """The window of this half width about u, as far as the momentum stays above 0."""
    return Window(u - half, min(u + half, -1e-6))


def curves_of(rows: Table, warmup: str) -> Curves:
    """The curves in `rows` (trajectory, step, rate, loss), without step 0 and, for `peak`, the warm-up.

    Raises:
      LawError: no trajectories; a step that is not a whole number, or twice in one run; a rate below 0.
    """
    steps, rates = rows.column("step"), rows.column("rate")
    for bad, name, what in (
        (steps < 0, "step", "0 or more"),
        (steps != np.round(steps), "step", "a whole number of optimiser steps"),
        (rates < 0, "rate", "0 or more"),
    ):
        if bad.any():
            row = int(np.argmax(bad))
            raise LawError(f"{rows.labels[row]}: {name} is {rows.column(name)[row]:g}; it must be {what}")
    if len(np.unique(rows.cluster)) == rows.rows:
        raise LawError('every row is a run of its own: name the runs, as columns={"trajectory": "the column\'s name"}')
    rising, found = np.zeros(rows.rows, dtype=bool), []
    for name in np.unique(rows.cluster):
        own = np.flatnonzero((rows.cluster == name) & (steps > 0))
        if len(own) == 0:
            continue
        own = own[np.argsort(steps[own], kind="stable")]
        _refuse_repeated(rows.labels, steps, own)
        full = rates_between(steps[own], rates[own])
        rising[own] = (steps[own] <= warmup_steps(full)) & (warmup == "peak")
        found.append((full, own))
    trained = steps > 0
    keep = trained & ~rising
    if keep.sum() < 2:
        raise LawError('no rows are left after the warm-up; log more steps, or fit warmup="as_it_is"')
    moved = np.cumsum(keep) - 1
    runs = [Curve(full, moved[own[keep[own]]], steps[own[keep[own]]].astype(int)) for full, own in found]
    left = rows.only(trained, "step 0: not trained yet").only(keep[trained], "in the warm-up")
    return Curves(left, tuple(run for run in runs if len(run.rows)), warmup)


def _refuse_repeated(labels: Sequence[str], steps: Floats, own: np.ndarray[Any, Any]) -> None:
    same = np.flatnonzero(np.diff(steps[own]) == 0)
    if len(same):
        first, second = own[same[0]], own[same[0] + 1]
        raise LawError(
            f"{labels[first]} and {labels[second]} are both step {steps[first]:g} of one trajectory; a run has one "
            "loss a step: give each seed a trajectory of its own"
        )


@functools.cache
def _interpolated() -> LawForm:
    """L = E + A / S1^alpha - C sum_k c_k T_k(place): one object, so that it is compiled once."""
    names = tuple(f"c{index}" for index in range(NODES))

    def equation(p: Values, x: Values, xp: ModuleType) -> Any:
        before, now = 1.0, p[PLACE]
        area = x["c0"] + now * x["c1"]
        for name in names[2:]:
            before, now = now, 2 * p[PLACE] * now - before
            area = area + now * x[name]
        return p["E"] + p["A"] * xp.exp(-p["alpha"] * x[FORWARD]) - p["C"] * area

    def largest(data: Data) -> float:
        """The C with which annealing takes off as much as the loss falls in all."""
        return float(np.ptp(data.output) / np.max(np.abs(data.inputs["c0"])))

    return LawForm(
        name="annealing",
        equation=equation,
        text="",
        parameters=(
            *curve_parameters(FORWARD),
            replace(
                real("C", lambda data: (0.0, largest(data)), lambda data: (0.0, 1e3 * largest(data)), "coefficient"),
                edge="the curves show nothing that annealing takes off; add runs that anneal by more",
            ),
            real(PLACE, (-1.0, 1.0), (-1.0, 1.0)),
        ),
        inputs=(FORWARD, *names),
        linear_inputs=names,
        source="",
    )
