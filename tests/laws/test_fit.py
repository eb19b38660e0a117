"""Fits of whole tables: planted laws come back, two approaches agree, published figures are reproduced."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from scaling import laws
from tests.laws import planted

QUICK = {"resamples": 200, "starts": 32}


def test_a_noiseless_law_comes_back() -> None:
    fit = laws.fit(planted.study(), "chinchilla", resamples=0)
    assert fit.params == pytest.approx(planted.TRUTH, rel=1e-6)
    assert fit.status == "ok"
    assert fit.starts["share_at_optimum"] > 0.1


def test_noise_is_measured_from_replicates_and_residuals() -> None:
    found = [laws.fit(planted.study(noise=0.01, seed=seed), "chinchilla", **QUICK).noise for seed in range(6)]
    assert np.mean([noise["run"] for noise in found]) == pytest.approx(0.01, rel=0.35)
    assert all(noise["seed_degrees_of_freedom"] == 8 for noise in found)


def test_intervals_grow_with_the_noise() -> None:
    widths = []
    for noise in (0.002, 0.01):
        fit = laws.fit(planted.study(noise=noise, seed=1), "chinchilla", **QUICK)
        said = fit.predict(params=2e5, tokens=4e6)
        assert said.confidence.low <= said.loss <= said.confidence.high
        assert said.prediction.low < said.confidence.low < said.confidence.high < said.prediction.high
        widths.append(said.prediction.high - said.prediction.low)
    assert widths[1] > 2 * widths[0]


def test_the_article_s_power_law_along_the_data_rich_edge() -> None:
    params = np.geomspace(1e4, 1e6, 8)
    table = {"params": params, "tokens": 1e3 * params, "loss": 8.0 / params**0.07}
    fit = laws.fit(table, "power", pin={"E": 0.0}, **QUICK)
    assert fit.params["alpha"] == pytest.approx(0.07, rel=1e-6)
    assert fit.params["A"] == pytest.approx(8.0, rel=1e-5)
    assert "E" not in fit.intervals


def test_both_approaches_find_the_planted_optimum() -> None:
    table = planted.study()
    chinchilla, isoflop = laws.fit(table, "chinchilla", **QUICK), laws.fit(table, "isoflop", **QUICK)
    for flops in planted.BUDGETS:
        best = planted.best_size(float(flops))
        assert chinchilla.optimum(flops=float(flops)).params.value == pytest.approx(best, rel=1e-3)
        assert isoflop.optimum(flops=float(flops)).params.value == pytest.approx(best, rel=0.15)
    exponent = planted.TRUTH["beta"] / (planted.TRUTH["alpha"] + planted.TRUTH["beta"])
    assert chinchilla.exponents()["params"].value == pytest.approx(exponent, rel=1e-6)
    assert isoflop.exponents()["params"].value == pytest.approx(exponent, abs=0.06)
    for detail, flops in zip(isoflop.details["budgets"], planted.BUDGETS, strict=True):
        sizes = detail["points"]["params"]
        assert detail["bracketed"] == (min(sizes) < detail["minimum"]["params"] < max(sizes))
        assert detail["budget"] == flops


def test_an_optimum_spends_its_budget_under_the_family_s_own_cost() -> None:
    params = np.geomspace(1e3, 1e9, 60)
    fit = laws.fit(planted.study(noise=0.005), "chinchilla", cost=(params, 6 * params + 3e4), **QUICK)
    best = fit.optimum(flops=4e12)
    assert best.tokens.value * (6 * best.params.value + 3e4) == pytest.approx(4e12, rel=1e-3)
    assert best.params.low < best.params.value < best.params.high
    around = [fit.loss(params=best.params.value * factor, flops=4e12) for factor in (0.8, 1.0, 1.25)]
    assert around[1] == min(around) == pytest.approx(best.loss.value, rel=1e-9)


def test_a_law_survives_its_json_to_the_last_bit(tmp_path: Path) -> None:
    fit = laws.fit(planted.study(noise=0.005), "chinchilla", **QUICK)
    path = tmp_path / "law.json"
    path.write_text(fit.to_json())
    again = laws.load(path)
    assert again == fit
    assert again.optimum(flops=1e13) == fit.optimum(flops=1e13)


def test_equal_tables_and_seeds_give_equal_laws() -> None:
    table = planted.study(noise=0.005)
    first, second = (laws.fit(table, "chinchilla", **QUICK) for _ in range(2))
    assert first == second


def test_what_cannot_be_fitted_is_refused_by_name() -> None:
    table = planted.study()
    for arguments, words in (
        ({"form": "chinchila"}, "chinchila"),
        ({"pin": {"gamma": 1.0}}, "gamma"),
        ({"delta": -1.0}, "delta is -1.0"),
        ({"resamples": 3}, "resamples is 3"),
        ({"columns": {"params": "size"}}, "size"),
    ):
        with pytest.raises(laws.LawError, match=words):
            laws.fit(table, **arguments)  # type: ignore[arg-type]
    mixed = table | {"flops_convention": ["6N", *["exact"] * (len(table["loss"]) - 1)]}
    with pytest.raises(laws.LawError, match="exact"):
        laws.fit(mixed)
    with pytest.raises(laws.LawError, match="power"):
        laws.fit(table, "power", pin={"E": 0.0}, resamples=20).optimum(flops=1e12)


def test_fixed_tokens_per_parameter_are_found_out() -> None:
    params = np.geomspace(1e4, 1e6, 10)
    fit = laws.fit(
        {"params": params, "tokens": 20 * params, "loss": planted.loss(params, 20 * params)}, "chinchilla", **QUICK
    )
    assert fit.diagnostics, "a design that cannot tell alpha from beta must say so"


@pytest.mark.parametrize("percent", [0.5])
def test_intervals_hold_the_truth_about_as_often_as_they_say(percent: float) -> None:
    held = []
    for seed in range(24):
        fit = laws.fit(planted.study(noise=percent / 100, seed=seed), "chinchilla", resamples=200, starts=16)
        best = planted.best_size(2e12)
        tokens = 2e12 / (6 * best)
        held.append(
            (
                planted.TRUTH["alpha"] in fit.intervals["alpha"],
                planted.loss(best, tokens) in fit.predict(params=best, tokens=tokens).confidence,
            )
        )
    assert np.all(np.mean(held, axis=0) >= 0.75), "24 studies at 95%: 18 or fewer has a chance of 1e-4"


def test_the_data_rich_edge_keeps_the_most_tokens_of_each_size() -> None:
    table = pl.DataFrame(planted.study())
    edge = laws.data_rich_edge(table)
    for size, tokens in edge.select("params", "tokens").rows():
        assert tokens == table.filter(pl.col("params") == size)["tokens"].max()
