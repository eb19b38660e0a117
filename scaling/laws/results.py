"""LawFit: a fitted law with its intervals, diagnostics and provenance. Reading and asking it needs no JAX."""

import functools
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scaling.laws import allocation, costs, inverse, plots, prediction, serving
from scaling.laws.errors import LawError
from scaling.laws.forms import LawForm, form_named
from scaling.laws.surface import Surface
from scaling.laws.values import (
    Allocation,
    Budget,
    Curve,
    Deviation,
    Diagnostic,
    Estimate,
    Interval,
    Prediction,
    Serving,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SCHEMA = 2
"""Version of the JSON; a reader refuses a newer one."""


@dataclass(frozen=True)
class LawFit:
    """A form fitted to observations. Losses are in the table's own unit.

    Attributes:
      form: its name, or `module:name` for one of the user's own.
      options: what picks the member of a family of forms.
      equation: as people write it.
      inputs: what the law is a function of: params (N), tokens (D), flops (C), or any other column.
      output: what it predicts: `loss`, or another column.
      params: parameter name -> value, pinned ones included.
      intervals: parameter name -> Interval; pinned ones have none.
      level: of every interval.
      objective: name, delta, reduction (`sum`), space (`log` or `linear`), value.
      status: `ok`, or what is wrong and what to do.
      starts: total, share_at_optimum.
      diagnostics: findings, each with a code, a number and advice.
      rows: observations fitted.
      excluded: the observations left out, one line each with the reason.
      conventions: params and flops, as the table names them.
      cost: C per token as a function of N: {"rule": "6N"} or a table.
      noise: standard deviations of ln L: between_seeds, within_trajectory, residual, run, and how they were measured.
      ranges: input -> (lowest, highest) fitted.
      samples: parameter name -> resampled values; `run_noise` is the noise of one new run in each resample.
      pinned: parameters held, with their values.
      tied: parameters that take another's value.
      sha256: of the fitted data.
      versions: of what computed this.
      source: paper and equation of the form.
      details: what a procedure adds, such as each budget's parabola.
    """

    form: str
    options: dict[str, Any]
    equation: str
    inputs: tuple[str, ...]
    output: str
    params: dict[str, float]
    intervals: dict[str, Interval]
    level: float
    objective: dict[str, Any]
    status: str
    starts: dict[str, float]
    diagnostics: tuple[Diagnostic, ...]
    rows: int
    excluded: tuple[str, ...]
    conventions: dict[str, str]
    cost: dict[str, Any]
    noise: dict[str, Any]
    ranges: dict[str, tuple[float, float]]
    samples: dict[str, tuple[float, ...]] = field(repr=False)
    pinned: dict[str, float]
    tied: dict[str, str]
    sha256: str
    versions: dict[str, str]
    source: str
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether nothing speaks against trusting the fit."""
        return self.status == "ok"

    @functools.cached_property
    def law(self) -> LawForm:
        """The form itself, found by its name and options."""
        return form_named(self.form, self.options)

    def loss(self, **inputs: Any) -> Any:
        """What the law predicts at params=, tokens=, flops= or whatever its inputs are.

        A float, or an array where an input is one. Of N, D and C two give the third, through `cost`.
        """
        value = prediction.output(self, inputs)
        return value if value.ndim else float(value)

    def predict(self, *, runs: int = 1, **inputs: float | None) -> Prediction:
        """The output at one point with the interval of the curve and that of the mean output of `runs` new runs."""
        return prediction.predict(self, inputs, runs)

    def curve(self, **inputs: Any) -> Curve:
        """Output and confidence band along arrays of inputs."""
        return prediction.curve(self, inputs)

    @property
    def has_optimum(self) -> bool:
        """Whether the law tells the best N and D for a budget, so that `optimum` answers."""
        return Surface(self, {}).has_optimum

    def optimum(self, *, flops: float, **held: float) -> Allocation:
        """N*, D*, D*/N* and the loss for a budget, each with its interval; `held`: the law's further inputs."""
        return allocation.optimum(self, flops, held)

    def exponents(self, flops: float | None = None, **held: float) -> dict[str, Estimate]:
        """Exponents of N* ("params") and D* ("tokens") in C, at a budget."""
        return allocation.exponents(self, flops, held)

    def budget_for(self, *, loss: float, params: float | None = None, **held: float) -> Budget:
        """The least compute that reaches a loss, with the best model or with one of `params`."""
        return inverse.budget_for(self, loss, params, held)

    def deviation(self, *, flops: float, factor: float = 2.0, params: float | None = None, **held: float) -> Deviation:
        """What a size of `factor` times N*, or of `params`, costs at a budget: as loss and as compute."""
        return inverse.deviation(self, flops, factor, params, held)

    def cheapest(
        self, *, loss: float, served_tokens: float, inference: float | costs.Cost = serving.FORWARD, **held: float
    ) -> Serving:
        """The cheapest model of a loss to train and to serve; `inference`: its part of the training cost per token."""
        return serving.cheapest(self, loss, served_tokens, inference, held)

    def serving_optimum(
        self, *, flops: float, served_tokens: float, inference: float | costs.Cost = serving.FORWARD, **held: float
    ) -> Serving:
        """The best model whose training and serving together cost `flops`."""
        return serving.serving_optimum(self, flops, served_tokens, inference, held)

    def plot(self, table: Any = None, *, columns: Mapping[str, str] | None = None, **held: float) -> "Figure":
        """A matplotlib Figure of what the law says, with its bands; with a table also its rows and residuals."""
        return plots.plot(self, table, columns, held)

    def as_json(self) -> dict[str, Any]:
        """Plain data, from which `from_json` makes an equal LawFit."""
        plain = {item.name: getattr(self, item.name) for item in fields(self)}
        plain["intervals"] = {name: asdict(value) for name, value in self.intervals.items()}
        plain["diagnostics"] = [asdict(item) for item in self.diagnostics]
        for name in ("inputs", "excluded"):
            plain[name] = list(plain[name])
        for name in ("ranges", "samples"):
            plain[name] = {key: list(values) for key, values in plain[name].items()}
        return {"schema": SCHEMA, **plain}

    def to_json(self) -> str:
        """JSON text; floats to the last bit."""
        return json.dumps(self.as_json(), allow_nan=False)

    @staticmethod
    def from_json(source: str | Mapping[str, Any]) -> "LawFit":
        """The LawFit that `to_json` or `as_json` wrote. LawError where a field is missing, unknown or newer."""
        given = dict(json.loads(source) if isinstance(source, str) else source)
        schema = given.pop("schema", None)
        if schema != SCHEMA:
            raise LawError(f"not a law that this version reads: schema is {schema!r}, this version's is {SCHEMA}")
        known = {item.name for item in fields(LawFit)}
        for problem, names in (("lacks", known - set(given)), ("has an unknown field", set(given) - known)):
            if names:
                raise LawError(f"not a law: it {problem} {sorted(names)[0]!r}")
        given["intervals"] = {name: Interval(**value) for name, value in given["intervals"].items()}
        given["diagnostics"] = tuple(Diagnostic(**item) for item in given["diagnostics"])
        for name in ("inputs", "excluded"):
            given[name] = tuple(given[name])
        given["ranges"] = {key: (float(low), float(high)) for key, (low, high) in given["ranges"].items()}
        given["samples"] = {key: tuple(values) for key, values in given["samples"].items()}
        return LawFit(**given)


def load(path: str | Path) -> LawFit:
    """The law in a JSON file."""
    given = json.loads(Path(path).read_text(encoding="utf-8"))
    if not isinstance(given, Mapping):
        raise LawError(f"{path} does not hold a law")
    return LawFit.from_json(given)


def rounded_samples(values: Mapping[str, np.ndarray[Any, Any]], limit: int = 1000) -> dict[str, tuple[float, ...]]:
    """At most `limit` resamples, evenly thinned, in ten significant digits."""
    thinned = {name: column[:: -(-len(column) // limit)] for name, column in values.items()}
    return {name: tuple(float(f"{value:.9e}") for value in column) for name, column in thinned.items()}
