"""What every form must do, whatever its equation: one example each, planted parameters and a grid of inputs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scaling import laws
from scaling.laws.forms import LawForm, coordinates, form_named, natural

DOCS = Path(__file__).parents[3] / "docs" / "laws"


@dataclass(frozen=True)
class Example:
    """A form with planted parameters.

    Attributes:
      form, options: as given to laws.fit.
      truth: every parameter's planted value.
      inputs: column -> values; rows of a table.
      fit: further arguments of laws.fit.
      exact: parameters that noiseless data tell to a relative 1e-5; all of them when None. Predictions always must.
    """

    form: str
    truth: Mapping[str, float]
    inputs: Mapping[str, Any]
    options: Mapping[str, Any] = field(default_factory=dict)
    fit: Mapping[str, Any] = field(default_factory=dict)
    exact: tuple[str, ...] | None = None

    @property
    def law(self) -> LawForm:
        return form_named(self.form, self.options)

    def columns(self) -> dict[str, np.ndarray]:
        return {name: np.asarray(values, dtype=np.float64) for name, values in self.inputs.items()}

    def as_given(self) -> dict[str, np.ndarray]:
        """Inputs as the equation gets them."""
        return {
            name: self.columns()[name] if name in self.law.linear_inputs else np.log(self.columns()[name])
            for name in self.law.inputs
        }

    def table(self, noise: float = 0.0, seed: int = 0) -> dict[str, Any]:
        """Rows of the planted law; noise is relative where residuals are logarithms, else as it is."""
        planted = np.broadcast_to(
            self.law.evaluate(self.truth, self.as_given()), len(next(iter(self.columns().values())))
        )
        drawn = noise * np.random.default_rng(seed).standard_normal(len(planted))
        target = planted * np.exp(drawn) if self.law.space == "log" else planted + drawn
        return self.columns() | {self.law.output: target}


def check_contract(example: Example) -> None:
    """The whole contract; AssertionError names what fails."""
    law = example.law
    assert set(example.truth) == set(law.names)
    assert law.text
    assert law.source
    assert (DOCS / f"{law.name}.md").is_file(), f"docs/laws/{law.name}.md is missing"
    _coordinates_come_back(example)
    _gradients_are_right(example)
    _planted_parameters_come_back(example)
    _intervals_hold_the_fit(example)


def _coordinates_come_back(example: Example) -> None:
    law, centres = example.law, {name: float(values.mean()) for name, values in example.as_given().items()}
    z = coordinates(law, example.truth, centres)
    again = natural(law, z, centres, lambda index, value: value, {}, np)
    for name, value in example.truth.items():
        assert float(again[name]) == pytest.approx(value, rel=1e-9), name


def _gradients_are_right(example: Example) -> None:
    law, given = example.law, example.as_given()
    centres = {name: float(values.mean()) for name, values in given.items()}
    z = coordinates(law, example.truth, centres)

    def predicted(point: Any, xp: Any) -> Any:
        values = natural(law, point, centres, lambda index, value: value, {}, xp)
        return law.equation(values, given, xp)

    with jax.enable_x64(True):
        exact = np.asarray(jax.jacfwd(lambda point: predicted(point, jnp))(jnp.asarray(z)))
    assert np.all(np.isfinite(exact))
    for index in range(len(z)):
        width = 1e-6 * max(1.0, abs(z[index]))
        up, down = z.copy(), z.copy()
        up[index] += width
        down[index] -= width
        slope = (predicted(up, np) - predicted(down, np)) / (2 * width)
        scale = np.max(np.abs(slope)) + 1e-12
        assert np.max(np.abs(exact[..., index] - slope)) <= 1e-4 * scale + 1e-7, law.names[index]


def _planted_parameters_come_back(example: Example) -> None:
    law, table = example.law, example.table()
    fit = laws.fit(table, example.form, resamples=0, **{**example.options, **example.fit})
    predicted = fit.loss(**{name: table[name] for name in law.inputs})
    np.testing.assert_allclose(predicted, table[law.output], rtol=1e-6)
    for name in law.names if example.exact is None else example.exact:
        assert fit.params[name] == pytest.approx(example.truth[name], rel=1e-5), name


def _intervals_hold_the_fit(example: Example) -> None:
    law, table = example.law, example.table(noise=0.002)
    fit = laws.fit(table, example.form, resamples=40, **{"starts": 64, **example.options, **example.fit})
    assert laws.LawFit.from_json(fit.to_json()) == fit
    for name, interval in fit.intervals.items():
        assert interval.low <= fit.params[name] <= interval.high, name
    point = {name: float(table[name][0]) for name in law.inputs}
    said = fit.predict(**point)
    assert said.prediction.low <= said.confidence.low <= said.loss <= said.confidence.high <= said.prediction.high
    assert np.isfinite([said.prediction.low, said.prediction.high]).all()
