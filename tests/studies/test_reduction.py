"""`--best-over`: raw sweeps reduced on the way to a fit, a selection, a validation, a comparison or a profile."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from scaling import laws
from tests.laws import planted
from tests.laws.procedures.simulated import HILL, sweep
from tests.studies.terminal import Terminal

OVER = ("--best-over", "lr", "batch_size")
QUICK = ("--resamples", "40")


@pytest.fixture(scope="module")
def raw() -> pl.DataFrame:
    return pl.DataFrame(sweep(seed=1, noise=0.004, seeds=2)).rename({"learning_rate": "lr"})


@pytest.fixture
def table(raw: pl.DataFrame, tmp_path: Path) -> Path:
    return written(raw, tmp_path)


def written(raw: pl.DataFrame, folder: Path, name: str = "raw.csv") -> Path:
    raw.write_csv(folder / name)
    return folder / name


def test_the_law_of_the_bowls_minima(terminal: Terminal, raw: pl.DataFrame, table: Path) -> None:
    law = json.loads(terminal.done("fit", table, *OVER, *QUICK, "--json"))
    best = laws.best_over(raw, ("lr", "batch_size"))
    assert law["params"] == laws.fit(best, resamples=40).params
    made = law["details"]["best_over"]
    assert (made["over"], made["cell"]) == (["lr", "batch_size"], ["params", "tokens"])
    assert (made["runs"], made["diverged"], made["reach"]) == (600, 0, 0.03)
    assert len(made["cells"]) == law["rows"] == 12
    for row in made["cells"]:
        assert row["loss"] == pytest.approx(planted.loss(row["params"], row["tokens"], HILL), abs=5 * row["loss_se"])
        assert (row["settings"], row["runs"]) == (25, 50)
        assert 0 <= row["regret"] < 0.01
    assert laws.LawFit.from_json(law).details["best_over"] == made


def test_the_cells_are_printed_and_the_best_at_an_edge_is_named(
    terminal: Terminal, raw: pl.DataFrame, tmp_path: Path
) -> None:
    middle = raw.group_by("params", "tokens").agg(pl.col("lr").median().alias("middle"))
    low = raw.join(middle, on=["params", "tokens"]).filter(
        (pl.col("params") < 2e8) | (pl.col("lr") < 0.8 * pl.col("middle"))
    )
    lost = low.with_columns(loss=pl.when(pl.int_range(pl.len()) % 50 == 7).then(None).otherwise(pl.col("loss")))
    law = tmp_path / "law.json"
    shown = terminal.done("fit", written(lost, tmp_path), *OVER, *QUICK, "--out", law)
    assert [one.code for one in laws.load(law).diagnostics][-1:] == ["best_at_edge"]
    assert "510 runs, 11 without a loss; the best of 12 cells over lr and batch_size" in " ".join(shown.split())
    rows = [line.split() for line in shown.splitlines()]
    first = next(line for line in rows if line[:2] == ["10M", "1B"])
    assert first[-2:] == ["25", "50"]
    at_edge = [line for line in rows if line[:1] == ["300M"]]
    assert [line[5].endswith("*") for line in at_edge] == [True] * 3
    assert "* lr is best at the highest tried in 3 of 12 cells (N 300M, D 1B; " in " ".join(shown.split())


def test_columns_name_what_the_table_calls_otherwise(terminal: Terminal, raw: pl.DataFrame, tmp_path: Path) -> None:
    plain = json.loads(terminal.done("fit", written(raw, tmp_path), *OVER, *QUICK, "--json"))
    other = raw.rename({"params": "N", "tokens": "D", "loss": "val"})
    path = written(other, tmp_path, "letters.csv")
    for over, columns in (
        (["lr", "batch_size"], ["loss=val"]),
        (["learning_rate", "batch_size"], ["loss=val", "learning_rate=lr", "params=N"]),
        (["lr", "batch_size"], ["loss=val", "learning_rate=lr"]),
    ):
        law = json.loads(terminal.done("fit", path, "--best-over", *over, "--columns", *columns, *QUICK, "--json"))
        assert law["params"] == plain["params"]
        named = "learning_rate" if "learning_rate=lr" in columns else "lr"
        assert law["details"]["best_over"]["over"] == [named, "batch_size"]


def test_conventions_and_roles_come_along_under_any_name(terminal: Terminal, raw: pl.DataFrame, tmp_path: Path) -> None:
    role = pl.when(pl.col("tokens") > 1e10, pl.col("params") > 2e8).then(pl.lit("check")).otherwise(pl.lit("fit"))
    table = raw.with_columns(split=role, counts=pl.lit("without embeddings"), C=7 * pl.col("params") * pl.col("tokens"))
    columns = ("--columns", "role=split", "params_convention=counts")
    law = json.loads(terminal.done("fit", written(table, tmp_path), *OVER, *columns, *QUICK, "--json"))
    assert law["conventions"]["params"] == "without embeddings"
    assert law["rows"] == 11
    assert law["details"]["best_over"]["checks_left_out"] == 50
    assert law["details"]["best_over"]["cell"] == ["params", "tokens", "flops"]
    assert law["ranges"]["flops"][0] == pytest.approx(7e16)


def test_cells_keep_apart_what_the_law_is_a_function_of(terminal: Terminal, raw: pl.DataFrame, tmp_path: Path) -> None:
    both = pl.concat([raw.with_columns(U=pl.lit(5e8)), raw.with_columns(U=pl.lit(1e12), loss=0.97 * pl.col("loss"))])
    law = json.loads(terminal.done("fit", written(both, tmp_path), *OVER, *QUICK, "--json"))
    made = law["details"]["best_over"]
    assert made["cell"] == ["params", "tokens", "unique_tokens"]
    losses = {
        row["unique_tokens"]: row["loss"] for row in made["cells"] if row["params"] == 1e7 and row["tokens"] == 1e9
    }
    assert losses[1e12] / losses[5e8] == pytest.approx(0.97)


def test_standard_errors_count_once(terminal: Terminal, raw: pl.DataFrame, table: Path) -> None:
    law = json.loads(terminal.done("fit", table, *OVER, "--columns", "loss_se=loss_se", *QUICK, "--json"))
    best = laws.best_over(raw, ("lr", "batch_size")).drop("weight")
    assert law["params"] == laws.fit(best, resamples=40, columns={"loss_se": "loss_se"}).params
    assert law["noise"]["evaluation"] > 0


def test_reach_is_the_bowl_s(terminal: Terminal, raw: pl.DataFrame, table: Path) -> None:
    law = json.loads(terminal.done("fit", table, *OVER, "--reach", "0.1", *QUICK, "--json"))
    wanted = laws.best_over(raw, ("lr", "batch_size"), reach=0.1)["loss"].to_list()
    assert [row["loss"] for row in law["details"]["best_over"]["cells"]] == wanted


def test_every_verb_that_takes_a_table(terminal: Terminal, raw: pl.DataFrame, table: Path, tmp_path: Path) -> None:
    better = written(raw.with_columns(loss=0.99 * pl.col("loss")), tmp_path, "better.csv")
    quick = (*OVER, *QUICK, "--json")
    out = tmp_path / "selection.json"
    said = json.loads(terminal.done("select", table, "--forms", "chinchilla", "--out", out, *quick))
    assert len(said["fits"]["chinchilla"]["details"]["best_over"]["cells"]) == 12
    assert json.loads(terminal.done("predict", out, "--flops", "1e21", "--json"))["params"]["value"] > 1e9
    said = json.loads(terminal.done("validate", table, "--forms", "chinchilla", *quick))
    assert len(said["best_over"]["cells"]) == 12
    assert said["cuts"][0]["fitted"] + said["cuts"][0]["held"] == 12
    said = json.loads(terminal.done("compare", table, better, "--at", "1e21", *quick))
    assert said["names"] == ["raw", "better"]
    assert said["gain"]["value"] > 1
    assert {one["parameter"] for one in said["sensitivity_to_E"].values()} == {"E"}
    shown = " ".join(terminal.done("compare", table, better, "--at", "1e21", *OVER, *QUICK).split())
    assert "better's optimum rests on E with E at" in shown
    assert "raw: 600 runs; the best of 12 cells" in shown
    ratios = [b["loss"] / a["loss"] for a, b in zip(*(said["best_over"][arm]["cells"] for arm in "ab"), strict=True)]
    np.testing.assert_allclose(ratios, 0.99, rtol=1e-6)
    said = json.loads(terminal.done("profile", table, "--parameter", "E", *OVER, "--resamples", "100", "--json"))
    assert len(said["best_over"]["cells"]) == 12


def test_a_figure_with_the_cells(terminal: Terminal, table: Path, tmp_path: Path) -> None:
    figure = tmp_path / "law.png"
    assert f"written to {figure}" in terminal.done("fit", table, *OVER, *QUICK, "--plot", figure)
    assert figure.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["--best-over", "lrr"], "--best-over names 'lrr', and {table} has no such column; did you mean 'lr'?"),
        (["--best-over", "lr", "lr"], "--best-over has lr lr; name one or two different columns"),
        (["--best-over", "lr", "batch_size", "other"], "--best-over has lr batch_size other; name one or two"),
        (["--best-over", "params"], "--best-over names 'params'; name what was swept at each N and D"),
        (["--best-over", "loss"], "--best-over names 'loss'; name what was swept at each N and D"),
        (["--reach", "0.1"], "--reach 0.1 goes with --best-over"),
        ([*OVER, "--reach", "0"], "--reach: 0 is not a positive number"),
        ([*OVER, "--columns", "loss=los"], "--columns loss=los: the table has no such column; did you mean 'loss'?"),
        ([*OVER, "--columns", "los=loss"], "--columns names 'los'; it may name"),
        (
            [*OVER, "--columns", "loss_se=other"],
            "--columns loss_se=other: with --best-over the standard errors are those",
        ),
        ([*OVER, "--form", "downstream"], "form downstream predicts error: leave it out"),
        ([*OVER, "--form", "hyperparameters"], "form hyperparameters predicts learning_rate: leave it out"),
        ([*OVER, "--form", "data_constrained"], "form data_constrained needs a column 'unique_tokens'"),
    ],
)
def test_wrong_sweeps(terminal: Terminal, raw: pl.DataFrame, tmp_path: Path, words: list[str], wanted: str) -> None:
    table = written(raw.with_columns(other=pl.col("seed") + 1), tmp_path)
    assert wanted.replace("{table}", str(table)) in terminal.refused("fit", table, *words)


def test_tables_that_cannot_be_reduced(terminal: Terminal, raw: pl.DataFrame, tmp_path: Path) -> None:
    path = written(raw.drop("params", "tokens"), tmp_path)
    assert "the table has none of params, tokens and flops" in terminal.refused("fit", path, *OVER)
    negative: Any = pl.when(pl.int_range(pl.len()) == 5).then(-1.0).otherwise(pl.col("lr"))
    path = written(raw.with_columns(lr=negative), tmp_path)
    assert "row 6, column 'lr' is -1; it must be above 0" in terminal.refused("fit", path, *OVER)
    checked = raw.with_columns(lr=negative, role=pl.when(pl.int_range(pl.len()) < 5).then(pl.lit("check")))
    path = written(checked, tmp_path)
    assert "row 6, column 'lr' is -1; it must be above 0" in terminal.refused("fit", path, *OVER)
    assert "has no observations.csv" in terminal.refused("fit", tmp_path, *OVER)
    (tmp_path / "study.yaml").write_text("name: x\n")
    rows = {"params": [1e5, 1e5], "tokens": [1e6, 2e6], "loss": [3.0, 2.9], "role": ["fit", "fit"]}
    run = pl.DataFrame(rows | {"learning_rate": [1e-3, 1e-3], "batch_tokens": [256, 256]})
    run.write_csv(tmp_path / "observations.csv")
    said = terminal.refused("fit", tmp_path, "--best-over", "learning_rate")
    assert "is a run directory, whose study trains each N and D at one setting: leave it out" in said
