"""Approach 1 on planted curves: the optimum comes back, edges are left out, and other approaches agree."""

from typing import Any

import numpy as np
import polars as pl
import pytest

from scaling import laws
from tests.laws import planted
from tests.laws.procedures.simulated import training_curves

SIZES = np.geomspace(5e3, 3e6, 18)
EXPONENT = planted.TRUTH["beta"] / (planted.TRUTH["alpha"] + planted.TRUTH["beta"])
AT = (1e12, 3e12, 1e13)


def codes(fit: laws.LawFit) -> set[str]:
    return {item.code for item in fit.diagnostics}


def test_the_planted_optimum_comes_back() -> None:
    fit = laws.fit(training_curves(SIZES), "envelope", resamples=100)
    assert fit.status == "ok"
    assert fit.exponents()["params"].value == pytest.approx(EXPONENT, abs=0.01)
    for flops in AT:
        best, found = planted.best_size(flops), fit.optimum(flops=flops)
        assert found.params.value == pytest.approx(best, rel=0.05)
        assert found.tokens.value == pytest.approx(flops / (6 * best), rel=0.05)
        # L* is a power law without an asymptote, which the planted law has.
        assert found.loss.value == pytest.approx(planted.loss(best, flops / (6 * best)), rel=0.07)
        assert best in found.params
    assert found.params.value * found.tokens.value * 6 == pytest.approx(AT[-1], rel=1e-9)


def test_budgets_at_the_edge_of_the_sizes_are_left_out_because_they_bend_the_law() -> None:
    left, kept = (
        laws.fit(training_curves(SIZES), "envelope", resamples=0, edge=edge) for edge in ("leave_out", "keep")
    )
    assert left.params["N_exponent"] == pytest.approx(0.527, abs=5e-4)
    assert kept.params["N_exponent"] == pytest.approx(0.467, abs=5e-4)
    assert left.details["left_out_at_edge"] == pytest.approx(0.33, abs=0.01)
    assert "envelope_at_edge" in codes(kept)
    assert "envelope_at_edge" not in codes(left)


def test_the_envelope_is_the_run_with_the_least_loss() -> None:
    """Against a direct search: interpolate every curve at a budget and take the least."""
    table = training_curves(SIZES, noise=0.002, seed=1)
    fit = laws.fit(table, "envelope", resamples=0, edge="keep")
    rows = pl.DataFrame(table).with_columns(flops=6 * pl.col("params") * pl.col("tokens"))
    for stretch in fit.details["envelope"]:
        budget = float(np.sqrt(stretch["flops"][0] * stretch["flops"][1]))
        losses = {}
        for (size,), run in rows.sort("flops").group_by("params"):
            log_c, log_l = np.log(run["flops"].to_numpy()), np.log(run["loss"].to_numpy())
            if log_c[0] <= np.log(budget) <= log_c[-1]:
                losses[size] = np.interp(np.log(budget), log_c, log_l)
        assert min(losses, key=lambda size: losses[size]) == pytest.approx(stretch["params"])


def test_three_approaches_agree() -> None:
    """Approach 2 on the same law's budgets, approach 3 on the same rows."""
    thin = training_curves(SIZES, noise=0.001, ratios=np.geomspace(1, 300, 12))
    one = laws.fit(training_curves(SIZES, noise=0.001), "envelope", resamples=40, smoothing=0.3)
    two = laws.fit(planted.study(noise=0.001), "isoflop", resamples=40)
    three = laws.fit(thin, "chinchilla", resamples=0, starts=32)
    for flops in AT[:2]:
        best = planted.best_size(flops)
        found = [fit.law.frontier or fit.law.optimum_6nd for fit in (one, two, three)]
        sizes = [
            float(np.exp(frontier(fit.params, np.log(flops))[0]))  # type: ignore[misc]
            for frontier, fit in zip(found, (one, two, three), strict=True)
        ]
        assert sizes == pytest.approx([best] * 3, rel=0.15)


def test_smoothing_takes_off_what_noise_does_to_the_choice_of_the_run() -> None:
    errors: dict[float, list[float]] = {0.0: [], 1.0: []}
    for seed in range(4):
        table = training_curves(SIZES, noise=0.02, seed=seed)
        stretches = []
        for width, found in errors.items():
            fit = laws.fit(table, "envelope", resamples=0, smoothing=width)
            found.append(fit.params["N_exponent"] - EXPONENT)
            stretches.append(len(fit.details["envelope"]))
        assert stretches[1] < 20 < 60 < stretches[0]
    assert np.mean(errors[0.0]) < -0.025
    assert abs(np.mean(errors[1.0])) < 0.02


