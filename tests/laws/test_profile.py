"""Profiles: exact intervals where theory has them, a second solver's minima, published flat valleys."""

import functools
import json
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy.optimize import least_squares
from scipy.stats import f as f_distribution
from scipy.stats import t as t_distribution

from scaling import laws
from scaling.laws import profiling
from scaling.laws.forms import LawForm, Values, real
from scaling.laws.values import number
from tests.laws import planted

LEAST_SQUARES = {"objective": "least_squares", "starts": 32}


@functools.cache
def noisy() -> dict[str, np.ndarray]:
    """Twenty independent runs of the planted law with 1% noise."""
    generator = np.random.default_rng(5)
    params = np.tile(np.geomspace(1e4, 3e5, 5), 4)
    tokens = np.repeat(np.geomspace(3e5, 1e7, 4), 5)
    loss = planted.loss(params, tokens) * np.exp(0.01 * generator.standard_normal(20))
    return {"params": params, "tokens": tokens, "loss": loss}


def scipy_objective(name: str, value: float) -> float:
    """The sum of squares with one parameter held, by SciPy in coordinates of its own."""
    table = noisy()
    free = [other for other in planted.TRUTH if other != name]

    def residuals(z: np.ndarray) -> np.ndarray:
        p = {other: np.exp(x) for other, x in zip(free, z, strict=True)} | {name: value}
        return np.log(planted.loss(table["params"], table["tokens"], p)) - np.log(table["loss"])

    start = [np.log(planted.TRUTH[other]) for other in free]
    found = least_squares(residuals, start, x_scale="jac", xtol=1e-14, ftol=1e-14, gtol=1e-14, max_nfev=20000)
    return float(2 * found.cost)


def test_a_straight_line_has_its_t_interval() -> None:
    generator = np.random.default_rng(0)
    sizes = np.geomspace(1e4, 1e6, 12)
    table = {"params": sizes, "loss": 30 * sizes**-0.2 * np.exp(0.01 * generator.standard_normal(12))}
    x, y = np.log(sizes) - np.log(sizes).mean(), np.log(table["loss"])
    slope = float(x @ y / (x @ x))
    left = y - y.mean() - slope * x
    half = t_distribution.ppf(0.975, 10) * np.sqrt(left @ left / 10 / (x @ x))
    found = profiling.profile(table, "power", "alpha", pin={"E": 0.0}, **LEAST_SQUARES)
    assert found.calibration == "F(1, 10)"
    assert found.estimate == pytest.approx(-slope, rel=1e-8)
    assert (found.interval.low, found.interval.high) == pytest.approx((-slope - half, -slope + half), rel=1e-8)
    # ln A has the interval of the line's height far from the data: its coordinate in a fit is another one.
    away = float(np.log(sizes).mean())
    half = t_distribution.ppf(0.975, 10) * np.sqrt(left @ left / 10 * (1 / 12 + away**2 / (x @ x)))
    found = profiling.profile(table, "power", "A", pin={"E": 0.0}, **LEAST_SQUARES)
    middle = y.mean() - slope * away
    assert np.log([found.interval.low, found.interval.high]) == pytest.approx([middle - half, middle + half], rel=1e-7)


