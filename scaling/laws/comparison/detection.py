"""How many more runs would detect a gain: by the delta method on the joint fit's information.

ln G has standard error s with f degrees of freedom now, and s / sqrt(1 + k) with (1 + k) f after k times as many runs
again: the same sizes, tokens, pairing and split between the arms, other seeds. A gain is detected where the interval of
G leaves out 1: with the probability that a noncentral t of noncentrality ln(1 + gain) / (s / sqrt(1 + k)) lies beyond
Student's quantile. No JAX.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.special import nctdtr, stdtrit

from scaling.laws.comparison.results import Comparison
from scaling.laws.errors import LawError
from scaling.laws.values import number

MOST = 1e6
"""Times the present runs beyond which no number is given."""
SURE = 30.0
"""Standard errors from which a gain is never missed, and the noncentral t's series ends."""
TINY = 1e-300
METHOD = "delta method on the joint fit's information; new runs repeat the present design with other seeds"


@dataclass(frozen=True)
class Power:
    """What it takes to detect a gain.

    Attributes:
      gain: to be detected, such as 0.1 for 10% of compute, either way.
      at: target compute at which it is meant, in FLOPs.
      power: wanted probability that the interval of G leaves out 1.
      level: of that interval.
      now: that probability with the present runs.
      detectable: gain that the present runs detect with probability `power`.
      runs: present runs of both arms together.
      more: further runs, of both arms together; 0 where the present ones suffice.
      standard_error: of ln G now.
      method: how this was had.
    """

    gain: float
    at: float
    power: float
    level: float
    now: float
    detectable: float
    runs: int
    more: int
    standard_error: float
    method: str = METHOD

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)

    def rows(self) -> list[tuple[str, str]]:
        """(question, answer) pairs to print."""
        wanted = f"a gain of {self.gain:.3g} at {number(self.at)} FLOPs with {self.power:.0%} power"
        need = f"{self.more} beside the present {self.runs}" if self.more else f"none beside the present {self.runs}"
        return [
            (f"more runs for {wanted}", need),
            ("its power now", f"{100 * self.now:.3g}%"),
            (f"detectable now with {self.power:.0%} power", f"a gain of {self.detectable:.3g}"),
            ("how", self.method),
        ]

    def __str__(self) -> str:
        return "\n".join(f"{question}: {answer}" for question, answer in self.rows())


def power(comparison: Comparison, gain: float = 0.1, power: float = 0.8, level: float | None = None) -> Power:
    """How many more runs would detect that one arm needs 1 + `gain` times the compute, with probability `power`.

    Raises LawError where the gain, the power or the level is impossible, or no number of runs that anyone has would do.
    """
    width = comparison.gain.level if level is None else level
    for name, value, low, high in (("gain", gain, 0.0, np.inf), ("power", power, 0.0, 1.0), ("level", width, 0.5, 1.0)):
        if not low < value < high:
            raise LawError(f"{name} is {value}; it must lie between {low:g} and {high:g}")
    if not np.isfinite(comparison.standard_error):
        raise LawError("the gain is infinite at this target, so it has no standard error; ask at a lower budget")
    runs, freedom, error = sum(comparison.runs), comparison.freedom, comparison.standard_error

    def probability(effect: float, times: float) -> float:
        """Of detecting ln G = effect with `times` the present runs."""
        left = freedom * times
        edge = float(stdtrit(left, (1 + width) / 2))
        away = effect * np.sqrt(times) / max(error, TINY)
        if away > SURE:
            return 1.0
        # Either way counts, as it does for the interval: above the edge, or below its negative.
        return float(2 - nctdtr(left, away, edge) - nctdtr(left, -away, edge))

    effect = float(np.log1p(gain))
    times = _least(lambda value: probability(effect, value), power, 1.0, MOST)
    if times is None:
        raise LawError(
            f"a gain of {gain:g} takes more than {MOST:g} times the present {runs} runs; ask for a larger gain, or "
            "pair runs by N, D and seed"
        )
    largest = _least(lambda value: probability(value, 1.0), power, 1e-12, 1e3)
    return Power(
        gain=gain,
        at=comparison.at,
        power=power,
        level=width,
        now=probability(effect, 1.0),
        detectable=float(np.expm1(largest if largest is not None else np.inf)),
        runs=runs,
        more=int(np.ceil((times - 1) * runs - 1e-9)),
        standard_error=error,
    )


def _least(of: Any, wanted: float, low: float, high: float) -> float | None:
    """The least value between `low` and `high` at which the growing function reaches `wanted`, by bisection in ln."""
    if of(low) >= wanted:
        return low
    if of(high) < wanted:
        return None
    left, right = np.log(low), np.log(high)
    for _ in range(60):
        middle = (left + right) / 2
        left, right = (left, middle) if of(float(np.exp(middle))) >= wanted else (middle, right)
    return float(np.exp(right))
