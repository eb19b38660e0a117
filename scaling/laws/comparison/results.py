"""Comparison: which of two arms is better, by how much compute, and how sure. Frozen; reading it needs no JAX."""

import math
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from scaling.laws.results import LawFit
from scaling.laws.values import Diagnostic, Estimate, count, number

SCHEMA = 1
NEVER = 1e6
"""A gain from which one arm is said never to reach the other."""


@dataclass(frozen=True)
class Crossing:
    """A budget at which both arms' compute-optimal losses are equal.

    Attributes:
      flops: where, with the interval over the resamples that cross.
      share: of the resamples that cross at all in the range searched.
      better_above: `a` or `b`.
    """

    flops: Estimate
    share: float
    better_above: Literal["a", "b"]


@dataclass(frozen=True)
class NullTest:
    """A special case against a wider law.

    Attributes:
      null: what is tested.
      statistic: objective under the null / objective of the wider law - 1; for single runs F times constants.
      p: share of `draws` tables, drawn from the null and fitted both ways, with a statistic as large.
      parameters: how many the wider law has more.
      draws: simulated tables.
    """

    null: str
    statistic: float
    p: float
    parameters: int
    draws: int


@dataclass(frozen=True)
class Comparison:
    """Arm b against arm a.

    Attributes:
      names: of arm a and arm b.
      at: target compute C, in FLOPs.
      exponents: `shared` (arm b is arm a with effective N and D) or `separate`.
      gain: G at the target: the factor of compute that a needs more to reach b's compute-optimal loss; above 1 where b
        is better.
      better: how sure it is that b is better at the target, 0 to 1.
      gains: (C, G) along the budgets.
      trend: d ln G / d ln C at the target; None where G is infinite there.
      multipliers: of arm b's N ("params") and D ("tokens"); empty where exponents are separate.
      crossings: budgets where the frontiers cross.
      tests: simulated tests; empty where no draws were asked for.
      a, b: each arm's law, which predicts and allocates; resample k of one belongs to resample k of the other.
      runs: of each arm.
      pairs: runs of one N, D and seed in both arms.
      correlation: of a pair's noise; None where nothing pairs up.
      standard_error: of ln G at the target by the delta method on the joint fit's information; infinite where G is.
      freedom: its degrees of freedom: how well the noise is known, the part that pairs share included.
      status: `ok`, or what is wrong and what to do.
      diagnostics: findings, each with a code, a number and advice.
    """

    names: tuple[str, str]
    at: float
    exponents: str
    gain: Estimate
    better: float
    gains: tuple[tuple[float, Estimate], ...]
    trend: Estimate | None
    multipliers: dict[str, Estimate]
    crossings: tuple[Crossing, ...]
    tests: tuple[NullTest, ...]
    a: LawFit
    b: LawFit
    runs: tuple[int, int]
    pairs: int
    correlation: Estimate | None
    standard_error: float
    freedom: float
    status: str
    diagnostics: tuple[Diagnostic, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing speaks against trusting the comparison."""
        return self.status == "ok"

    @property
    def constant(self) -> bool:
        """Whether the gain is the same at every budget, as it is with shared exponents and one cost per token."""
        return self.trend is not None and self.trend.low == self.trend.high == 0

    def as_json(self) -> dict[str, Any]:
        """Plain data; what is infinite is null. `a` and `b` are as LawFit.from_json reads them."""
        plain: dict[str, Any] = {item.name: getattr(self, item.name) for item in fields(self)}
        for name in ("gain", "trend", "correlation"):
            plain[name] = None if plain[name] is None else asdict(plain[name])
        for name in ("crossings", "tests", "diagnostics"):
            plain[name] = [asdict(item) for item in plain[name]]
        plain |= {
            "gains": [{"flops": flops, **asdict(gain)} for flops, gain in self.gains],
            "multipliers": {name: asdict(value) for name, value in self.multipliers.items()},
            "a": self.a.as_json(),
            "b": self.b.as_json(),
        }
        finite: dict[str, Any] = _finite({"schema": SCHEMA, **plain})
        return finite

    def rows(self) -> list[tuple[str, str]]:
        """(question, answer) pairs to print, the most wanted first."""
        a, b = self.names
        best = [fit.optimum(flops=self.at) for fit in (self.a, self.b)]
        winner, loser, sure = (b, a, self.better) if self.better >= 0.5 else (a, b, 1 - self.better)
        found = [
            (f"{winner} better than {loser} at {number(self.at)} FLOPs", _sure(sure)),
            ("compute-equivalent gain", f"{_factor(self.gain)}: {a} needs {_times(self.gain.value)} the compute"),
            ("trend of the gain", self._trend()),
        ]
        if not self.constant:
            found += [(f"gain at {number(flops)} FLOPs", _factor(gain)) for flops, gain in self.gains]
        found += [("frontiers cross", self._crossing(item)) for item in self.crossings]
        if not self.crossings:
            found.append(("frontiers cross", "nowhere near these budgets"))
        for name, what in (("params", "N"), ("tokens", "D")):
            if name in self.multipliers:
                found.append((f"{b}'s effective {what}", f"{self.multipliers[name].text()} times its {what}"))
        for name, answer in zip(self.names, best, strict=True):
            text = f"{answer.loss.text()} with N* {answer.params.text(count)}, D* {answer.tokens.text(count)}"
            found.append((f"{name}'s optimum", text))
        pairing = f"{self.pairs} of {self.runs[0]} and {self.runs[1]} runs"
        if self.correlation is not None:
            pairing += f"; correlation {self.correlation.text()}"
        found.append(("pairs", pairing))
        found += [(f"test: {test.null}", f"p = {test.p:.2g} ({test.draws} simulations)") for test in self.tests]
        found.append(("status", self.status))
        found += [(item.code, item.message) for item in self.diagnostics]
        return found

    def __str__(self) -> str:
        return "\n".join(f"{question}: {answer}" for question, answer in self.rows())

    def _trend(self) -> str:
        if self.constant:
            return "none: with shared exponents and one cost per token it is the same at every budget"
        if self.trend is None:
            return "none can be told: the gain is infinite"
        value, low, high = (10**x for x in (self.trend.value, self.trend.low, self.trend.high))
        return f"times {Estimate(value, low, high, self.trend.level).text()} for ten times the compute"

    def _crossing(self, item: Crossing) -> str:
        above = self.names[0] if item.better_above == "a" else self.names[1]
        return f"at {item.flops.text()} FLOPs, {above} better above; in {item.share:.0%} of the resamples"


def _sure(share: float) -> str:
    """A share as a person would say it, never 100%."""
    return f"{100 * share:.1f}% sure" if share > 0.9 else f"{100 * share:.0f}% sure"


def _times(gain: float) -> str:
    return f"{_size(gain)} times"


def _factor(gain: Estimate) -> str:
    return gain.text(_size)


def _size(gain: float) -> str:
    return "over 1e6" if gain > NEVER else "under 1e-6" if gain < 1 / NEVER else number(gain)


def _finite(value: Any) -> Any:
    """Plain data with what is infinite as None: JSON has no infinity."""
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
