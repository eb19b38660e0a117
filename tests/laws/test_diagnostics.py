"""Each finding speaks on a planted case and is silent on a clean one; nothing is ever NaN; the page lists them all."""

import json
import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scaling import laws
from scaling.laws import influence, outliers, solver
from scaling.laws.fitting import Settings, problem_of
from scaling.laws.forms import FORMS, form_named
from scaling.laws.objective import Objective
from scaling.laws.tuned import off_optimum
from tests.laws import planted

QUICK: dict[str, Any] = {"resamples": 40, "starts": 32}
ROOT = Path(__file__).parents[2]
GRID = [(n, d) for n in (1e7, 3e7, 1e8, 3e8, 1e9) for d in (1e9, 4e9, 1.6e10, 6.4e10, 2.6e11)]
HOFFMANN = {"E": 1.69, "A": 406.4, "alpha": 0.34, "B": 410.7, "beta": 0.28}


def grid(
    noise: float = 0.002, seed: int = 0, cells: list[tuple[float, float]] = GRID, **changed: Any
) -> dict[str, Any]:
    n, d = np.array(cells).T
    drawn = np.random.default_rng(seed).standard_normal(len(n))
    return {"params": n, "tokens": d, "loss": planted.loss(n, d, HOFFMANN) * np.exp(noise * drawn)} | changed


def at(row: int, times: float, column: str = "loss") -> dict[str, Any]:
    """The grid with one value changed."""
    table = grid()
    table[column] = np.where(np.arange(len(GRID)) == row, times, 1.0) * table[column]
    return table


def codes(fit: Any) -> dict[str, Any]:
    return {finding.code: finding for finding in fit.diagnostics}


CLEAN = grid()
SIZE = np.array([cell[0] for cell in GRID])
PLANTED: list[tuple[str, str, Any, dict[str, Any]]] = [
    ("too_few_runs", "error", grid(cells=GRID[::6]), {}),
    ("tokens_follow_params", "error", grid(cells=[(n, 20 * n) for n in np.geomspace(1e7, 1e9, 12)]), {}),
    (
        "tokens_follow_params",
        "error",
        {
            "flops": np.geomspace(1e16, 1e20, 12),
            "tokens_per_param": 20 + 0.1 * np.arange(12),
            "loss": np.linspace(5, 3, 12),
        },
        {"form": "overtraining"},
    ),
    ("loss_not_falling", "error", CLEAN | {"loss": 1 / CLEAN["loss"]}, {}),
    ("nothing_explained", "error", CLEAN | {"loss": 3 + np.random.default_rng(0).uniform(-1, 1, len(GRID))}, {}),
    ("few_rows_weigh", "error", CLEAN | {"weight": np.where(np.arange(len(GRID)) < 2, 1.0, 1e-6)}, {}),
    ("not_told_apart", "error", grid(noise=0, cells=[cell for cell in GRID if cell[0] in (1e7, 1e9)]), {}),
    ("few_values", "warning", grid(cells=[cell for cell in GRID if cell[0] in (1e7, 1e8, 1e9)]), {}),
    ("parameter_at_bound", "warning", CLEAN | {"loss": CLEAN["loss"] - 1.99}, {}),
    ("parameter_not_told", "error", CLEAN | {"unique_tokens": CLEAN["tokens"]}, {"form": "data_constrained"}),
    ("outlier", "warning", at(7, 1.08), {}),
    ("flat_profile", "warning", grid(noise=0.05), {}),
    ("rows_repeat", "warning", {name: np.append(values, values[3]) for name, values in CLEAN.items()}, {}),
    (
        "trajectory_repeats",
        "warning",
        {name: np.append(values, values[3] * (1.01 if name == "loss" else 1)) for name, values in CLEAN.items()}
        | {"trajectory": [*map(str, range(len(GRID))), "3"]},
        {},
    ),
    ("units_suspect", "warning", CLEAN | {"tokens": CLEAN["tokens"] / 1e6}, {}),
    ("flops_disagree", "warning", CLEAN | {"flops": SIZE * CLEAN["tokens"] / 10}, {}),
    ("loss_too_high", "warning", CLEAN | {"loss": np.exp(CLEAN["loss"])}, {}),
    ("tuned_at_edge", "warning", CLEAN | {"at_edge": SIZE > 5e8}, {}),
]


