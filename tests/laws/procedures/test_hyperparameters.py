"""Step Law on planted sweeps: the optima come back, edges are left out, intervals hold the truth."""

from typing import Any

import numpy as np
import polars as pl
import pytest

from scaling import laws
from tests.laws.procedures.simulated import BATCH, RATE, best_rate, sweep


def codes(fit: laws.LawFit) -> set[str]:
    return {item.code for item in fit.diagnostics}


def test_noiseless_sweeps_return_step_law() -> None:
    rate = laws.fit(sweep(), "hyperparameters", resamples=0)
    batch = laws.fit(sweep(), "hyperparameters", target="batch_size", resamples=0)
    assert rate.params == pytest.approx(RATE, rel=1e-6)
    assert batch.params == pytest.approx(BATCH, rel=1e-6)
    assert (rate.output, rate.inputs, batch.output, batch.inputs) == (
        "learning_rate", ("params", "tokens"), "batch_size", ("tokens",),
    )  # fmt: skip
    assert rate.loss(params=1e9, tokens=1e11) == pytest.approx(best_rate(1e9, 1e11), rel=1e-6)
    assert rate.status == batch.status == "ok"


def test_a_batch_size_that_does_not_depend_on_n_says_so() -> None:
    table = sweep(noise=0.002, seed=3)
    fit = laws.fit(table, "hyperparameters", target="batch_size", inputs=("params", "tokens"), resamples=100)
    assert 0.0 in fit.intervals["params_exponent"]
    assert BATCH["tokens_exponent"] in fit.intervals["tokens_exponent"]


def test_agrees_with_a_quadratic_and_a_line_fitted_by_hand() -> None:
    """One hyper-parameter, each cell by np.polyfit on all its rows, the law by least squares."""
    table = pl.DataFrame(sweep(noise=2e-4, shift=0.3, sizes=np.geomspace(1e7, 1e8, 5)))
    table = table.group_by("params", "tokens", "learning_rate", maintain_order=True).agg(pl.col("loss").mean())
    rows = []
    for (n, d), own in table.group_by("params", "tokens", maintain_order=True):
        logs = np.log(own["learning_rate"].to_numpy())
        curve = np.polyfit(logs - logs.mean(), np.log(own["loss"].to_numpy()), 2)
        rows.append((np.log(n), np.log(d), logs.mean() - curve[1] / (2 * curve[0])))
    size, data, best = np.array(rows).T
    slope = np.linalg.lstsq(np.stack([np.ones_like(size), size, data], axis=1), best, rcond=None)[0]
    fit = laws.fit(table, "hyperparameters", over="learning_rate", resamples=0)
    assert fit.params["params_exponent"] == pytest.approx(slope[1], abs=0.02)
    assert fit.params["tokens_exponent"] == pytest.approx(slope[2], abs=0.02)


def test_intervals_hold_the_planted_law() -> None:
    fit = laws.fit(sweep(noise=0.002, seed=1), "hyperparameters", resamples=200)
    for name, value in RATE.items():
        assert value in fit.intervals[name], name
        assert fit.intervals[name].low <= fit.params[name] <= fit.intervals[name].high
    said = fit.predict(params=1e9, tokens=1e11)
    assert best_rate(1e9, 1e11) in said.confidence
    assert said.prediction.low <= said.confidence.low < said.loss < said.confidence.high <= said.prediction.high
    assert laws.LawFit.from_json(fit.to_json()) == fit
    assert fit.noise["run"] == pytest.approx(0.002, rel=0.2)


def test_cells_that_stray_from_the_law_widen_the_prediction() -> None:
    tight, loose = (
        laws.fit(sweep(noise=0.001, stray=stray, seed=2), "hyperparameters", resamples=200) for stray in (0.0, 0.2)
    )
    assert loose.details["between_cells"] == pytest.approx(0.2, rel=0.6)
    assert tight.details["between_cells"] < 0.05
    widths = [np.log(p.high / p.low) for p in (f.predict(params=1e9, tokens=1e11).prediction for f in (tight, loose))]
    assert widths[1] > 3 * widths[0]
    assert "cells_stray" in codes(loose)


