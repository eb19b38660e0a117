"""What a law sees of runs that differ at one N and D in learning rate or batch size."""

import itertools

import polars as pl
import pytest

from scaling.studies.swept import rows_of, swept

BEST = {1e5: 4e-3, 4e5: 2e-3}


def runs(rates=(0.25, 0.5, 1, 2, 4), seeds=(0, 1), batches=(1024,)) -> pl.DataFrame:
    """A planted sweep: at each N and D the least loss lies at BEST, by a bowl; D moves a little with the batch."""
    rows = []
    for params, ratio, rate, batch, seed in itertools.product(BEST, (20, 40), rates, batches, seeds):
        tokens = round(ratio * params / batch) * batch
        off = rate**2 / (1 + rate**2) - 0.5
        loss = (3 + 20 / params**0.3 + 30 / tokens**0.3) * (1 + 0.02 * off**2) * (1 + 0.0005 * (-1) ** seed)
        rows.append(
            {
                "trajectory": f"{params}-{rate}-{batch}-{seed}",
                "role": "fit",
                "params": params,
                "tokens": tokens,
                "flops": 6.0 * params * tokens,
                "loss": loss,
                "learning_rate": rate * BEST[params],
                "batch_tokens": batch,
                "seed": seed,
            }
        )
    return pl.DataFrame(rows)


def test_rows_that_differ_by_seed_alone_stay(tmp_path):
    table = runs(rates=(1,))
    found = rows_of(table)
    assert found.over == found.said == ()
    assert found.table.equals(table)


def test_swept_rates_are_reduced_to_their_bowls():
    found = rows_of(runs())
    assert found.over == ("learning_rate",)
    assert len(found.table) == 4
    assert found.said == ("the laws see the best of each (N, D) over learning_rate, by bowls: 4 rows of 40 runs",)
    for row in found.table.iter_rows(named=True):
        assert row["learning_rate"] == pytest.approx(BEST[row["params"]], rel=0.1)
        assert row["loss"] == pytest.approx(3 + 20 / row["params"] ** 0.3 + 30 / row["tokens"] ** 0.3, rel=1e-3)


def test_cells_hold_together_though_d_moves_with_the_batch():
    found = rows_of(runs(batches=(512, 1024, 1536)))
    assert found.over == ("learning_rate", "batch_tokens")
    assert len(found.table) == 4


def test_a_diverged_run_says_that_its_rate_was_tried():
    table = runs(rates=(0.25, 0.5, 1))
    (said, edge) = rows_of(table.filter(pl.col("learning_rate") < pl.col("params").replace_strict(BEST))).said
    assert "learning_rate is best at an end of what was tried in 4 of 4" in edge
    gone = runs(rates=(2,)).with_columns(loss=pl.lit(None, pl.Float64))
    found = rows_of(table, gone)
    assert "4 rows of 32 runs, 8 of them diverged" in found.said[0]
    assert "over learning_rate" in said
    elsewhere = gone.with_columns(params=pl.lit(9e9))
    assert len(rows_of(table, elsewhere).table) == 4, "a cell of which no run has a loss is no row"


def test_where_no_bowl_can_be_fitted_the_lowest_is_seen_and_said():
    found = rows_of(runs(rates=(0.5, 1, 2), seeds=(0,)))
    assert "no bowls can be fitted" in found.said[0]
    assert "biased low" in found.said[0]
    assert len(found.table) == 4
    assert set(found.table["learning_rate"]) == set(BEST.values())


def test_an_empty_table_is_not_swept():
    assert swept(runs().head(0)) == ()