@pytest.mark.parametrize(("code", "severity", "table", "arguments"), PLANTED, ids=[case[0] for case in PLANTED])
def test_a_planted_fault_is_found(code: str, severity: str, table: Any, arguments: dict[str, Any]) -> None:
    fit = laws.fit(table, **arguments, **QUICK)
    found = codes(fit)
    assert code in found, fit.diagnostics
    assert found[code].severity == severity
    assert math.isfinite(found[code].value)
    assert severity != "error" or fit.status.startswith("not to be trusted: ")


@pytest.mark.parametrize("seed", range(6))
def test_clean_tables_are_not_accused(seed: int) -> None:
    fit = laws.fit(grid(seed=seed), **QUICK)
    assert fit.ok
    assert not [finding for finding in fit.diagnostics if finding.severity != "note"]


def test_an_outlier_is_named_with_what_it_does() -> None:
    finding = codes(laws.fit(at(7, 1.08), objective="least_squares", **QUICK))["outlier"]
    n, d = GRID[7]
    assert finding.message.startswith(f"row 8 (params {laws.number(n)}, tokens {laws.number(d)}): its loss ")
    percent = float(re.search(r"is ([\d.]+)% above the law", finding.message)[1])  # type: ignore[index]
    assert 4 < percent < 9
    name, without, with_it = re.search(r"without it (\w+) is ([\d.]+) instead of ([\d.]+)\.", finding.message).groups()  # type: ignore[union-attr]
    left = laws.fit({k: np.delete(v, 7) for k, v in at(7, 1.08).items()}, objective="least_squares", **QUICK)
    assert float(without) == pytest.approx(left.params[name], rel=0.01)
    assert float(with_it) != pytest.approx(left.params[name], rel=0.01)


def test_noise_alone_rarely_names_a_run() -> None:
    generator = np.random.default_rng(0)
    named = {}
    for kind in ("normal", "heavy"):
        found = 0
        for _ in range(400):
            rows, fitted = 28, 5
            residual = planted.unit(generator, rows, kind == "heavy")
            basis = np.linalg.qr(generator.standard_normal((rows, fitted)))[0]
            found += len(outliers.far_off(residual - basis @ (basis.T @ residual), fitted)[0]) > 0
        named[kind] = found / 400
    assert named["normal"] <= 0.01
    assert named["heavy"] <= 0.15, "Student's t of 3 degrees of freedom"


def test_residuals_that_a_fit_made_zero_do_not_accuse_the_others() -> None:
    residual = np.array([0, 0, 0, 0, 0, 1, -1.2, 0.8, 1.5, -0.7]) * 1e-3
    assert len(outliers.far_off(residual, 5)[0]) == 0
    assert outliers.far_off(np.append(residual, 0.5), 5)[0].tolist() == [10]


def _problem(table: Any, form: str = "chinchilla") -> solver.Problem:
    settings = Settings(Objective("huber", 1e-3, "log"), {}, (), 0, 0.95, 0, 8, "auto")
    return problem_of(laws.read(table, form=form_named(form)), form_named(form), settings)


def test_a_solver_that_does_not_move_is_no_answer() -> None:
    problem = _problem(CLEAN)
    starts = solver.default_starts(problem, 8, 0)
    (finding,) = influence.of_influence(problem, starts[3], starts)
    assert (finding.code, finding.severity) == ("not_moved", "error")
    z = solver.solve(problem, starts).z[0]
    assert influence.of_influence(problem, z, starts) == []


def test_two_sizes_name_what_cannot_be_told_apart() -> None:
    fit = laws.fit(grid(noise=0, cells=[cell for cell in GRID if cell[0] in (1e7, 1e9)]), **QUICK)
    message = codes(fit)["not_told_apart"].message
    assert all(name in message.split(" cannot")[0] for name in ("A", "alpha"))
    assert "beta" not in message.split(" cannot")[0]
    assert "params takes 2" in message


