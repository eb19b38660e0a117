"""Raw sweeps reduced to a row a cell: the bowl's value against the lowest loss, and what comes along."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import polars as pl
import pytest

from scaling import laws
from scaling.laws.procedures import bowl_noise, bowls
from scaling.laws.sweeps import best_over
from tests.laws import planted
from tests.laws.procedures.simulated import HILL, best_rate, cell, sweep

PAGE = Path(__file__).parents[3] / "docs" / "sweeps.md"
PRINTED = {
    "5 learning rates, 3 seeds": ({"seeds": 3, "noise": 0.005}, -0.52, -0.01),
    "5 learning rates, 1 seed": ({"noise": 0.005}, -0.20, -0.03),
    "5 x 5 learning rates and batch sizes, 1 seed": ({"hypers": 2, "noise": 0.005}, -0.30, -0.00),
    "9 learning rates, 3 seeds, steeper on one side": (
        {"settings": 9, "seeds": 3, "noise": 0.002, "skew": 0.7},
        -0.15,
        -0.02,
    ),
}
"""Design -> bias, in percent, of the lowest loss and of the bowl's minimum, as the page prints them."""


def biases(design: dict[str, Any], sweeps: int) -> tuple[float, float]:
    """Mean error, in percent, of the lowest loss and of the bowl's minimum; eight cells a sweep."""
    generator = np.random.default_rng(0)
    lowest, bowl = [], []
    for _ in range(sweeps):
        cells = [cell(generator, **design) for _ in range(8)]
        found = bowls.fit(cells)
        clusters = [np.arange(len(one.log_loss)) + 1000 * index for index, one in enumerate(cells)]
        noise = bowl_noise.measured(cells, found, clusters).run
        lowest += [float(one.log_loss.min()) for one in cells]
        bowl += [bowls.minimum(one, noise).log_loss for one in found]
    return 100 * float(np.mean(lowest)), 100 * float(np.mean(bowl))


def test_the_lowest_loss_is_biased_low_and_the_bowl_s_minimum_is_not() -> None:
    design = {"seeds": 3, "noise": 0.005}
    lowest, bowl = biases(design, sweeps=12)
    standard_error = 0.25 / np.sqrt(12 * 8)
    assert lowest < -0.4
    assert abs(bowl) < 3 * standard_error


@pytest.mark.full
@pytest.mark.parametrize("name", PRINTED)
def test_the_page_s_table(name: str) -> None:
    design, lowest, bowl = PRINTED[name]
    assert biases(design, sweeps=60) == pytest.approx((lowest, bowl), abs=0.03)
    assert f"| {name} | {100 * design['noise']:g}% | {lowest:.2f}% | {bowl:.2f}% |" in PAGE.read_text()


def test_a_law_of_the_minima_is_the_planted_one_and_of_the_lowest_is_not() -> None:
    table = pl.DataFrame(sweep(seed=1, noise=0.004, seeds=2))
    lowest = table.group_by("params", "tokens").agg(pl.col("loss").min())
    errors = []
    for given in (best_over(table), lowest):
        truth = planted.loss(given["params"].to_numpy(), given["tokens"].to_numpy(), HILL)
        errors.append(np.log(given["loss"].to_numpy() / truth))
    assert abs(np.mean(errors[0])) < 0.001
    assert np.mean(errors[1]) < -0.003
    fit = laws.fit(best_over(table), "chinchilla", resamples=0, starts=32, objective="least_squares")
    truth = planted.loss(1e9, 5e10, HILL)
    assert fit.loss(params=1e9, tokens=5e10) == pytest.approx(truth, rel=0.01)


def test_noiseless_minima_come_back() -> None:
    table = sweep(noise=1e-6)
    best = best_over(table)
    assert isinstance(best, pl.DataFrame)
    assert best.select("params", "tokens").rows() == sorted(set(zip(table["params"], table["tokens"], strict=True)))
    for row in best.iter_rows(named=True):
        assert row["loss"] == pytest.approx(planted.loss(row["params"], row["tokens"], HILL), rel=1e-5)
        assert row["learning_rate"] == pytest.approx(best_rate(row["params"], row["tokens"]), rel=1e-3)
        assert (row["settings"], row["runs"], row["at_edge"]) == (25, 25, False)
        assert 0 <= row["regret"] < 0.01


def test_standard_errors_and_weights_follow_the_noise_and_the_runs() -> None:
    few, many = (best_over(sweep(noise=0.004, seeds=seeds)) for seeds in (1, 3))
    assert many["loss_se"].mean() == pytest.approx(few["loss_se"].mean() / np.sqrt(3), rel=0.25)
    table = pl.DataFrame(sweep(noise=0.004, seeds=3))
    thinned = best_over(table.filter((pl.col("seed") == 0) | (pl.col("params") > 1e7)))
    weights = {size: thinned.filter(pl.col("params") == size)["weight"].mean() for size in (1e7, 3e8)}
    assert weights[1e7] == pytest.approx(weights[3e8] / 3, rel=0.4)
    assert thinned["weight"].mean() == pytest.approx(1.0)


