"""A fitted law over ln N and ln D with its further inputs held: what a budget buys, what a loss needs. No JAX.

Everything is worked out for all resamples at once: parameter values are numbers or arrays (resamples,), and so are the
answers, the coordinates of which are logarithms.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from scaling.laws import costs
from scaling.laws.errors import LawError, nearest
from scaling.laws.forms import Floats, LawForm
from scaling.laws.search import first_below, least

if TYPE_CHECKING:
    from scaling.laws.results import LawFit

PLANE = ("params", "tokens", "tokens_per_param", "flops")
"""Inputs that N and D give; two of them give N and D."""
SPAN = float(np.log(1e6))
"""N* is sought within this factor of the fitted sizes, moved along any power of C from 0 to 1."""
SMALLER, LARGER = float(np.log(1e9)), float(np.log(1e15))
"""Budgets are sought within these factors below and above the fitted ones."""
APART = 1.0
"""ln of how far N and D are moved to see whether more of both is better."""
USUAL = 120.0
"""C / N^2 at 20 tokens a parameter: where sizes are sought if the table had none."""


@dataclass(frozen=True)
class Best:
    """What a budget buys: arrays of one shape.

    Attributes:
      loss: or whatever the law's output is, in its own unit.
      log_params, log_tokens: ln N* and ln D*; NaN inside the package where the law is one in C alone.
      edge: whether N* lies at the end of the range searched, so that there is none.
    """

    loss: Floats
    log_params: Floats
    log_tokens: Floats
    edge: np.ndarray[Any, Any]


@dataclass(frozen=True)
class Surface:
    """The law of `fit` with `held` inputs, as the equation gets them. Made by `of`."""

    fit: "LawFit"
    held: dict[str, float]

    @staticmethod
    def of(fit: "LawFit", held: Mapping[str, float]) -> "Surface":
        """LawError where an input that the law needs beside N, D and C is absent, unknown or impossible."""
        law = fit.law
        further = [name for name in law.inputs if name not in PLANE]
        for name, value in held.items():
            if name not in further:
                takes = f"it holds {', '.join(further)}" if further else "it takes nothing beside N, D and C"
                raise LawError(f"{name!r} is no further input of form {fit.form}; {takes}{nearest(name, further)}")
            if not np.isfinite(value) or (name not in law.linear_inputs and value <= 0):
                raise LawError(f"{name} is {value}; it must be a positive number")
        for name in further:
            if name not in held:
                low, high = fit.ranges[name]
                raise LawError(
                    f"form {fit.form} needs {name} too; hold it, as in {name}={high:.3g} "
                    f"(fitted from {low:.3g} to {high:.3g})"
                )
        return Surface(fit, {name: float(value) for name, value in as_given(law, held).items()})

    @property
    def is_plane(self) -> bool:
        """Whether the law tells the loss of any N and D."""
        return self.fit.law.frontier is None and len(set(PLANE) & set(self.fit.law.inputs)) >= 2

    @property
    def has_optimum(self) -> bool:
        """Whether the law tells the best N for a budget."""
        return self.is_plane or self.fit.law.frontier is not None

    @property
    def buys(self) -> bool:
        """Whether the law tells the least loss for a budget."""
        return self.has_optimum or set(PLANE) & set(self.fit.law.inputs) == {"flops"}

    @functools.cached_property
    def sign(self) -> float:
        """1 where less of the output is better, as of a loss; -1 where more is, as of an accuracy.

        A form that says neither how it falls nor that it rises is tried at more of N and D.
        """
        if self.fit.law.rises or set(PLANE) & set(self.fit.law.falling):
            return -1.0 if self.fit.law.rises else 1.0
        if self.is_plane:
            low_n, high_n = self.fitted_sizes()
            log_d = sum(self.budgets()) / 2 - self.log_per_token((low_n + high_n) / 2)
            poor, rich = (
                self.loss(self.fit.params, (low_n + high_n) / 2 + away, log_d + away) for away in (-APART, APART)
            )
        else:
            poor, rich = (self.fit.law.evaluate(self.fit.params, {"flops": c} | self.held) for c in self.budgets())
        return -1.0 if rich > poor else 1.0

    def log_per_token(self, log_n: Any) -> Floats:
        """ln of the training FLOPs for each token."""
        return costs.log_flops_per_token(self.fit.cost, log_n)

    def loss(self, values: Mapping[str, Any], log_n: Any, log_d: Any) -> Floats:
        """L(N, D)."""
        known = {"params": log_n, "tokens": log_d} | self.held
        if "tokens_per_param" in self.fit.law.inputs:
            known["tokens_per_param"] = log_d - log_n
        if "flops" in self.fit.law.inputs:
            known["flops"] = log_d + self.log_per_token(log_n)
        return self.fit.law.evaluate(values, {name: known[name] for name in self.fit.law.inputs})

    def best(self, values: Mapping[str, Any], log_c: Any) -> Best:
        """The least loss for ln C (a number or one a resample), and the N and D that have it."""
        law = self.fit.law
        if not self.has_optimum:
            loss = law.evaluate(values, {"flops": log_c} | self.held)
            nothing = np.full(loss.shape, np.nan)
            return Best(loss, nothing, nothing, np.zeros(loss.shape, dtype=bool))
        low, high = self.window(log_c)
        if law.frontier is not None:
            log_n, log_d = law.frontier(values, log_c)
            loss = law.evaluate(values, {"flops": log_c} | self.held)
        elif law.optimum_6nd is not None and self.fit.cost["rule"] == "6N" and not self.held:
            log_n, log_d = law.optimum_6nd(values, log_c)
            loss = self.loss(values, log_n, log_d)
        else:

            def spent(log_n: Floats) -> Floats:
                return self.sign * self.loss(values, log_n, log_c - self.log_per_token(log_n))

            shape = np.broadcast_shapes(np.shape(log_c), *(np.shape(value) for value in values.values()))
            log_n, loss = least(spent, np.broadcast_to(low, shape), np.broadcast_to(high, shape))
            loss, log_d = self.sign * loss, log_c - self.log_per_token(log_n)
        log_n, log_d, loss = np.broadcast_arrays(log_n, log_d, loss)
        return Best(loss, log_n, log_d, (log_n - low < 1e-3) | (high - log_n < 1e-3))

    def window(self, log_c: Any) -> tuple[Any, Any]:
        """(lowest, highest) ln N among which N* is sought."""
        low_n, high_n = self.fitted_sizes()
        away = log_c - sum(self.budgets()) / 2
        return low_n + np.minimum(away, 0.0) - SPAN, high_n + np.maximum(away, 0.0) + SPAN

    def fitted_sizes(self) -> tuple[float, float]:
        """(lowest, highest) ln N fitted."""
        if "params" in self.fit.ranges:
            low, high = np.log(self.fit.ranges["params"])
            return float(low), float(high)
        low, high = ((log_c - np.log(USUAL)) / 2 for log_c in self.budgets())
        return float(low), float(high)

    def budgets(self) -> tuple[float, float]:
        """(lowest, highest) ln C fitted."""
        ranges = self.fit.ranges
        if "flops" in ranges:
            low, high = np.log(ranges["flops"])
            return float(low), float(high)
        sizes = np.log(ranges["params"])
        data = np.log(ranges["tokens"]) if "tokens" in ranges else sizes + np.log(ranges["tokens_per_param"])
        low, high = data + self.log_per_token(sizes)
        return float(low), float(high)

    def budget_for(self, values: Mapping[str, Any], loss: Any, log_n: Any = None, near: float | None = None) -> Floats:
        """ln of the least C whose best model, or whose model of ln N, reaches `loss`; inf where none does.

        `near` is where most resamples will have it, which saves looking everywhere.
        """
        shape = np.broadcast_shapes(
            np.shape(loss), np.shape(log_n) if log_n is not None else (), *(np.shape(v) for v in values.values())
        )
        target = np.broadcast_to(loss, shape).ravel()
        sizes = None if log_n is None else np.broadcast_to(log_n, shape).ravel()
        flat = _flat(values, shape)

        def above(log_c: Floats, index: np.ndarray[Any, Any]) -> Floats:
            own = {name: value[index] for name, value in flat.items()}
            if sizes is None:
                return self.sign * (self.best(own, log_c).loss - target[index])
            loss = self.loss(own, sizes[index], log_c - self.log_per_token(sizes[index]))
            return self.sign * (loss - target[index])

        low, high = self.budgets()
        return first_below(above, low - SMALLER, high + LARGER, target.size, near).reshape(shape)

    def tokens_for(self, values: Mapping[str, Any], loss: Any, log_n: Any, low: Any, high: Any) -> Floats:
        """ln of the least D, between the bounds, with which a model of ln N reaches `loss`; inf where none does."""
        shape = np.broadcast_shapes(np.shape(loss), np.shape(log_n), *(np.shape(v) for v in values.values()))
        target, sizes, lowest, highest = (np.broadcast_to(x, shape).ravel() for x in (loss, log_n, low, high))
        flat = _flat(values, shape)

        def above(log_d: Floats, index: np.ndarray[Any, Any]) -> Floats:
            own = {name: value[index] for name, value in flat.items()}
            return self.sign * (self.loss(own, sizes[index], log_d) - target[index])

        return first_below(above, lowest, highest, target.size).reshape(shape)


def typical(fit: "LawFit", given: Mapping[str, Any]) -> dict[str, Any]:
    """A value for each input of the law: as given, else the middle of what was fitted.

    Where the law refuses these, its linear inputs are taken for shares of one whole, and those not given make room.
    """
    law = fit.law
    point: dict[str, Any] = {}
    for name in law.inputs:
        low, high = fit.ranges[name]
        middle = (low + high) / 2 if name in law.linear_inputs else float(np.sqrt(low * high))
        point[name] = given.get(name, middle)
    try:
        law.evaluate(fit.params, as_given(law, point))
        if law.check:
            law.check(as_given(law, point), ())
    except LawError:
        others = [name for name in law.inputs if name in law.linear_inputs and name not in given]
        if not others:
            raise
        taken = sum(np.asarray(given[name]) for name in law.linear_inputs if name in given)
        scale = (1 - taken) / sum(point[name] for name in others)
        point |= {name: point[name] * scale for name in others}
    return point


def as_given(law: LawForm, point: Mapping[str, Any]) -> dict[str, Any]:
    """Values of the inputs as the equation gets them."""
    return {name: value if name in law.linear_inputs else np.log(value) for name, value in point.items()}


def _flat(values: Mapping[str, Any], shape: tuple[int, ...]) -> dict[str, Floats]:
    return {name: np.broadcast_to(value, shape).ravel() for name, value in values.items()}