# Approach 2


def budgets(low: float, high: float, width: float = 1.0, truth: dict[str, float] = HOFFMANN) -> dict[str, Any]:
    """Seven sizes in each of six budgets, exp(low) times the optimum at the smallest, exp(high) at the largest."""
    flops = np.repeat(np.geomspace(1e18, 1e21, 6), 7)
    best = np.array([planted.best_size(float(c), truth) for c in flops])
    params = best * np.exp(np.repeat(np.linspace(low, high, 6), 7) + np.tile(np.linspace(-width, width, 7), 6))
    tokens = flops / (6 * params)
    return {"params": params, "tokens": tokens, "flops": flops, "loss": planted.loss(params, tokens, truth)}


@pytest.mark.parametrize("truth", [HOFFMANN, HOFFMANN | {"alpha": 0.3, "beta": 0.6, "B": 5e5}])
def test_sizes_off_their_minimum_move_the_exponent_by_what_is_said(truth: dict[str, float]) -> None:
    true = truth["beta"] / (truth["alpha"] + truth["beta"])
    table = budgets(0.0, 2.0, truth=truth)
    fit = laws.fit(table, "isoflop", resamples=40)
    assert codes(fit)["isoflop_off_centre"].value == pytest.approx(fit.params["N_exponent"] - true, abs=1e-4)
    noise = np.exp(0.002 * np.random.default_rng(1).standard_normal(len(table["loss"])))
    noisy = laws.fit(table | {"loss": table["loss"] * noise}, "isoflop", resamples=40)
    exact = fit.params["N_exponent"] - true
    assert codes(noisy)["isoflop_off_centre"].value == pytest.approx(exact, rel=0.4)


def test_centred_sizes_and_real_parabolas_are_not_accused() -> None:
    for seed in range(5):
        table = budgets(0.0, 0.0)
        table["loss"] = table["loss"] * np.exp(0.002 * np.random.default_rng(seed).standard_normal(len(table["loss"])))
        fit = laws.fit(table, "isoflop", resamples=40)
        assert fit.ok
        assert not fit.diagnostics
    best = np.array([planted.best_size(float(c), HOFFMANN) for c in table["flops"]])
    bowl = np.log(3 * (table["flops"] / 1e18) ** -0.05) + 0.05 * np.log(table["params"] / best) ** 2
    assert not laws.fit(table | {"loss": np.exp(bowl)}, "isoflop", resamples=0).diagnostics


def test_parabolas_without_a_minimum_inside_are_not_to_be_trusted() -> None:
    fit = laws.fit(budgets(1.6, 1.6), "isoflop", resamples=40)
    found = codes(fit)
    assert not fit.ok
    assert found["no_minimum_inside"].value == 0
    assert found["minimum_not_bracketed"].severity == "warning"
    table = budgets(0.0, 0.0)
    first = table["flops"] < 2e18
    turned = np.where(first, 2 * table["loss"][first].mean() - table["loss"], table["loss"])
    assert codes(laws.fit(table | {"loss": turned}, "isoflop", resamples=0))["parabola_opens_downwards"].value < 0
    few = {name: values[:14] for name, values in table.items()}
    assert codes(laws.fit(few, "isoflop", resamples=0))["too_few_budgets"].severity == "error"
    table["loss"][10] *= 1.05
    assert "row 11 " in codes(laws.fit(table, "isoflop", resamples=0))["outlier"].message


# Learning rates


