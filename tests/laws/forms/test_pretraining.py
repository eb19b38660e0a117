"""Forms of the pre-training loss: the contract, their limits, published fits."""

from typing import Any

import numpy as np
import polars as pl
import pytest

from scaling import laws
from scaling.laws.forms import form_named
from tests.laws.forms.contract import Example, check_contract
from tests.laws.planted import published

N, D = (values.ravel() for values in np.meshgrid(np.geomspace(1e8, 6e9, 6), np.geomspace(2e9, 2e11, 6)))
GRID = {"params": N, "tokens": D}
LOGS = {name: np.log(values) for name, values in GRID.items()}
KAPLAN = {"alpha_N": 0.076, "alpha_D": 0.103, "N_c": 6.4e13, "D_c": 1.8e13}
"""Kaplan et al. 2020, table 2."""
BUSBRIDGE = {"E": 1.22, "A": 3355.0, "alpha": 0.408, "B": 18186.0, "beta": 0.431, "gamma": 0.452}
"""Busbridge et al. 2025."""
GADRE = {
    "c4_original": {"a": 141.3, "b": 189.5, "eta": 0.1213, "E": 1.508},
    "rpj": {"a": 212.2, "b": 366.7, "eta": 0.1365, "E": 1.837},
    "rw_original": {"a": 157.1, "b": 246.2, "eta": 0.1272, "E": 1.735},
}
"""Gadre et al. 2024: C4, RedPajama, RefinedWeb."""
FARSEER = {
    "a3": -0.062465473, "b3": 0.128488068, "gamma": 0.13,
    "a2": 230.734371, "b2": -1.544209554, "beta": -0.1729,
    "a1": -1.665630816, "b1": 3.133347199, "alpha": 0.0459,
}  # fmt: skip
"""Li et al. 2025, as ScaleBench (Li et al. 2026) quotes them."""

EXAMPLES = [
    Example("kaplan", KAPLAN, {"params": N / 10, "tokens": D / 10}),
    Example("busbridge", BUSBRIDGE, GRID),
    Example("overtraining", GADRE["c4_original"], {"flops": 6 * N * D, "tokens_per_param": D / N}),
    Example("farseer", FARSEER, GRID),
]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.form)
def test_contract(example: Example) -> None:
    check_contract(example)


def test_kaplan_s_limits_are_its_power_laws() -> None:
    law = form_named("kaplan")
    endless = np.log(1e60)
    size = law.evaluate(KAPLAN, {"params": LOGS["params"], "tokens": endless})
    np.testing.assert_allclose(size, (KAPLAN["N_c"] / N) ** KAPLAN["alpha_N"], rtol=1e-12)
    data = law.evaluate(KAPLAN, {"params": np.log(1e80), "tokens": LOGS["tokens"]})
    np.testing.assert_allclose(data, (KAPLAN["D_c"] / D) ** KAPLAN["alpha_D"], rtol=1e-12)
    inner = (KAPLAN["N_c"] / N) ** (KAPLAN["alpha_N"] / KAPLAN["alpha_D"]) + KAPLAN["D_c"] / D
    np.testing.assert_allclose(law.evaluate(KAPLAN, LOGS), inner ** KAPLAN["alpha_D"], rtol=1e-12)


def test_busbridge_holds_chinchilla_and_kaplan() -> None:
    law = form_named("busbridge")
    chinchilla = {name: value for name, value in BUSBRIDGE.items() if name != "gamma"}
    np.testing.assert_allclose(
        law.evaluate(BUSBRIDGE | {"gamma": 1.0}, LOGS), form_named("chinchilla").evaluate(chinchilla, LOGS), rtol=1e-12
    )
    power = KAPLAN["alpha_N"] / KAPLAN["alpha_D"]
    same = {"E": 0.0, "A": KAPLAN["N_c"] ** power, "alpha": power, "B": KAPLAN["D_c"], "beta": 1.0}
    np.testing.assert_allclose(
        law.evaluate(same | {"gamma": KAPLAN["alpha_D"]}, LOGS), form_named("kaplan").evaluate(KAPLAN, LOGS), rtol=1e-12
    )
    by_hand = BUSBRIDGE["E"] + (3355.0 / N**0.408 + 18186.0 / D**0.431) ** 0.452
    np.testing.assert_allclose(law.evaluate(BUSBRIDGE, LOGS), by_hand, rtol=1e-12)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.form)
def test_the_optimum_is_the_least_loss_of_its_budget(example: Example) -> None:
    fit = laws.fit(example.table(), example.form, resamples=20, starts=64)
    size = np.geomspace(1e7, 1e11, 40001)
    for flops in (1e20, 1e22):
        tokens = flops / (6 * size)
        loss = fit.loss(params=size, tokens=tokens)
        best = fit.optimum(flops=flops)
        assert best.params.value == pytest.approx(size[np.argmin(loss)], rel=3e-3)
        assert best.loss.value == pytest.approx(loss.min(), rel=1e-9)
        assert 6 * best.params.value * best.tokens.value == pytest.approx(flops, rel=1e-9)


