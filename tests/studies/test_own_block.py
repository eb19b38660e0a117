"""experiments/own_block at a small size: planned, trained for real beside the default, compared by scaling."""

import json
import math
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tests.studies.conftest import environment
from tests.studies.terminal import Terminal

EXAMPLE = Path(__file__).parents[2] / "experiments" / "own_block"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the example, where its user stands."""
    return Path(shutil.copytree(EXAMPLE, tmp_path_factory.mktemp("example") / "own_block"))


def own_arm(folder: Path, study: Path) -> subprocess.CompletedProcess[str]:
    changes = ["--family.block", "own_block:Block", "--check.enabled", "false", "--out", "run"]
    return subprocess.run(
        [sys.executable, "-m", "scaling", "run", str(study), *changes],
        cwd=folder, env=environment(), capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip


def planned(terminal: Terminal, text: Path, *changes: str) -> list[dict[str, Any]]:
    short = ["--data.corpus", text, "--data.validation-tokens", 2000]
    return json.loads(terminal.done("plan", "study.yaml", "--json", *short, *changes))["trajectories"]


def test_the_examples_arms_are_other_trajectories_of_the_same_size_and_cost(
    folder: Path, text: Path, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setattr("sys.path", [*sys.path])  # the verb finds the module where it stands
    mine, default = planned(terminal, text), planned(terminal, text, "--family.block", "null")
    assert not {row["id"] for row in mine} & {row["id"] for row in default}
    for one, other in zip(mine, default, strict=True):
        assert [one[name] for name in ("params", "tokens", "flops")] == [
            other[name] for name in ("params", "tokens", "flops")
        ]


@pytest.mark.full
def test_it_trains_and_is_compared_with_the_default_by_scaling(
    finished: Path, tiny_shared: Callable[..., Path], folder: Path, terminal: Terminal
) -> None:
    study = tiny_shared()
    answer = own_arm(folder, study)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert "family.block is own_block:Block, source " in answer.stdout
    mine, default = (pl.read_csv(root / "observations.csv") for root in (folder / "run", finished))
    default = default.filter(pl.col("role") == "fit")
    both = mine.join(default, on=["params", "tokens", "seed"], suffix="_default")
    assert both.height == mine.height == default.height == 11
    assert not set(mine["trajectory"]) & set(default["trajectory"])
    assert (both["loss"] != both["loss_default"]).all()
    found = json.loads(
        terminal.done("compare", finished, folder / "run", "--at", "8e8", "--resamples", "100", "--json")
    )
    assert found["pairs"] == 11
    assert 0 < found["gain"]["low"] < found["gain"]["value"] < found["gain"]["high"] < math.inf
    # From its files alone, where the module is not to be found.
    status = json.loads(terminal.done("status", folder / "run", "--json"))
    assert {one["state"] for one in status["trajectories"]} == {"done"}

    (folder / "own_block.py").write_text((EXAMPLE / "own_block.py").read_text() + "# another thought\n")
    answer = own_arm(folder, study)
    assert answer.returncode == 2
    assert "belongs to a different study: family.block is 'own_block:Block' of source" in answer.stderr
    assert pl.read_csv(folder / "run" / "observations.csv").equals(mine)