def test_a_learning_rate_off_its_optimum_costs_what_is_said() -> None:
    generator = np.random.default_rng(0)

    def best(n: Any, d: Any) -> Any:
        return 1.79 * n**-0.713 * d**0.307

    rows = [
        {"params": n, "tokens": d, "learning_rate": best(n, d) * times, "seed": seed,
         "loss": planted.loss(n, d, HOFFMANN) * np.exp(0.01 * np.log(times) ** 2 + 3e-4 * generator.standard_normal())}
        for n, d in GRID if n < 2e8 and d < 1e11 for times in (0.25, 0.5, 1, 2, 4) for seed in (0, 1)
    ]  # fmt: skip
    law = laws.fit(rows, "hyperparameters", over="learning_rate", resamples=100)
    n, d = np.array([(1e7, 1e9), (1e7, 6.4e10), (1e8, 1e9), (1e8, 6.4e10), (3e7, 8e9)]).T
    plan = {"params": n, "tokens": d, "learning_rate": np.full(5, best(3e7, 8e9))}
    found = off_optimum(plan, law)
    true = np.expm1(0.01 * np.log(plan["learning_rate"] / best(n, d)) ** 2)
    np.testing.assert_allclose(found.costs, true, rtol=0.15, atol=1e-4)
    assert found.corners == (0, 1, 2, 3)
    assert all(one.low <= cost <= one.high for one, cost in zip(found.intervals, found.costs, strict=True))
    assert {finding.code for finding in found.diagnostics} == {"off_optimum"}
    assert len(found.diagnostics) == int(np.sum(true[:4] > 1e-3))
    assert not off_optimum(plan | {"learning_rate": best(n, d)}, law).diagnostics
    with pytest.raises(laws.LawError, match="no law of a swept hyper-parameter"):
        off_optimum(plan, laws.fit(CLEAN, **QUICK))


# Extrapolation


def test_extrapolation_counts_n_d_and_c() -> None:
    fit = laws.fit(planted.study(noise=0.005), **QUICK)
    (low, size), (_, data), (_, budget) = (fit.ranges[name] for name in ("params", "tokens", "flops"))
    assert "extrapolation" not in codes(fit.predict(params=low * 2, tokens=data / 4))
    corner = codes(fit.predict(params=size, tokens=data))["extrapolation"]
    assert corner.value == pytest.approx(6 * size * data / budget)
    far = codes(fit.predict(params=5 * size, tokens=3 * data))["extrapolation"]
    assert far.severity == "warning"
    assert "params 5" in far.message
    assert "tokens 3" in far.message
    assert codes(fit.optimum(flops=100 * budget))["extrapolation"].value == pytest.approx(100)


# Never NaN


def _infinite(value: Any, place: str = "") -> Iterator[str]:
    if isinstance(value, float) and not math.isfinite(value):
        yield f"{place} is {value}"
    for key, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from _infinite(item, f"{place}.{key}")


def _table(rows: int, generator: np.random.Generator) -> dict[str, Any]:
    """Every column that a form may read."""
    n = 10 ** generator.uniform(6, 9, rows)
    d = n * 10 ** generator.uniform(0, 3, rows)
    loss, web = planted.loss(n, d, HOFFMANN), generator.uniform(0.05, 0.95, rows)
    accuracy = np.clip(1 / (1 + np.exp(2 * (loss - 2.3))), 0.01, 0.99)
    return {
        "params": n, "tokens": d, "flops": 6 * n * d, "loss": loss, "accuracy": accuracy, "error": 1 - accuracy,
        "unique_tokens": d / generator.choice([1, 2, 8], rows), "experts": generator.choice([1.0, 2, 8, 64], rows),
        "streams": generator.choice([1.0, 2, 4], rows), "non_vocabulary_params": 0.7 * n, "vocabulary_params": 0.3 * n,
        "web": web, "code": 1 - web, "learning_rate": 10 ** generator.uniform(-4, -2, rows),
        "batch_size": 10 ** generator.uniform(4, 6, rows), "trajectory": [f"t{row // 3}" for row in range(rows)],
        "step": 1000.0 * (1 + np.arange(rows) % 3), "rate": 10 ** generator.uniform(-4, -2, rows),
    }  # fmt: skip


