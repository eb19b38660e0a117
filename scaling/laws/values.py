"""What a law answers: intervals, estimates, predictions, allocations. Frozen; lossless as JSON."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from scaling.laws.forms import Floats


def number(value: float) -> str:
    """Three significant digits as people write them (four from 1 to 10): 0.512, 1.246, 84.3, 1.2e12."""
    if value and not 1e-3 <= abs(value) < 1e6:
        mantissa, exponent = f"{value:.2e}".split("e")
        return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.{4 if 1 <= abs(value) < 10 else 3}g}"


def count(value: float) -> str:
    """Three significant digits with a suffix: 84.3k, 2.18M, 68.9B, 1.4T."""
    for unit, suffix in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if 0.9995 * unit <= abs(value) < 1000 * unit:
            return f"{value / unit:.3g}{suffix}"
    return number(value)


@dataclass(frozen=True)
class Interval:
    """Holds the truth in `level` of repetitions of the whole study, as far as the form is right."""

    low: float
    high: float
    level: float

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high


@dataclass(frozen=True)
class Estimate:
    """A value and its interval."""

    value: float
    low: float
    high: float
    level: float

    @property
    def interval(self) -> Interval:
        return Interval(self.low, self.high, self.level)

    def text(self, write: Callable[[float], str] = number) -> str:
        """The value with its interval."""
        return f"{write(self.value)} [{write(self.low)}, {write(self.high)}]"

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high


@dataclass(frozen=True)
class Diagnostic:
    """A finding: a code for programs, the number behind it, and what to do.

    `severity` is `error` where the fit cannot be trusted, else `warning` or `note`.
    """

    code: str
    value: float
    message: str
    severity: str = "warning"


@dataclass(frozen=True)
class Prediction:
    """The loss at one point.

    Attributes:
      loss: of the fitted curve.
      confidence: where the curve lies.
      prediction: where the mean loss of `runs` new runs, each with a seed of its own, will lie.
      runs: how many new runs.
      inputs: N, D and C of the point, as far as the law needs them.
      diagnostics: extrapolation distance and the like.
    """

    loss: float
    confidence: Interval
    prediction: Interval
    runs: int
    inputs: dict[str, float]
    diagnostics: tuple[Diagnostic, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


@dataclass(frozen=True)
class Allocation:
    """The least loss that `flops` can buy: N*, D*, D*/N* and the loss there, each with its interval."""

    flops: float
    params: Estimate
    tokens: Estimate
    tokens_per_param: Estimate
    loss: Estimate
    diagnostics: tuple[Diagnostic, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


@dataclass(frozen=True)
class Curve:
    """Loss along arrays of inputs, with the confidence band of the curve; arrays of one shape."""

    loss: Floats
    low: Floats
    high: Floats
    level: float