def test_overtraining_is_chinchilla_with_equal_exponents() -> None:
    p = GADRE["rpj"]
    inputs = {"flops": np.log(6 * N * D), "tokens_per_param": np.log(D / N)}
    both = {"E": p["E"], "A": p["a"] * 6 ** -p["eta"], "B": p["b"] * 6 ** -p["eta"]}
    chinchilla = both | {"alpha": 2 * p["eta"], "beta": 2 * p["eta"]}
    np.testing.assert_allclose(
        form_named("overtraining").evaluate(p, inputs), form_named("chinchilla").evaluate(chinchilla, LOGS), rtol=1e-12
    )
    fit = laws.fit({"flops": 6 * N * D, "tokens_per_param": D / N, "params": N, "tokens": D} | {
        "loss": form_named("overtraining").evaluate(p, inputs)
    }, "overtraining", resamples=20, starts=64)  # fmt: skip
    for flops in (1e19, 1e24):
        ratio = fit.optimum(flops=flops).tokens_per_param.value
        assert ratio == pytest.approx((p["b"] / p["a"]) ** (1 / (2 * p["eta"])), rel=1e-5)


@pytest.mark.parametrize("training_set", GADRE)
def test_published_fits_of_over_training(training_set: str) -> None:
    """Least squares of the loss itself on the five rows that Gadre et al. fitted; eta and E to one unit of print."""
    runs = pl.read_csv(published("gadre", "runs.csv")).filter(pl.col("train_dataset") == training_set)
    optimal = (pl.col("tok_mult") == 20) & (pl.col("N") < 6e8)
    overtrained = (pl.col("tok_mult") == 320) & (pl.col("N") < 1.1e7)
    fit = laws.fit(
        runs.filter(optimal | overtrained),
        "overtraining",
        columns={"params": "N", "tokens": "D", "loss": "loss_c4_val"},
        objective="least_squares",
        space="linear",
        resamples=0,
    )
    assert fit.rows == 5
    printed = GADRE[training_set]
    for name, unit in (("a", 0.1), ("b", 0.1), ("eta", 1e-4), ("E", 1e-3)):
        assert fit.params[name] == pytest.approx(printed[name], abs=unit), name
    assert fit.starts["share_at_optimum"] >= 0.95


def held_out(form: str, **settings: Any) -> tuple[laws.LawFit, np.ndarray, float]:
    """(fit of the 404 runs, relative errors on the seven larger ones, R^2 there)."""
    columns = {"params": "N", "tokens": "D"}
    fit = laws.fit(
        published("farseer", "runs.csv"), form, columns=columns, **{"resamples": 0, "starts": 32, **settings}
    )
    rows = pl.read_csv(published("farseer", "held_out.csv"))
    loss = rows["loss"].to_numpy()
    predicted = fit.loss(params=rows["N"].to_numpy(), tokens=rows["D"].to_numpy())
    unexplained = np.sum((predicted - loss) ** 2) / np.sum((loss - loss.mean()) ** 2)
    return fit, predicted / loss - 1, float(1 - unexplained)


@pytest.mark.parametrize(
    ("settings", "value"),
    [
        ({}, 3.887318650e-4),
        ({"objective": "least_squares"}, 1.256162012e-3),
        ({"objective": "least_squares", "space": "linear"}, 4.401802602e-4),
    ],
    ids=["huber", "least squares of ln L", "least squares of L"],
)
def test_farseer_predicts_the_larger_runs(settings: dict[str, Any], value: float) -> None:
    """ScaleBench's own fit has R^2 0.91 on the seven, and 0.93 where it chooses what to train on."""
    fit, errors, r_squared = held_out("farseer", **settings)
    assert fit.objective["value"] == pytest.approx(value, rel=1e-6)
    assert fit.starts["share_at_optimum"] >= 0.6
    assert r_squared == pytest.approx(0.93, abs=0.01)
    assert np.mean(np.abs(errors)) < 0.004


def test_farseer_s_best_tokens_per_parameter_grow_with_compute() -> None:
    """Li et al.: D / N of about 20 is right at 1e20 to 1e21 FLOP, and too little beyond."""
    fit, _, _ = held_out("farseer")
    size = np.geomspace(1e8, 1e12, 4001)
    ratios = []
    for flops in (1e20, 1e21, 1e22, 1e23):
        tokens = flops / (6 * size)
        ratios.append(float((tokens / size)[np.argmin(fit.loss(params=size, tokens=tokens))]))
    assert 10 < ratios[0] < ratios[1] < 40
    assert 40 < ratios[2] < ratios[3]


def test_chinchilla_over_predicts_every_larger_run() -> None:
    _, errors, r_squared = held_out("chinchilla")
    assert np.all(errors > 0)
    assert np.mean(np.abs(errors)) == pytest.approx(0.0299, abs=5e-5)
    assert r_squared == pytest.approx(-2.03, abs=0.005)


def test_one_parameter_more_than_chinchilla_removes_most_of_that() -> None:
    fit, errors, r_squared = held_out("busbridge")
    assert np.mean(np.abs(errors)) < 0.005
    assert r_squared > 0.9
    assert fit.params["gamma"] == pytest.approx(0.47, abs=0.02)
    assert fit.starts["share_at_optimum"] >= 0.95


def test_a_curve_of_farseer_may_be_straight() -> None:
    """Where nothing bends, exponents of N near 0 stand for power laws, and the prediction stays exact."""
    size, data = np.log(N), np.log(D)
    floor, term = 2.0 * N**-0.03, 30.0 * N**0.02 * D**-0.2
    fit = laws.fit({**GRID, "loss": floor + term}, "farseer", resamples=0, starts=64)
    np.testing.assert_allclose(fit.loss(**GRID), floor + term, rtol=1e-6)
    curves = {"alpha": 0.0, "beta": 0.02, "gamma": -0.03}
    found = {
        g: fit.params[a] * fit.params[g] * np.exp(fit.params[g] * size.mean())
        for a, g in (("a1", "alpha"), ("a2", "beta"), ("a3", "gamma"))
    }
    assert found == pytest.approx(curves, abs=1e-4), (size.mean(), data.mean())
