"""What a law answers: intervals, estimates, predictions, allocations. Frozen; lossless as JSON."""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
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
        """The value with its interval; an end that is open is written as infinity."""
        shown = [write(x) if math.isfinite(x) else "∞" for x in (self.value, self.low, self.high)]
        return f"{shown[0]} [{shown[1]}, {shown[2]}]"

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
class Sensitivity:
    """How answers move with one parameter that the runs leave open, such as E.

    Attributes:
      parameter: its name.
      values: where it is put, ascending; its fitted value is among them.
      answers: what is asked -> its value for each of `values`, everything else fitted again.
      method: `resamples` (the answers' mean given the parameter, by regression over the resamples) or `refits`.
      explained: what is asked -> the part of its variance over the resamples that goes with the parameter; no refits.
      objective: of the refit at each of `values`; empty for resamples.
    """

    parameter: str
    values: tuple[float, ...]
    answers: dict[str, tuple[float, ...]]
    method: str
    explained: dict[str, float] = field(default_factory=dict)
    objective: tuple[float, ...] = ()

    @property
    def ratio(self) -> float:
        """The largest factor between an answer's values; infinity where one changes its sign."""
        spans = [(min(moved), max(moved)) for moved in self.answers.values()]
        return max((high / low if low > 0 else low / high if high < 0 else math.inf) for low, high in spans)

    def text(self) -> str:
        """One line: the answers at either end of the parameter's values."""
        moved = ", ".join(f"{name} {count(each[0])} or {count(each[-1])}" for name, each in self.answers.items())
        return f"with {self.parameter} at {number(self.values[0])} or {number(self.values[-1])}: {moved}"


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
      sensitivity_to_E: how the loss moves with the law's asymptote; None where it has none that is free.
    """

    loss: float
    confidence: Interval
    prediction: Interval
    runs: int
    inputs: dict[str, float]
    diagnostics: tuple[Diagnostic, ...] = ()
    sensitivity_to_E: Sensitivity | None = None

    def as_json(self) -> dict[str, Any]:
        """Plain data; what is infinite is null."""
        return _plain(asdict(self))


@dataclass(frozen=True)
class Allocation:
    """The least loss that `flops` can buy: N*, D*, D*/N* and the loss there, each with its interval.

    `held` are the law's further inputs; `sensitivity_to_E` says how the answers move with its asymptote, where it has
    one that is free.
    """

    flops: float
    params: Estimate
    tokens: Estimate
    tokens_per_param: Estimate
    loss: Estimate
    diagnostics: tuple[Diagnostic, ...] = ()
    held: dict[str, float] = field(default_factory=dict)
    sensitivity_to_E: Sensitivity | None = None

    def as_json(self) -> dict[str, Any]:
        """Plain data; what is infinite is null."""
        return _plain(asdict(self))


@dataclass(frozen=True)
class Budget:
    """The training compute that `loss` needs, and the model that it then pays for.

    Attributes:
      loss: asked for.
      flops: the least C that reaches it; `high` is infinite where some resampled laws never do.
      params, tokens, tokens_per_param: of that model; None where the law is one in C alone.
      held: further inputs of the law, and `params` where the size was given.
    """

    loss: float
    flops: Estimate
    params: Estimate | None
    tokens: Estimate | None
    tokens_per_param: Estimate | None
    held: dict[str, float] = field(default_factory=dict)
    diagnostics: tuple[Diagnostic, ...] = ()
    sensitivity_to_E: Sensitivity | None = None

    def as_json(self) -> dict[str, Any]:
        """Plain data; what is infinite is null."""
        return _plain(asdict(self))


@dataclass(frozen=True)
class Deviation:
    """What another size than N* costs at one budget.

    Attributes:
      flops: the budget.
      factor: N / N*.
      params, tokens: the size, and what the budget then leaves for data.
      loss: of that model.
      loss_increase: over the loss of N*; what it falls short, where the law's output is one that rises.
      equivalent_flops: the budget that reaches the same loss with its own N*.
      wasted: 1 - equivalent_flops / flops.
      overhead: the part of the budget that the size needs on top to reach the loss of N*; infinite where it never does.
    """

    flops: float
    factor: Estimate
    params: Estimate
    tokens: Estimate
    loss: Estimate
    loss_increase: Estimate
    equivalent_flops: Estimate
    wasted: Estimate
    overhead: Estimate
    held: dict[str, float] = field(default_factory=dict)
    diagnostics: tuple[Diagnostic, ...] = ()
    sensitivity_to_E: Sensitivity | None = None

    def as_json(self) -> dict[str, Any]:
        """Plain data; what is infinite is null."""
        return _plain(asdict(self))


@dataclass(frozen=True)
class Serving:
    """The model that is cheapest to train and to serve.

    Attributes:
      served_tokens: processed over its life, prompts and answers.
      inference: FLOPs for each of them, as a part of the training cost per token, or `table`.
      loss: of the model; its interval is a point where it was asked for.
      params, tokens, tokens_per_param: of the model.
      training_flops, serving_flops, total_flops: what it costs.
      saved: the part of the total that it saves against the model that reaches this loss with the least training.
    """

    served_tokens: float
    inference: float | str
    loss: Estimate
    params: Estimate
    tokens: Estimate
    tokens_per_param: Estimate
    training_flops: Estimate
    serving_flops: Estimate
    total_flops: Estimate
    saved: Estimate
    held: dict[str, float] = field(default_factory=dict)
    diagnostics: tuple[Diagnostic, ...] = ()
    sensitivity_to_E: Sensitivity | None = None

    def as_json(self) -> dict[str, Any]:
        """Plain data; what is infinite is null."""
        return _plain(asdict(self))


@dataclass(frozen=True)
class Curve:
    """Loss along arrays of inputs, with the confidence band of the curve; arrays of one shape."""

    loss: Floats
    low: Floats
    high: Floats
    level: float


def _plain(value: Any) -> Any:
    """`value` with what is infinite, as an open end of an interval, as None: JSON has no infinity."""
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