def test_columns_of_any_name_and_what_is_constant_come_along() -> None:
    table = pl.DataFrame(sweep(noise=0.002)).rename({"params": "N", "learning_rate": "lr", "loss": "val"})
    table = table.with_columns(family=pl.lit("tiny"), flops=6 * pl.col("N") * pl.col("tokens"), note=pl.col("lr"))
    best = best_over(table, columns={"params": "N", "learning_rate": "lr", "loss": "val"})
    assert {"params", "loss", "learning_rate", "family", "flops", "trajectory"} <= set(best.columns)
    assert not {"note", "seed", "N", "lr", "val"} & set(best.columns)
    assert best["family"].to_list() == ["tiny"] * 12
    assert best["trajectory"].n_unique() == 12


def test_cells_that_share_a_trajectory_keep_its_name() -> None:
    table = pl.DataFrame(sweep(noise=0.002))
    table = table.with_columns(trajectory=pl.format("{}-{}", "params", pl.int_range(pl.len()).over("params", "tokens")))
    assert best_over(table)["trajectory"].n_unique() == 4


def test_roles_are_kept_apart() -> None:
    table = pl.DataFrame(sweep(noise=0.002)).with_columns(
        role=pl.when(pl.col("params") > 1e8).then(pl.lit("check")).otherwise(pl.lit("fit"))
    )
    assert best_over(table).group_by("role").len().sort("role").rows() == [("check", 3), ("fit", 9)]


def test_a_diverged_run_says_that_its_setting_was_tried() -> None:
    table = pl.DataFrame(sweep(noise=1e-5, shift=0.0, sizes=(1e7,)))
    highest = pl.col("learning_rate") == pl.col("learning_rate").max().over("params", "tokens")
    for gone in (None, float("nan"), float("inf")):
        best = best_over(table.with_columns(loss=pl.when(highest).then(pl.lit(gone)).otherwise(pl.col("loss"))))
        assert best["runs"].to_list() == [25] * 3
        assert not best["at_edge"].any()
        rates = [best_rate(1e7, tokens) for tokens in best["tokens"]]
        assert best["learning_rate"].to_list() == pytest.approx(rates, rel=0.01)


def test_an_optimum_at_the_edge_is_flagged() -> None:
    table = pl.DataFrame(sweep(noise=1e-4, shift=0.0))
    half = table.filter(pl.col("learning_rate") < 0.9 * (1.79 * pl.col("params") ** -0.713 * pl.col("tokens") ** 0.307))
    best = best_over(half)
    assert best["learning_rate_at_edge"].all()
    assert best["at_edge"].all()
    assert not best["batch_size_at_edge"].any()


def test_pandas_comes_back_as_pandas() -> None:
    best = best_over(pandas.DataFrame(sweep(noise=0.002)))
    assert isinstance(best, pandas.DataFrame)
    assert laws.fit(best, resamples=0, starts=16).rows == 12


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"over": ("learning_rate", "batch_size", "seed")}, "one or two"),
        ({"over": ("learning_rat",)}, "did you mean 'learning_rate'"),
        ({"cell": ()}, "at least one"),
        ({"cell": ("params", "learning_rate")}, "none of over"),
        ({"columns": {"param": "params"}}, "did you mean 'params'"),
    ],
)
def test_impossible_arguments_are_named(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(laws.LawError, match=words):
        best_over(sweep(noise=0.002), **arguments)


def test_impossible_cells_are_named() -> None:
    table = pl.DataFrame(sweep(noise=0.002))
    with pytest.raises(laws.LawError, match=r"row 1, column 'learning_rate'"):
        best_over(table.with_columns(learning_rate=pl.lit(0.0)))
    with pytest.raises(laws.LawError, match=r"row 1, column 'loss' is -1"):
        best_over(table.with_columns(loss=pl.lit(-1.0)))
    first = (pl.col("params") == 1e7) & (pl.col("tokens") == 1e9)
    with pytest.raises(laws.LawError, match="no setting of which every run has a loss"):
        best_over(table.with_columns(loss=pl.when(first).then(None).otherwise(pl.col("loss"))))


def test_the_page_s_example_runs() -> None:
    for block in re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL):
        exec(compile(block, str(PAGE), "exec"), {})


def test_reducing_a_sweep_needs_no_jax() -> None:
    code = "import sys; from scaling.laws.sweeps import best_over; assert 'jax' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