def test_cells_best_at_the_edge_leave_the_fit_and_are_named() -> None:
    table = pl.DataFrame(sweep())
    low = (pl.col("params") == 1e7) & (pl.col("tokens") == 1e9)
    cut = table.filter(~low | (pl.col("learning_rate") < 0.7 * best_rate(1e7, 1e9)))
    fit = laws.fit(cut, "hyperparameters", resamples=0)
    assert fit.params == pytest.approx(RATE, rel=1e-6)
    assert len(fit.excluded) == 1
    assert "params 1e+07, tokens 1e+09" in fit.excluded[0]
    assert "at the edge" in fit.excluded[0]
    (found,) = [item for item in fit.diagnostics if item.code == "optimum_at_edge"]
    assert "params 1e+07, tokens 1e+09" in found.message
    kept = laws.fit(cut, "hyperparameters", resamples=0, edge="keep")
    assert kept.excluded == ()
    assert all(cell["used"] for cell in kept.details["cells"])
    assert "half the range" in kept.diagnostics[0].message
    assert sum(not cell["used"] for cell in fit.details["cells"]) == 1


def test_a_cell_that_was_not_swept_is_named() -> None:
    table = pl.DataFrame(sweep())
    own = table.filter((pl.col("params") == 3e8) & (pl.col("tokens") == 1e9))
    one = own["learning_rate"].unique().sort()[2]
    cut = table.filter((pl.col("params") != 3e8) | (pl.col("tokens") != 1e9) | (pl.col("learning_rate") == one))
    fit = laws.fit(cut, "hyperparameters", resamples=0)
    assert fit.params == pytest.approx(RATE, rel=1e-6)
    assert "do not differ in learning_rate" in fit.excluded[0]


def test_sizes_and_tokens_that_move_together_are_found_out() -> None:
    table = pl.DataFrame(sweep(sizes=np.geomspace(1e7, 1e9, 6), tokens=np.geomspace(2e8, 2e10, 6), noise=0.001))
    table = table.filter((pl.col("tokens") / pl.col("params")).round(3) == 20.0)
    fit = laws.fit(table.with_columns(pl.col("tokens") * (1 + 0.02 * (pl.col("params") > 1e8))), "hyperparameters")
    assert "tokens_follow_params" in codes(fit)
    assert not fit.ok
    one = laws.fit(table, "hyperparameters", inputs="params", resamples=40)
    assert one.params["params_exponent"] == pytest.approx(RATE["params_exponent"] + RATE["tokens_exponent"], abs=0.05)
    with pytest.raises(laws.LawError, match="sweep more sizes"):
        laws.fit(table, "hyperparameters")


def test_any_other_hyper_parameter_may_be_the_target() -> None:
    table = pl.DataFrame(sweep()).group_by("params", "tokens", "learning_rate").agg(pl.col("loss").min())
    fit = laws.fit(table.rename({"learning_rate": "weight_decay"}), "hyperparameters", target="weight_decay")
    assert fit.output == "weight_decay"
    assert fit.predict(params=1e8, tokens=1e10).loss == pytest.approx(best_rate(1e8, 1e10), rel=0.2)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"over": ("batch_size",)}, "target 'learning_rate' among them"),
        ({"inputs": ("param",)}, "did you mean 'params'"),
        ({"edge": "kep"}, "did you mean 'keep'"),
        ({"target": "weight_decay"}, "no column 'weight_decay'"),
        ({"pin": {"params_exponent": -1.0}}, "pin"),
    ],
)
def test_impossible_options_are_named(options: dict[str, Any], words: str) -> None:
    with pytest.raises(laws.LawError, match=words):
        laws.fit(sweep(), "hyperparameters", **options)


@pytest.mark.full
@pytest.mark.parametrize(
    "design",
    [{"noise": 0.002}, {"noise": 0.005}, {"noise": 0.002, "stray": 0.1}, {"noise": 0.002, "skew": 0.5}],
    ids=str,
)
def test_intervals_hold_the_truth_about_as_often_as_they_say(design: dict[str, float]) -> None:
    held = []
    for seed in range(100):
        fit = laws.fit(sweep(seed=seed, **design), "hyperparameters", resamples=200)
        said = fit.predict(params=1e9, tokens=1e11)
        new = best_rate(1e9, 1e11) * np.exp(design.get("stray", 0) * np.random.default_rng([1, seed]).standard_normal())
        held.append(
            [RATE[name] in fit.intervals[name] for name in RATE]
            + [best_rate(1e9, 1e11) in said.confidence, new in said.prediction]
        )
    shares = np.mean(held, axis=0)
    assert np.all(shares >= 0.87), shares
