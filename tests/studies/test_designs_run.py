"""Studies of other designs than isoflop, trained for real: what the laws see, what they leave out, and what is done."""

import json
import math
import subprocess
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from tests.studies.conftest import Scaling
from tests.studies.terminal import Terminal

Tiny = Callable[..., Path]
LADDER = {
    "design": "ladder",
    "widths": [8, 16],
    "tokens_per_param": [1, 2, 4, 8],
    "skip": [{"when": {"width": 16, "tokens_per_param": 8}, "because": "too dear"}],
}
BOWLS = {
    "design": "bowls",
    "widths": [8, 16],
    "tokens_per_param": [1, 2, 3],
    "learning_rate_factors": [0.25, 0.5, 1, 2],
    "batch_factors": [1],
}


def ran(scaling: Scaling, study: Path, out: Path) -> subprocess.CompletedProcess[str]:
    answer = scaling("run", study, "--out", out)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return answer


@pytest.mark.full
def test_a_ladder_from_its_plan_to_its_check(tiny: Tiny, scaling: Scaling, terminal: Terminal, tmp_path: Path) -> None:
    out, study = tmp_path / "run", tiny(sweep=LADDER, check={"seeds": 1})
    answer = ran(scaling, study, out)
    assert "skipped: 1 cell, because: too dear (width 16; tokens_per_param 8)" in answer.stdout
    assert "law isoflop was not fitted" in answer.stderr
    assert "predicted loss" in answer.stdout
    assert "the laws see" not in answer.stdout
    table = pl.read_csv(out / "observations.csv")
    fitted = table.filter(pl.col("role") == "fit")
    assert len(fitted) == 2 * 4 - 1
    for row in fitted.iter_rows(named=True):
        ratio = min((1, 2, 4, 8), key=lambda ratio: abs(math.log(row["tokens"] / row["params"] / ratio)))
        assert row["budget"] == ratio * row["params"] * row["flops"] / row["tokens"]
        assert abs(row["tokens"] - ratio * row["params"]) <= row["batch_tokens"] / 2
    assert {path.stem for path in (out / "laws").glob("*.json")} == {"chinchilla", "power"}
    check = table.filter(pl.col("role") == "check")
    assert len(check) == 1
    assert check["budget"][0] == pytest.approx(2 * fitted["budget"].max())
    assert (out / "report" / "index.html").is_file()

    told = terminal.done("plan", study, "--out", out)
    assert "done: 7 of 7 horizons; left: 0.00e+00 FLOPs" in told
    more = tiny(check={"enabled": False}, sweep=LADDER | {"widths": [8, 16, 24]})
    grown = json.loads(terminal.done("plan", more, "--out", out, "--json"))
    assert grown["done"]["horizons"] == 7
    assert len(grown["trajectories"]) == 3
    assert grown["done"]["left_flops"] > 0


@pytest.mark.full
def test_bowls_are_reduced_to_the_best_of_each_cell(
    tiny: Tiny, scaling: Scaling, terminal: Terminal, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    answer = ran(scaling, tiny(sweep=BOWLS, check={"enabled": False}), out)
    assert "the laws see the best of each (N, D) over learning_rate, by bowls: 6 rows of 24 runs" in answer.stdout
    table = pl.read_csv(out / "observations.csv")
    assert len(table) == 2 * 3 * 4
    law = json.loads((out / "laws" / "chinchilla.json").read_text())
    assert law["rows"] == 6
    again = json.loads(terminal.done("fit", out, "--json"))
    assert again["params"] == law["params"]
    by_hand = json.loads(terminal.done("fit", out, "--best-over", "learning_rate", "--resamples", 20, "--json"))
    assert by_hand["details"]["best_over"]["runs"] == 24


@pytest.mark.full
def test_a_sweep_of_one_size_ends_with_its_runs(tiny: Tiny, scaling: Scaling, tmp_path: Path) -> None:
    rates = [2.5e-3, 1e-2, 4e-2]
    grid = {"design": "grid", "factors": {"width": [8], "tokens_per_param": [1], "training.learning_rate": rates}}
    answer = ran(scaling, tiny(sweep=grid), tmp_path / "run")
    assert "note: the sweep has one size" in answer.stdout
    assert "law chinchilla was not fitted" in answer.stderr
    assert "nothing to check" in answer.stdout
    assert len(pl.read_csv(tmp_path / "run" / "observations.csv")) == 3
