"""The main job on any text: a mixture in BPE tokens, trained at several mixtures, measured on a set, and fitted."""

import json
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from scaling.data import load
from tests.studies.conftest import Scaling

Tiny = Callable[..., Path]


@pytest.fixture
def mixed(tiny: Tiny, text: Path, tmp_path: Path) -> Path:
    """A tiny study of two domains, one of them in compressed JSON lines, with a BPE and a named set."""
    rows = [json.dumps({"body": f"{number} {path.read_text()[::-1]}"}) for number, path in enumerate(text.iterdir())]
    (tmp_path / "reversed.jsonl").write_text("\n".join(rows))
    mixture = {
        "plain": {"corpus": str(text), "weight": 3},
        "reversed": {"corpus": str(tmp_path / "reversed.jsonl"), "text_field": "body", "weight": 1},
    }
    return tiny(
        data={
            "corpus": "stdlib",
            "mixture": mixture,
            "validation_tokens": 6000,
            "tokenizer": "bpe",
            "bpe": {"vocabulary": 280},
        },
        sweep={
            "budgets": [3e8, 6e8, 1.2e9],
            "mixtures": [{"plain": 1}, {"reversed": 1}, {"plain": 1, "reversed": 1}],
            "mixture_widths": [8],
            "mixture_budgets": 1,
        },
        check={"enabled": False},
    )


def test_it_is_planned_without_being_trained(mixed: Path, scaling: Scaling) -> None:
    answer = scaling("plan", mixed, "--json")
    assert answer.returncode == 0, answer.stderr
    found = json.loads(answer.stdout)["trajectories"]
    assert [row["mixture"] for row in found if row["role"] == "mixture"] == [
        {"plain": 1.0, "reversed": 0.0},
        {"plain": 0.0, "reversed": 1.0},
        {"plain": 0.5, "reversed": 0.5},
    ]
    assert {row["mixture"]["plain"] for row in found if row["role"] == "fit"} == {0.75}
    again = scaling("plan", mixed, "--json")
    assert again.stdout == answer.stdout


@pytest.mark.full
def test_the_whole_job(mixed: Path, text: Path, scaling: Scaling, tmp_path: Path) -> None:
    out = tmp_path / "run"
    answer = scaling("run", mixed, "--out", out, "--evaluation.sets", f"{{news: {text}}}")
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert "1.66 bytes a" in answer.stdout
    tokens = load(out / "data")
    assert (tokens.summary.vocabulary, [one.name for one in tokens.record.domains]) == (280, ["plain", "reversed"])
    table = pl.read_csv(out / "observations.csv")
    assert table["role"].value_counts().sort("role").rows() == [("fit", 11), ("mixture", 3)]
    assert table["news.bits_per_byte"].null_count() == 0
    alone = table.filter(pl.col("role") == "mixture").sort("share_plain")
    assert alone["share_plain"].to_list() == [0.0, 0.5, 1.0]
    assert alone["loss_plain"].to_list() == sorted(alone["loss_plain"], reverse=True)
    assert alone["loss_reversed"].to_list() == sorted(alone["loss_reversed"])
    law = json.loads((out / "laws" / "chinchilla.json").read_text())
    assert law["rows"] == 11, "the study's law sees its own mixture alone"
    fitted = scaling("fit", out, "--form", "chinchilla", "--json")
    assert json.loads(fitted.stdout)["rows"] == 11
    shares = "domains=share_plain,share_reversed"
    mixture = scaling("fit", out, "--form", "mixture", "--options", shares, "--columns", "loss=loss_plain", "--json")
    assert json.loads(mixture.stdout)["rows"] == 14
    before = (out / "observations.csv").read_bytes()
    assert scaling("run", mixed, "--out", out, "--evaluation.sets", f"{{news: {text}}}").returncode == 0
    assert (out / "observations.csv").read_bytes() == before
