"""Intervals from resamples: exact where the distribution is known, and held against the truth in planted studies."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm, t

from scaling import laws
from scaling.laws import intervals, solver, uncertainty
from scaling.laws.forms import form_named
from scaling.laws.objective import Objective
from tests.laws import coverage as covering
from tests.laws.planted import loss, study


def normal(count: int = 2001, shift: float = 0.0) -> np.ndarray:
    """Resamples that are quantiles of a normal distribution."""
    return norm.ppf((np.arange(count) + 0.5) / count) + shift


def test_unbiased_resamples_give_their_percentiles() -> None:
    found = intervals.interval(normal(), 0.0, 0.95)
    assert (found.low, found.high) == pytest.approx((-1.96, 1.96), abs=2e-3)
    found = intervals.interval(normal(), 0.0, 0.5)
    assert found.high == pytest.approx(norm.ppf(0.75), abs=2e-3)


def test_a_small_bias_is_taken_out_twice_and_a_large_one_is_not_followed() -> None:
    """Resamples that lie 0.05 above the estimate say that the estimate lies 0.05 above the truth."""
    found = intervals.interval(normal(shift=0.05), 0.0, 0.95)
    assert (found.low, found.high) == pytest.approx((0.05 - 1.96 - 0.1, 0.05 + 1.96 - 0.1), abs=4e-3)
    limit = intervals.BIAS_LIMIT
    found = intervals.interval(normal(shift=0.8), 0.0, 0.95)
    assert (found.low, found.high) == pytest.approx((0.8 - 1.96 - 2 * limit, 0.8 + 1.96 - 2 * limit), abs=4e-3)


def test_a_parameter_at_its_bound_keeps_its_upper_limit() -> None:
    """Half of the resamples at the bound, as the estimate is: no sign of a bias, and none may shorten the interval."""
    found = intervals.interval(np.maximum(normal(), 0.0), 0.0, 0.95)
    assert found.low == 0.0
    assert found.high > norm.ppf(0.975 - 0.02)


def test_an_interval_holds_its_estimate() -> None:
    found = intervals.interval(normal(shift=5.0), 0.0, 0.95)
    assert found.low <= 0.0 <= found.high


def test_bands_are_intervals_point_by_point() -> None:
    samples = np.stack([normal(), 3 * normal() + 1], axis=1)
    low, high = intervals.band(samples, np.array([0.0, 1.0]), 0.9)
    for index in range(2):
        one = intervals.interval(samples[:, index], float(index), 0.9)
        assert (low[index], high[index]) == (one.low, one.high)


@pytest.mark.parametrize("noise", [0.0, 0.5, 2.0])
def test_a_new_measurement_adds_its_variance(noise: float) -> None:
    samples = np.random.default_rng(0).permutation(normal())
    found = intervals.with_noise(samples, 0.0, np.full(len(samples), noise), 0.95)
    assert found.high == pytest.approx(1.96 * np.hypot(1, noise), rel=0.01)
    assert found.low == pytest.approx(-found.high, rel=0.02)


def test_a_mean_of_independent_rows_has_its_t_interval() -> None:
    """One parameter, five runs: E of a law without any other, whose resamples must have Student's tails."""
    generator = np.random.default_rng(4)
    y = 2.0 + 0.1 * generator.standard_normal(5)
    x = np.arange(5.0)
    problem = solver.Problem(
        form_named("power", {"x": "x"}), {"x": x}, y, np.ones(5), Objective("least_squares", 1.0, "linear"),
        {"A": 1e-12, "alpha": 1e-3},
    )  # fmt: skip
    z = solver.solve(problem, solver.default_starts(problem, 4, 0)).z[0]
    again = uncertainty.resample(problem, z, np.arange(5), 4000, 0, "noise")
    samples = problem.natural(again.z)["E"]
    found = intervals.interval(samples, float(y.mean()), 0.95)
    half = t.ppf(0.975, 4) * y.std(ddof=1) / np.sqrt(5)
    assert found.high - found.low == pytest.approx(2 * half, rel=0.08)


def problem_of(table: dict[str, np.ndarray]) -> tuple[solver.Problem, np.ndarray]:
    logs = {name: np.log(np.asarray(table[name], dtype=float)) for name in ("params", "tokens")}
    weights = np.ones(len(table["loss"]))
    rule = Objective("huber", 0.01, "log")
    problem = solver.Problem(form_named("chinchilla"), logs, np.log(np.asarray(table["loss"])), weights, rule)
    solution = solver.solve(problem, solver.default_starts(problem, 32, 0))
    return problem, solution.z[np.argmin(solution.objective)]


def codes(cell: covering.Cell, method: str, seed: int = 0) -> dict[str, laws.Diagnostic]:
    table = cell.table(np.random.default_rng(seed))
    problem, z = problem_of(table)
    again = uncertainty.resample(problem, z, table["trajectory"], 200, 1, method)
    return {one.code: one for one in uncertainty.findings(problem, z, again, table["trajectory"])}


