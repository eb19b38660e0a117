"""Known truth first, then a second method, then published optima."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl
import pytest
from scipy.optimize import least_squares

from scaling import laws
from scaling.laws import solver
from scaling.laws.forms import form_named
from scaling.laws.objective import Objective
from tests.laws.planted import SIZES, TRUTH, published, study

CHINCHILLA_COLUMNS = {"params": "Model Size", "flops": "Training FLOP"}
POWERS = [("params", 0.7), ("params", 0.0), ("tokens", 1.5), ("flops", 0.3)]


def problem(table: dict[str, list[float]], delta: float = 1e-3, **pins: float) -> solver.Problem:
    logs = {name: np.log(table[name]) for name in ("params", "tokens")}
    objective = Objective("huber", delta, "log")
    return solver.Problem(
        form_named("chinchilla"), logs, np.log(table["loss"]), np.ones(len(table["loss"])), objective, pins
    )


def published_problem(delta: float = 1e-3) -> solver.Problem:
    rows = pl.read_csv(published("chinchilla", "points.csv")).sort("loss").head(240)
    params, flops = rows["Model Size"].to_numpy(), rows["Training FLOP"].to_numpy()
    return problem({"params": params, "tokens": flops / (6 * params), "loss": rows["loss"].to_numpy()}, delta)


def test_noiseless_data_return_the_planted_parameters() -> None:
    fit = laws.fit(study(), "chinchilla", resamples=0)
    for name, value in TRUTH.items():
        assert fit.params[name] == pytest.approx(value, rel=1e-6)


@pytest.mark.parametrize(("x", "asymptote"), POWERS)
def test_noiseless_power_law_returns_the_planted_parameters(x: str, asymptote: float) -> None:
    values = SIZES * 1e3
    table = {x: values, "loss": asymptote + 40 * values**-0.3}
    fit = laws.fit(table, "power", x=x, pin={"E": 0.0} if asymptote == 0 else None, resamples=0)
    assert fit.params == pytest.approx({"E": asymptote, "A": 40.0, "alpha": 0.3}, rel=1e-6)
    assert fit.loss(**{x: 1e9}) == pytest.approx(asymptote + 40 * 1e9**-0.3)


def test_power_law_without_asymptote_is_a_straight_line_in_logarithms() -> None:
    generator = np.random.default_rng(0)
    values = 30 * SIZES**-0.2 * np.exp(0.01 * generator.standard_normal(len(SIZES)))
    fit = laws.fit({"params": SIZES, "loss": values}, "power", pin={"E": 0.0}, delta=1e3, resamples=0)
    slope, level = np.polyfit(np.log(SIZES), np.log(values), 1)
    assert fit.params["alpha"] == pytest.approx(-slope, rel=1e-8)
    assert fit.params["A"] == pytest.approx(np.exp(level), rel=1e-8)


@pytest.mark.parametrize("pin", [{}, {"E": 1.0}, {"alpha": 0.5}, {"A": 300.0}, {"E": 0.0, "beta": 0.2}])
def test_least_squares_agrees_with_scipy(pin: dict[str, float]) -> None:
    table = study(noise=0.01, seed=3)
    ours = laws.fit(table, "chinchilla", pin=pin, delta=1e3, resamples=0)
    size, data, log_loss = (np.log(table[name]) for name in ("params", "tokens", "loss"))
    free = [name for name in TRUTH if name not in pin]

    def residuals(z: np.ndarray) -> np.ndarray:
        p = dict(zip(free, z, strict=True))
        p = {name: np.exp(value) if name in "AB" else value for name, value in p.items()} | pin
        terms = p["A"] * np.exp(-p["alpha"] * size) + p["B"] * np.exp(-p["beta"] * data)
        return np.log(p["E"] + terms) - log_loss

    start = [np.log(TRUTH[name]) if name in "AB" else TRUTH[name] for name in free]
    theirs = least_squares(residuals, start, x_scale="jac", xtol=1e-15, ftol=1e-15, gtol=1e-15, max_nfev=5000)
    assert ours.objective["value"] == pytest.approx(theirs.cost, rel=1e-9)
    for name, value in zip(free, theirs.x, strict=True):
        assert ours.params[name] == pytest.approx(np.exp(value) if name in "AB" else value, rel=1e-4)
    assert {name: ours.params[name] for name in pin} == pin


def test_objective_is_the_sum_of_huber_terms_with_weights() -> None:
    table = study(noise=0.01)
    weight = np.linspace(0.5, 2.0, len(table["loss"]))
    fit = laws.fit(table | {"weight": weight}, "chinchilla", resamples=0)
    r = np.abs(np.log(fit.loss(params=table["params"], tokens=table["tokens"]) / table["loss"]))
    terms = np.where(r <= 1e-3, r**2 / 2, 1e-3 * (r - 1e-3 / 2))
    assert fit.objective["value"] == pytest.approx(np.sum(weight * terms), rel=1e-9)
    assert fit.objective | {"value": 0} == {
        "name": "huber", "delta": 1e-3, "reduction": "sum", "space": "log", "value": 0,
    }  # fmt: skip


def test_a_row_of_weight_two_counts_as_two_rows() -> None:
    table = study(noise=0.01)
    twice = {name: [*values, values[0]] for name, values in table.items()}
    twice["trajectory"] = [*table["trajectory"], "again"]
    weighted = table | {"weight": [2.0] + [1.0] * (len(table["loss"]) - 1)}
    one, two = (laws.fit(given, "chinchilla", resamples=0).params for given in (twice, weighted))
    assert one == pytest.approx(two, rel=1e-6)


def test_bounds_hold_and_gradient_vanishes_elsewhere() -> None:
    table = study(noise=0.0)
    table["loss"] = (30 / np.array(table["params"]) ** 0.2 + 90 / np.array(table["tokens"]) ** 0.3 - 0.4).tolist()
    fit = laws.fit(table, "chinchilla", resamples=0, delta=1e3)
    assert fit.params["E"] == 0.0
    assert "parameter_at_bound" in {item.code for item in fit.diagnostics}


def test_callers_precision_is_untouched() -> None:
    before = jax.config.jax_enable_x64
    laws.fit(study(), "chinchilla", resamples=20, starts=8)
    assert jax.config.jax_enable_x64 == before
    assert jnp.ones(1).dtype == (jnp.float64 if before else jnp.float32)


def test_tables_of_similar_size_share_one_program() -> None:
    laws.fit(study(noise=0.01), "chinchilla", resamples=20, starts=8)
    programs = solver._minimise._cache_size()
    laws.fit(study(noise=0.01, replicated=1), "chinchilla", resamples=50, starts=30, delta=1e-2, pin={"E": 0.5})
    assert solver._minimise._cache_size() == programs


def test_power_forms_are_one_object_per_input() -> None:
    assert form_named("power", {"x": "flops"}) is form_named("power", {"x": "flops"})


def test_published_chinchilla_optimum_from_nearly_every_start() -> None:
    given = published_problem()
    starts = solver.default_starts(given, 256, seed=0)
    natural = given.natural(starts)
    assert natural["alpha"].min() < 0.1
    assert natural["alpha"].max() > 1.45
    assert natural["E"].min() < 0.05
    solution = solver.solve(given, starts)
    assert np.mean(solution.objective <= 0.00101827402) >= 0.95
    best = given.natural(solution.z[np.argmin(solution.objective)])
    expected = {"A": 477.826, "B": 2143.417, "E": 1.817218, "alpha": 0.347310, "beta": 0.367172}
    assert {name: float(value) for name, value in best.items()} == pytest.approx(expected, rel=2e-6)


def test_published_least_absolute_deviations() -> None:
    fit = laws.fit(
        published("chinchilla", "points.csv"),
        columns=CHINCHILLA_COLUMNS,
        drop_highest_loss=5,
        objective="absolute",
        resamples=0,
    )
    assert fit.objective == {
        "name": "absolute",
        "delta": None,
        "reduction": "sum",
        "space": "log",
        "value": pytest.approx(1.1294946, abs=2e-7),
    }
    expected = {"A": 482.006, "B": 2085.43, "E": 1.81686, "alpha": 0.347813, "beta": 0.365854}
    assert fit.params == pytest.approx(expected, rel=1e-4)


def test_a_tied_exponent_is_one_number() -> None:
    truth = TRUTH | {"beta": TRUTH["alpha"]}
    table = study()
    size, data = np.array(table["params"]), np.array(table["tokens"])
    table["loss"] = truth["E"] + truth["A"] / size ** truth["alpha"] + truth["B"] / data ** truth["beta"]
    fit = laws.fit(table, tie={"beta": "alpha"}, resamples=40)
    assert fit.params == pytest.approx(truth, rel=1e-6)
    assert fit.tied == {"beta": "alpha"}
    assert fit.samples["alpha"] == fit.samples["beta"]
    pinned = laws.fit(table, pin={"alpha": 0.3}, tie={"beta": "alpha"}, resamples=0)
    assert pinned.params["beta"] == pinned.params["alpha"] == 0.3


@pytest.mark.parametrize("objective", ["huber", "least_squares", "absolute"])
@pytest.mark.parametrize("space", ["log", "linear"])
def test_every_objective_finds_a_planted_law(objective: str, space: str) -> None:
    fit = laws.fit(study(), objective=objective, space=space, resamples=0, starts=64)
    assert fit.params == pytest.approx(TRUTH, rel=1e-4 if objective == "absolute" else 1e-6)
    assert fit.objective["space"] == space


@pytest.mark.parametrize(
    ("delta", "objective", "alpha", "beta"),
    [(1e-3, 0.00012043604, 0.21404, 0.52599), (1e-4, 1.30364e-5, 0.201, None)],
)
def test_published_gemstones_optima(delta: float, objective: float, alpha: float, beta: float | None) -> None:
    lines = published("gemstones", "slim_chinchilla.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    table = {name: [row[name] for row in rows] for name in rows[0]}
    columns = {"params": "params_active_precise", "tokens": "tokens", "loss": "final_loss"}
    fit = laws.fit({column: table[column] for column in columns.values()}, columns=columns, delta=delta, resamples=0)
    assert fit.objective["value"] == pytest.approx(objective, rel=1e-5)
    assert fit.params["alpha"] == pytest.approx(alpha, abs=6e-4)
    if beta is not None:
        assert fit.params["beta"] == pytest.approx(beta, abs=2e-5)


def test_published_intervals_of_chinchilla() -> None:
    path = published("chinchilla", "points.csv")
    fit = laws.fit(path, columns=CHINCHILLA_COLUMNS, drop_highest_loss=5, resamples=1000)
    besiroglu = {
        "A": (285, 744),
        "B": (1042, 5810),
        "E": (1.769, 1.871),
        "alpha": (0.317, 0.373),
        "beta": (0.331, 0.415),
    }
    for name, (low, high) in besiroglu.items():
        width = high - low
        assert fit.intervals[name].low == pytest.approx(low, abs=0.15 * width)
        assert fit.intervals[name].high == pytest.approx(high, abs=0.15 * width)
    assert fit.exponents()["params"].value == pytest.approx(0.513, abs=0.002)
    assert fit.noise["resampling"] == "pairs"


def test_each_start_may_hold_its_own_values() -> None:
    table = study(noise=0.01, seed=2)
    given = problem(table)
    lower, upper = (np.tile(limit, (4, 1)) for limit in given.bounds)
    asymptotes = np.array([0.4, 0.8, 1.1, 1.3])
    lower[:, 0] = upper[:, 0] = asymptotes
    starts = solver.default_starts(given, 4, seed=0)
    held = solver.solve(given, starts, bounds=(lower, upper))
    assert held.z[:, 0].tolist() == asymptotes.tolist()
    for value, objective in zip(asymptotes, held.objective, strict=True):
        pinned = problem(table, E=value)
        again = solver.solve(pinned, solver.default_starts(pinned, 8, seed=1))
        assert objective == pytest.approx(again.objective.min(), rel=1e-10)


def test_bounds_of_one_start_do_not_touch_the_next() -> None:
    given = problem(study(noise=0.01, seed=2))
    starts = solver.default_starts(given, 2, seed=0)
    lower, upper = (np.tile(limit, (2, 1)) for limit in given.bounds)
    upper[0, 2] = 0.2
    found = solver.solve(given, starts, bounds=(lower, upper))
    free = solver.solve(given, starts[1:])
    assert found.z[0, 2] == 0.2
    assert found.z[1].tolist() == free.z[0].tolist()
    with pytest.raises(laws.LawError, match="bounds: the lower one of E"):
        solver.solve(given, starts, bounds=(upper, lower))


@pytest.mark.parametrize("name", ["huber", "absolute"])
def test_absolute_and_huber_hold_bounds_row_by_row(name: str) -> None:
    given = replace(problem(study(noise=0.01, seed=2)), objective=Objective(name, 1e-3, "log"))  # type: ignore[arg-type]
    lower, upper = (np.tile(limit, (20, 1)) for limit in given.bounds)
    lower[:, 4] = upper[:, 4] = np.linspace(0.3, 0.6, 20)
    found = solver.solve(given, solver.default_starts(given, 20, seed=0), bounds=(lower, upper))
    assert np.array_equal(found.z[:, 4], upper[:, 4])
    value = given.objective.value(given.fitted(found.z) - given.target, given.weights)
    assert found.objective == pytest.approx(value, rel=1e-12)


def test_no_result_depends_on_the_other_starts() -> None:
    given = problem(study(noise=0.01, seed=4))
    starts = solver.default_starts(given, 90, seed=0)
    together = solver.solve(given, starts)
    for some in (slice(0, 1), slice(40, 90), slice(None, None, -1)):
        alone = solver.solve(given, starts[some])
        assert alone.z.tolist() == together.z[some].tolist()
        assert alone.objective.tolist() == together.objective[some].tolist()


def long(rows: int) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    params, tokens = 10 ** generator.uniform(7, 10, rows), 10 ** generator.uniform(9, 12, rows)
    loss = 1.8 + 480 / params**0.35 + 2000 / tokens**0.37
    return {"params": params, "tokens": tokens, "loss": loss * np.exp(0.01 * generator.standard_normal(rows))}


def test_a_long_table_is_solved_in_full_from_where_a_sample_led() -> None:
    given = problem(long(9000))  # type: ignore[arg-type]
    starts = solver.default_starts(given, 16, seed=0)
    found = solver.solve(given, starts)
    best = found.objective.min()
    in_full = solver.solve(given, found.z[:1] + 0.01, weights=given.weights[None])
    assert best == pytest.approx(in_full.objective[0], rel=1e-10)
    assert np.mean(found.objective <= best * (1 + 1e-9)) >= 0.9
    assert float(given.natural(found.z[np.argmin(found.objective)])["alpha"]) == pytest.approx(0.35, abs=0.01)


@pytest.mark.full
def test_a_hundred_thousand_rows_fit_within_four_gibibytes_and_cost_twice_fifty_thousand(tmp_path: Path) -> None:
    code = (
        "import resource, sys, time; from scaling import laws; from scaling.laws.table import frame\n"
        "table = frame(sys.argv[1]); laws.fit(table, resamples=200); before = time.process_time()\n"
        "fit = laws.fit(table, resamples=200); spent = time.process_time() - before\n"
        "print(spent, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, fit.params['alpha'])"
    )
    spent = {}
    for rows in (50_000, 100_000):
        path = tmp_path / f"{rows}.csv"
        pl.DataFrame(long(rows)).write_csv(path)
        command = [sys.executable, "-c", code, str(path)]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        spent[rows], gibibytes, alpha = (float(word) for word in said.split())
        assert alpha == pytest.approx(0.35, abs=4e-3)
        assert gibibytes < 4
    assert spent[100_000] < 3 * spent[50_000], "linear in the rows, with room for a busy machine"