NASTY: dict[str, Callable[[dict[str, Any], np.random.Generator], dict[str, Any]]] = {
    "huge noise": lambda t, g: t | {"loss": t["loss"] * np.exp(2 * g.standard_normal(len(t["loss"])))},
    "rising": lambda t, g: t | {"loss": 1 / t["loss"], "accuracy": t["error"], "error": t["accuracy"]},
    "1e-8 to 1e8": lambda t, g: t | {"loss": 10 ** g.uniform(-8, 8, len(t["loss"]))},
    "random": lambda t, g: t | {"loss": g.uniform(1, 5, len(t["loss"])), "accuracy": g.uniform(0, 1, len(t["loss"]))},
    "huge weights": lambda t, g: t | {"weight": 10 ** g.uniform(-12, 12, len(t["loss"]))},
    "tiny weights": lambda t, g: t | {"weight": np.full(len(t["loss"]), 1e-90)},
    "one outlier": lambda t, g: t | {"loss": np.where(np.arange(len(t["loss"])) == 3, 1e30, t["loss"])},
    "tiny loss": lambda t, g: t | {"loss": t["loss"] * 1e-90},
    "huge loss": lambda t, g: t | {"loss": t["loss"] * 1e90},
    "next to constant": lambda t, g: t | {"loss": 3 + 1e-9 * g.standard_normal(len(t["loss"]))},
    "constant size": lambda t, g: t | {"params": np.full(len(t["loss"]), 1e7)},
    "constant ratio": lambda t, g: t | {"tokens": 20 * t["params"], "flops": 120 * t["params"] ** 2},
    "two sizes": lambda t, g: t | {"params": (p := g.choice([1e7, 1e8], len(t["loss"]))), "flops": 6 * p * t["tokens"]},
    "three rows": lambda t, g: {name: values[:3] for name, values in t.items()},
    "two rows": lambda t, g: {name: values[:2] for name, values in t.items()},
}
DOMAINS = {name: {"domains": ("web", "code")} for name in ("mixture", "mixture_additive", "mixture_joint")}
form_named("chinchilla")


def _check_never_nan(form: str, seed: int) -> None:
    for name, change in NASTY.items():
        generator = np.random.default_rng(seed)
        table = change(_table(18, generator), generator)
        try:
            fit = laws.fit(table, form, **QUICK, **DOMAINS.get(form, {}))
        except laws.LawError:
            continue
        assert not list(_infinite(fit.as_json())), (name, list(_infinite(fit.as_json())))
        assert laws.LawFit.from_json(json.loads(fit.to_json())) == fit
        noisy = name in ("huge noise", "random", "next to constant", "1e-8 to 1e8", "two rows")
        reads_loss = fit.output == "loss"
        assert not (noisy and reads_loss) or not fit.ok, (name, fit.diagnostics)


@pytest.mark.parametrize("form", ["chinchilla", "kaplan", "isoflop", "sigmoid"])
def test_nasty_tables_give_no_nan(form: str) -> None:
    _check_never_nan(form, 0)


@pytest.mark.full
@pytest.mark.parametrize("form", sorted(FORMS))
@pytest.mark.parametrize("seed", [1])
def test_no_form_gives_nan(form: str, seed: int) -> None:
    _check_never_nan(form, seed)


# The page


def test_the_page_lists_every_code() -> None:
    source = "\n".join(path.read_text() for path in (ROOT / "scaling" / "laws").rglob("*.py"))
    raised = set(re.findall(r"Diagnostic\(\s*\"(\w+)\"", source))
    page = (ROOT / "docs" / "diagnostics.md").read_text()
    listed = {
        code for row in re.findall(r"^\| (`[^|]*) \|", page, re.MULTILINE) for code in re.findall(r"`(\w+)`", row)
    }
    assert raised - listed == set()
    assert listed - raised == {"error", "warning", "note"}


def test_the_page_s_examples_run() -> None:
    blocks = re.findall(
        r"^```python\n(.*?)^```", (ROOT / "docs" / "diagnostics.md").read_text(), re.MULTILINE | re.DOTALL
    )
    space: dict[str, Any] = {}
    for block in blocks:
        exec(compile(block, "diagnostics.md", "exec"), space)
    assert "row 6 " in codes(space["fit"])["outlier"].message
    assert space["found"].diagnostics