def test_smoothing_leaves_smooth_curves_as_they_are() -> None:
    plain, smooth = (laws.fit(training_curves(SIZES), "envelope", resamples=0, smoothing=width) for width in (0.0, 0.5))
    for name, value in plain.params.items():
        assert smooth.params[name] == pytest.approx(value, rel=2e-3)


def test_intervals_come_from_trajectories_drawn_again() -> None:
    table = training_curves(SIZES, common=0.003)
    first, second = (laws.fit(table, "envelope", resamples=60) for _ in range(2))
    assert first == second
    assert first.noise["resampling"] == "pairs"
    assert laws.LawFit.from_json(first.to_json()) == first
    for name, interval in first.intervals.items():
        assert interval.low <= first.params[name] <= interval.high
    assert EXPONENT in first.exponents()["params"]
    said = first.predict(flops=1e13)
    assert said.prediction.low < said.confidence.low < said.loss < said.confidence.high < said.prediction.high


def test_few_sizes_and_short_curves_are_told() -> None:
    short = laws.fit(training_curves(np.geomspace(1e5, 4e5, 5), ratios=np.geomspace(8, 60, 8)), "envelope", resamples=0)
    assert {"narrow_envelope", "too_few_trajectories"} <= codes(short)
    few = laws.fit(training_curves(np.geomspace(2e4, 2e6, 4), ratios=np.geomspace(1, 3e3, 40)), "envelope", resamples=0)
    assert "few_curves_on_envelope" in codes(few)
    assert not few.ok


def test_rows_that_are_no_curve_are_named() -> None:
    table: dict[str, Any] = training_curves(SIZES)
    table = {name: [*values, values[-1]] for name, values in table.items()}
    table["trajectory"][-1] = "alone"
    fit = laws.fit(table, "envelope", resamples=0)
    assert fit.excluded == (f"row {len(table['loss'])}: its trajectory has one row, no curve",)
    with pytest.raises(laws.LawError, match="trajectories of 2 rows or more"):
        laws.fit({name: column[::60] for name, column in table.items()}, "envelope")
    table["trajectory"] = [name.replace("n5000-", "n6000-") for name in table["trajectory"]]
    table["params"][0] = 6e3
    with pytest.raises(laws.LawError, match="one model along its training"):
        laws.fit(table, "envelope")
    with pytest.raises(laws.LawError, match="did you mean 'keep'"):
        laws.fit(table, "envelope", edge="kep")
    with pytest.raises(laws.LawError, match="2 sizes, 0 of them"):
        laws.fit(training_curves(SIZES[:2]), "envelope")


def test_published_curves_agree_with_the_law_of_all_their_rows() -> None:
    """Gemstones' cooled checkpoints: both say the same of the best size, far as they are from each other in method."""
    rows = pl.read_ndjson(planted.published("gemstones", "cool_end.jsonl"))
    names = {
        "params": "params_active_precise",
        "tokens": "tokens",
        "loss": "final_loss",
        "trajectory": "run_name",
    }
    rows = rows.select(names.values())
    one = laws.fit(rows, "envelope", columns=names, resamples=200)
    three = laws.fit(rows, "chinchilla", columns=names, resamples=0, starts=64)
    assert three.law.optimum_6nd is not None
    best = float(np.exp(three.law.optimum_6nd(three.params, np.log(1e21))[0]))
    assert one.optimum(flops=1e21).params.value == pytest.approx(best, rel=0.5)
    slope = three.params["beta"] / (three.params["alpha"] + three.params["beta"])
    assert slope in one.exponents()["params"]


@pytest.mark.full
def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    """Trajectories drawn again: rough, and wide where the step from size to size is coarse."""
    held = []
    for seed in range(100):
        fit = laws.fit(training_curves(SIZES, common=0.003, seed=seed), "envelope", resamples=200)
        held.append((EXPONENT in fit.exponents()["params"], planted.best_size(3e12) in fit.optimum(flops=3e12).params))
    assert np.all(np.mean(held, axis=0) >= 0.85), np.mean(held, axis=0)


def test_given_errors_are_not_used_and_the_fit_says_so() -> None:
    table = training_curves(SIZES)
    table["loss_se"] = 0.001 * np.asarray(table["loss"])
    unnamed, named = (laws.fit(table, "envelope", columns=c, resamples=0) for c in ({}, {"loss_se": "loss_se"}))
    assert named.params == unnamed.params
    assert "standard_errors_not_used" in codes(named)
    assert "standard_errors_not_used" not in codes(unnamed)