@pytest.mark.parametrize("name", ["alpha", "E", "B"])
def test_every_point_is_the_minimum_that_scipy_finds(name: str) -> None:
    found = profiling.profile(noisy(), "chinchilla", name, **LEAST_SQUARES)
    near = np.flatnonzero(found.objective < found.objective.min() * 2)
    for index in near[:: max(1, len(near) // 4)]:
        assert found.objective[index] == pytest.approx(scipy_objective(name, float(found.values[index])), rel=1e-6)
    assert (found.low, found.high) == ("closed", "closed")
    limit = scipy_objective(name, found.estimate) * (1 + f_distribution.ppf(0.95, 1, 15) / 15)
    assert found.threshold == pytest.approx(limit, rel=1e-8)
    for end in (found.interval.low, found.interval.high):
        assert scipy_objective(name, end) == pytest.approx(limit, rel=1e-4)


def test_the_others_are_where_the_objective_is_reached() -> None:
    found = profiling.profile(noisy(), "chinchilla", "beta", **LEAST_SQUARES)
    index = int(np.argmin(np.abs(found.values - found.interval.high)))
    params = {name: values[index] for name, values in found.others.items()} | {"beta": found.values[index]}
    left = np.log(planted.loss(noisy()["params"], noisy()["tokens"], params)) - np.log(noisy()["loss"])
    assert left @ left == pytest.approx(found.objective[index], rel=1e-9)


def test_the_simulated_threshold_is_the_f_quantile_where_that_holds() -> None:
    exact = profiling.profile(noisy(), "chinchilla", "alpha", **LEAST_SQUARES)
    drawn = profiling.profile(noisy(), "chinchilla", "alpha", calibration="simulated", resamples=2000, **LEAST_SQUARES)
    assert drawn.calibration == "2000 simulated tables"
    rises = [one.threshold / one.objective.min() - 1 for one in (exact, drawn)]
    # The 95% quantile of 2000 draws of F(1, 15) has a standard error of 5%.
    assert rises[1] == pytest.approx(rises[0], rel=0.2)
    wide = profiling.profile(noisy(), "chinchilla", "alpha", delta=1e3, starts=32)
    assert wide.calibration == "400 simulated tables"
    assert wide.interval.high == pytest.approx(exact.interval.high, rel=0.03)


def test_rows_of_one_trajectory_widen_the_interval() -> None:
    """Twelve runs of eight checkpoints that share nearly all their noise tell no more than about twelve rows."""
    generator = np.random.default_rng(3)
    runs = np.repeat(np.arange(12), 8)
    params = np.geomspace(1e4, 3e5, 12)[generator.permutation(12)][runs]
    tokens = np.geomspace(1e6, 1e7, 12)[runs] * 0.8 ** np.tile(np.arange(8), 12)
    scatter = 0.01 * generator.standard_normal(12)[runs] + 0.001 * generator.standard_normal(96)
    table = {"params": params, "tokens": tokens, "loss": planted.loss(params, tokens) * np.exp(scatter)}
    apart = profiling.profile(table, "chinchilla", "alpha", **LEAST_SQUARES)
    together = profiling.profile(table | {"trajectory": runs}, "chinchilla", "alpha", **LEAST_SQUARES)
    widths = [one.interval.high - one.interval.low for one in (apart, together)]
    assert together.calibration == "400 simulated tables"
    assert widths[1] > 1.5 * widths[0]


def test_what_the_rows_do_not_tell_is_open() -> None:
    table = noisy() | {"loss": noisy()["loss"] * np.exp(0.1 * np.random.default_rng(1).standard_normal(20))}
    found = profiling.profile(table, "chinchilla", "E", **LEAST_SQUARES)
    assert (found.low, found.high) == ("open", "closed")
    assert found.interval.low == 0.0
    assert [(item.code, item.severity) for item in found.diagnostics] == [("profile_open", "note")]
    edge = noisy() | {"tokens": 20 * noisy()["params"]}
    edge["loss"] = planted.loss(edge["params"], edge["tokens"]) * np.exp(0.01 * np.linspace(-1, 1, 20) ** 3)
    found = profiling.profile(edge, "chinchilla", "alpha", **LEAST_SQUARES)
    assert "open" in (found.low, found.high)
    assert "the rows fit about as well" in " ".join(item.message for item in found.diagnostics)


def wave() -> LawForm:
    """y = cos(w x): many local minima in w."""

    def equation(p: Values, x: Values, xp: ModuleType) -> Any:
        return 2 + xp.cos(p["w"] * x["x"])

    return LawForm(
        name="wave",
        equation=equation,
        text="y = 2 + cos(w x)",
        parameters=(real("w", starts=(1.0, 12.0), bounds=(0.0, 20.0)),),
        inputs=("x",),
        linear_inputs=("x",),
        output="y",
        source="none",
    )


def test_local_minima_are_named_the_least_first() -> None:
    """Twelve points at whole numbers tell w from 2 pi - w only by their small departures from them."""
    x = np.arange(1.0, 13.0) + 0.02 * np.random.default_rng(2).standard_normal(12)
    y = 2 + np.cos(2.5 * x) + 0.1 * np.random.default_rng(0).standard_normal(12)
    found = profiling.profile({"x": x, "y": y}, f"{__name__}:wave", "w", points=401, space="linear", **LEAST_SQUARES)
    values = [one.value for one in found.minima]
    assert len(values) > 1
    assert values[0] == pytest.approx(2.5, abs=0.05)
    assert any(value == pytest.approx(2 * np.pi - 2.5, abs=0.05) for value in values)
    finding = next(item for item in found.diagnostics if item.code == "several_minima")
    assert finding.value == len(values)
    assert number(values[1]) in finding.message
    for one in found.minima:
        around = [np.sum((2 + np.cos(w * x) - y) ** 2) for w in one.value + np.array([-0.02, 0, 0.02])]
        assert min(around) == around[1]
        assert around[1] == pytest.approx(one.objective, rel=1e-9)


def test_what_has_no_profile_is_refused_by_name() -> None:
    for arguments, words in (
        ({"parameter": "alpha", "pin": {"alpha": 0.3}}, "alpha is pinned"),
        ({"parameter": "beta", "tie": {"beta": "alpha"}}, "beta is tied"),
        ({"parameter": "gamma"}, "gamma"),
        ({"parameter": "alpha", "calibration": "f"}, "calibration is 'f'"),
        ({"parameter": "alpha", "resamples": 20}, "resamples is 20"),
    ):
        with pytest.raises(laws.LawError, match=words):
            profiling.profile(noisy(), "chinchilla", **arguments)
    with pytest.raises(laws.LawError, match="isoflop"):
        profiling.profile(noisy(), "isoflop", "N_exponent")


def test_a_profile_is_plain_data() -> None:
    found = profiling.profile(noisy(), "chinchilla", "alpha", **LEAST_SQUARES)
    again = json.loads(json.dumps(found.as_json(), allow_nan=False))
    assert again["interval"]["low"] == found.interval.low
    assert again["minima"][0]["objective"] == pytest.approx(found.objective.min())


def test_the_published_valley_of_repetitions_is_flat() -> None:
    """Muennighoff et al. print R_D* 15.39, one local optimum; 12 to 200 cost about 0.3% of the objective."""
    rows = pl.read_csv(planted.published("muennighoff", "runs_fitted.csv"))
    held = {
        "A": np.exp(6.255414),
        "B": np.exp(7.3049974),
        "E": np.exp(0.6254804),
        "alpha": 0.3526596,
        "beta": 0.3526596,
    }
    found = profiling.profile(rows, "data_constrained", "R_D_star", pin=held, starts=64)
    assert found.objective.min() == pytest.approx(0.0158047, rel=1e-4)
    inside = (found.values > 12) & (found.values < 200)
    assert found.objective[inside].max() < found.objective.min() * 1.006
    assert found.interval.low < 15.39 < found.interval.high
    assert found.interval.high > 200


def test_the_page_s_example_runs() -> None:
    page = Path(__file__).parents[2] / "docs" / "uncertainty.md"
    blocks = re.findall(r"^```python\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(block, str(page), "exec"), {})
