"""A problem in which one parameter is held, at a value of its own in every row of a batch: what a profile is made of.

A coefficient's usual coordinate is its term at the centre of the data, which moves with the exponent. Here the
parameter itself (its logarithm, where it must be positive) is the coordinate, and equal bounds hold it.
"""

import functools
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

import numpy as np
from scipy.signal import find_peaks

from scaling.laws import solver, uncertainty
from scaling.laws.forms import Floats, LawForm, Values

REFINED = 8
"""Values added between the two grid values at every crossing of a threshold."""
DEEP = 1e-6
"""Relative depth from which a dip of the profiled objective is a minimum of its own."""
SAME = 1e-3
"""Minima closer than this share of a standard error, or of their value, are one."""
SPREAD = 6
"""Solutions, spread over the grid, that every value is solved from a second time."""


@dataclass(frozen=True)
class Line:
    """The values of one parameter, as t: the parameter or its logarithm.

    Attributes:
      problem: with t as the parameter's coordinate.
      place: of t among the coordinates.
      log: whether t is the logarithm.
      z: (parameters,) the fit's optimum.
      tangent: (parameters,) dz / dt along which the linearised law stays at its least objective.
      width: standard error of t by the linearised law.
      limits: (lowest, highest) t.
    """

    problem: solver.Problem
    place: int
    log: bool
    z: Floats
    tangent: Floats
    width: float
    limits: tuple[float, float]

    def value(self, t: Any) -> Any:
        """The parameter itself."""
        return np.exp(t) if self.log else t

    @property
    def fitted(self) -> float:
        """The optimum's t."""
        return float(self.z[self.place])

    def solve(self, t: Floats, starts: Floats) -> tuple[Floats, Floats]:
        """(z (k, parameters), objective (k,)): the best from `starts` (k, several, parameters), with t (k,) held."""
        several = starts.shape[1]
        flat, held = starts.reshape(len(t) * several, -1), np.repeat(t, several)
        solution = self.both(flat, held)
        objective = np.where(np.isfinite(solution.objective), solution.objective, np.inf).reshape(len(t), several)
        pick = np.argmin(objective, axis=1)
        rows = np.arange(len(t))
        return solution.z.reshape(len(t), several, -1)[rows, pick], objective[rows, pick]

    def both(self, starts: Floats, held: Floats, target: Floats | None = None) -> solver.Solution:
        """One solve of `starts` (batch, parameters): t held at `held` (batch,), free where that is NaN."""
        lower, upper = (np.tile(limit, (len(starts), 1)) for limit in self.problem.bounds)
        fixed = np.isfinite(held)
        lower[:, self.place] = np.where(fixed, held, self.limits[0])
        upper[:, self.place] = np.where(fixed, held, self.limits[1])
        # Weights of the batch's own shape: least absolute deviations then takes every row down, not the best few.
        weights = np.tile(self.problem.weights, (len(starts), 1))
        return solver.solve(self.problem, starts, target=target, weights=weights, bounds=(lower, upper))

    def grid(self, points: int) -> Floats:
        """About `points` values of t from limit to limit, a fraction of a standard error apart near the fit."""
        middle, steps = self.fitted, np.linspace(0.0, 1.0, points // 2 + 1)
        sides = []
        for limit in self.limits:
            room = abs(limit - middle)
            side = middle + np.sign(limit - middle) * self.width * np.sinh(steps * np.arcsinh(room / self.width))
            side[-1] = limit
            sides.append(side)
        return np.clip(np.unique(np.concatenate(sides)), *self.limits)

    def follow(self, t: Floats, elsewhere: Floats) -> tuple[Floats, Floats]:
        """The least objective at every t (k,), from the optimum, its linear continuation and `elsewhere` (several,
        parameters); then once more from the solutions beside it and from some of the others."""
        straight = self.z + self.tangent * (t - self.fitted)[:, None]
        spread = np.broadcast_to(elsewhere, (len(t), *elsewhere.shape))
        starts = np.concatenate([np.broadcast_to(self.z, straight.shape)[:, None], straight[:, None], spread], axis=1)
        z, _ = self.solve(t, starts)
        some = z[np.linspace(0, len(t) - 1, min(SPREAD, len(t))).astype(int)]
        beside = np.stack([z, np.roll(z, 1, axis=0), np.roll(z, -1, axis=0)], axis=1)
        again = np.concatenate([beside, np.broadcast_to(some, (len(t), *some.shape))], axis=1)
        return self.solve(t, again)

    def refined(self, t: Floats, z: Floats, least: Floats, threshold: float) -> tuple[Floats, Floats, Floats]:
        """(t, z, least objective) with further values around every crossing of `threshold`."""
        crossings = np.flatnonzero(np.diff(least <= threshold))
        if len(crossings) == 0:
            return t, z, least
        share = (np.arange(REFINED) + 1) / (REFINED + 1)
        more = np.concatenate([t[i] + (t[i + 1] - t[i]) * share for i in crossings])
        starts = np.concatenate([np.tile(np.stack([z[i], z[i + 1]]), (REFINED, 1, 1)) for i in crossings])
        more_z, more_least = self.solve(more, starts)
        t, z, least = np.concatenate([t, more]), np.concatenate([z, more_z]), np.concatenate([least, more_least])
        order = np.argsort(t, kind="stable")
        return t[order], z[order], least[order]

    def pieces(self, t: Floats, least: Floats, floor: float, threshold: float) -> list[tuple[float, float]]:
        """(lowest, highest) value of each run of t whose least objective is at most `threshold`."""
        # The root of the rise is next to straight in t, as the objective is next to a parabola.
        root, limit = np.sqrt(np.maximum(least - floor, 0.0)), np.sqrt(threshold - floor)
        steps = np.diff(np.concatenate([[False], least <= threshold, [False]]).astype(int))

        def end(inner: int, outer: int) -> float:
            if not 0 <= outer < len(t):
                return float(self.value(t[inner]))
            share = (limit - root[inner]) / (root[outer] - root[inner]) if np.isfinite(root[outer]) else 0.0
            return float(self.value(t[inner] + share * (t[outer] - t[inner])))

        firsts, lasts = np.flatnonzero(steps == 1).tolist(), (np.flatnonzero(steps == -1) - 1).tolist()
        return [(end(i, i - 1), end(j, j + 1)) for i, j in zip(firsts, lasts, strict=True)]

    def minima(self, z: Floats, least: Floats, highest: float) -> list[tuple[float, float]]:
        """(value, objective) of local minima up to `highest`, the least first: the grid's dips, each taken down."""
        finite = np.where(np.isfinite(least), least, np.max(least[np.isfinite(least)]))
        wall = [2.0 * finite.max() + 1.0]
        dips, _ = find_peaks(-np.concatenate([wall, finite, wall]), prominence=DEEP * max(float(finite.min()), 1e-300))
        solution = self.both(z[dips - 1], np.full(len(dips), np.nan))
        found: list[tuple[float, float]] = []
        for index in np.argsort(solution.objective, kind="stable"):
            value, objective = float(self.value(solution.z[index, self.place])), float(solution.objective[index])
            near = SAME * (self.width + abs(value))
            if objective <= highest and all(abs(value - other) > near for other, _ in found):
                found.append((value, objective))
        return found


def line(problem: solver.Problem, z: Floats, name: str) -> Line:
    """The values of parameter `name` through the optimum `z` of `problem`."""
    parameter, place = problem.form.parameter(name), problem.form.names.index(name)
    log = parameter.positive and not parameter.is_coordinate
    to = np.log if log else float
    params = problem.natural(z)
    lower, upper = problem.bounds
    ends = [parameter.natural(limit[place], params, problem.centres, np) for limit in (lower, upper)]
    own = replace(problem, form=own_coordinate(problem.form, name, log))
    z = z.copy()
    z[place] = to(params[name])
    limits = float(to(ends[0])), float(to(ends[1]))
    fitted, jacobian = uncertainty.linearised(own, z)
    scale = np.sqrt(problem.weights)
    J = jacobian * scale[:, None]
    room = 1e-9 * (upper - lower)
    inside = (z > lower + room) & (z < upper - room)
    others = [i for i, one in enumerate(problem.form.names) if one in problem.free and i != place and inside[i]]
    slopes = np.linalg.lstsq(J[:, others], J[:, place], rcond=None)[0]
    tangent = np.zeros(len(z))
    tangent[place], tangent[others] = 1.0, -slopes
    alone = float(np.linalg.norm(J[:, place] - J[:, others] @ slopes))
    left = float(np.linalg.norm((problem.target - fitted) * scale)) / np.sqrt(max(1, len(J) - len(others) - 1))
    width = float(np.clip(left / max(alone, 1e-300), 1e-9 * max(1.0, abs(z[place])), (limits[1] - limits[0]) / 4))
    return Line(own, place, log, z, tangent, width, limits)


@functools.cache
def own_coordinate(form: LawForm, name: str, log: bool) -> LawForm:
    """`form` with parameter `name` (its logarithm where `log`) as its own coordinate; one object, compiled once."""
    parameter = form.parameter(name)
    if parameter.is_coordinate:
        return form

    def value(z: Any, p: Values, c: Values, xp: ModuleType) -> Any:
        return xp.exp(z) if log else z

    def coordinate(value: Any, p: Values, c: Values) -> Any:
        return np.log(value) if log else value

    own = replace(parameter, natural=value, coordinate=coordinate)
    return replace(form, parameters=tuple(own if one.name == name else one for one in form.parameters))