def test_pairs_draw_fewer_trajectories_by_the_parameters(monkeypatch: pytest.MonkeyPatch) -> None:
    """50 residuals of 5 parameters scatter as 45 do; beyond the threshold they do not, and weights are smooth."""
    weights = []

    def seen(problem: solver.Problem, starts: np.ndarray, **given: np.ndarray) -> solver.Solution:
        weights.append(given["weights"])
        return solver.Solution(z=starts, objective=np.ones(len(starts)), iterations=0)

    table = covering.named("50 runs, noise 1%").table(np.random.default_rng(0))
    given, z = problem_of(table)
    monkeypatch.setattr(solver, "solve", seen)
    for delta in (1.0, 1e-9):
        wide = replace(given, objective=Objective("huber", delta, "log"))
        uncertainty.resample(wide, z, table["trajectory"], 30, 0, "pairs")
    whole, smooth = weights
    assert whole.sum(axis=1).tolist() == [45.0] * 30
    assert np.all(whole == np.round(whole))
    assert smooth.sum(axis=1) == pytest.approx(np.full(30, 50.0))
    assert np.all((smooth > 0) & (smooth != np.round(smooth)))


def test_a_method_beyond_its_reach_says_so() -> None:
    cell = covering.Cell("few", 12, 4, share=0.9)
    assert codes(cell, "auto") == {}
    found = codes(cell, "pairs")
    assert found["too_few_to_resample"].value == 12
    found = codes(cell, "rows")
    assert set(found) == {"too_few_to_resample", "rows_share_trajectories"}
    assert 0.5 < found["rows_share_trajectories"].value < 1
    assert codes(covering.Cell("many", 50), "pairs") == {}


def test_uneven_noise_is_found_and_even_noise_is_not() -> None:
    even = [codes(covering.Cell("even", 50), "noise", seed) for seed in range(20)]
    assert sum("noise_uneven" in found for found in even) <= 1
    uneven = [codes(covering.Cell("uneven", 50, varying=0.8), "noise", seed) for seed in range(10)]
    assert sum("noise_uneven" in found for found in uneven) >= 7
    shown = next(found["noise_uneven"] for found in uneven if "noise_uneven" in found)
    assert shown.value > 3
    assert "more at high" in shown.message


def test_an_asymptote_at_its_bound_in_many_resamples_is_named() -> None:
    found = codes(covering.Cell("floor", 20, truth=covering.NO_FLOOR), "noise", 1)
    assert found["resamples_at_bound"].value > 0.1
    assert found["resamples_at_bound"].severity == "note"


def test_the_coverage_cells_are_what_they_say() -> None:
    cell = covering.named("50 runs x 4 checkpoints, noise 1%")
    tables = [cell.table(np.random.default_rng(seed)) for seed in range(60)]
    scatter = np.array([np.log(one["loss"] / loss(one["params"], one["tokens"])) for one in tables])
    assert scatter.shape == (60, 200)
    assert scatter.std() == pytest.approx(0.01, rel=0.05)
    together = scatter.reshape(60, 50, 4)
    assert np.mean(together[..., 0] * together[..., 3]) / 1e-4 == pytest.approx(0.5, abs=0.1)
    flops = 6 * tables[0]["params"] * tables[0]["tokens"]
    assert flops.max() == pytest.approx(covering.HIGHEST)
    assert len(np.unique(np.round(np.log(flops[::4]), 6))) == 5
    assert set(covering.named("quickstart").table(np.random.default_rng(0))["trajectory"]) == set(
        study(0.0, 0.0, 0, np.geomspace(1.1e4, 3.2e5, 10), np.geomspace(3e10, 5e11, 5), 6, 3, 3)["trajectory"]
    )


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    """Twenty-four studies: 18 or fewer holding at 95% has a chance of 1e-4."""
    cell = covering.named("20 runs, noise 1%")
    shares = covering.coverage([covering.one(cell, seed, resamples=200) for seed in range(24)])
    for quantity, share in shares.items():
        assert share >= 0.75, quantity


@pytest.mark.full
@pytest.mark.parametrize("cell", covering.WIDE + covering.DEFAULT + covering.HARDER, ids=lambda cell: cell.name)
def test_coverage_is_between_92_and_98_percent(cell: covering.Cell) -> None:
    """Of 1,000 studies, up to 10 times the highest budget.

    An interval of E that ends at 0 can only err upwards, and six trajectories say little of the noise.
    """
    for quantity, share in covering.coverage([covering.one(cell, seed) for seed in range(1000)]).items():
        highest = 1.0 if quantity == "E" and cell.truth["E"] < 0.5 else 0.99 if cell.runs == 6 else 0.98
        assert "100x" in quantity or 0.92 <= share <= highest, (quantity, share)
