"""The learning-rate transfer study: its design, what its recorded runs say, and that its script still runs."""

import importlib.util
import subprocess
import sys
from itertools import groupby
from pathlib import Path
from types import ModuleType

import polars as pl
import pytest
import yaml

from scaling.data import Tokens
from scaling.models.parameterization import RULES, multipliers
from scaling.records import Trajectory

FOLDER = Path(__file__).parents[1] / "experiments" / "learning_rate_transfer"
DESIGN = yaml.safe_load((FOLDER / "design.yaml").read_text())


def _script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"learning_rate_transfer_{name}", FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def planned(tokens: Tokens) -> list[tuple[str, Trajectory]]:
    return list(_script("transfer").models(DESIGN, [], tokens.record))


def test_every_model_takes_as_many_steps_of_as_many_tokens(planned: list[tuple[str, Trajectory]]) -> None:
    assert {rule for rule, _ in planned} == {"standard", "mup"}
    for rule, one in planned:
        assert one.model.parameterization.rule == rule
        assert [horizon.steps for horizon in one.horizons] == [DESIGN["steps"]]
        assert one.recipe.total_steps == DESIGN["steps"]
        assert one.batch_tokens == planned[0][1].batch_tokens


def test_each_width_is_one_program_with_every_rate_for_three_seeds_or_more(
    planned: list[tuple[str, Trajectory]],
) -> None:
    for (rule, width), models in groupby(planned, key=lambda pair: (pair[0], pair[1].model.width)):
        own = [one for _, one in models]
        assert len({one.shape for one in own}) == 1
        for seed in {one.recipe.seed for one in own}:
            rates = [one.recipe.learning_rate for one in own if one.recipe.seed == seed]
            assert rates == DESIGN["rules"][rule]["rates"][width]
        assert len({one.recipe.seed for one in own}) == DESIGN["seeds"][width] >= 3


def test_at_one_depth_completep_is_mup(planned: list[tuple[str, Trajectory]]) -> None:
    for _, one in planned:
        assert multipliers(one.model, RULES["completep"]) == multipliers(one.model, RULES["mup"])


def test_the_recorded_best_rates_stay_under_mup_and_move_under_one_global_rate() -> None:
    recorded, plot = pl.read_csv(FOLDER / "runs.csv"), _script("plot")
    widths, shift = recorded["width"].unique(), {}
    assert widths.max() / widths.min() == 8
    for (rule,), rows in recorded.group_by("rule"):
        assert rows.group_by("width", "learning_rate").agg(pl.col("seed").n_unique())["seed"].min() >= 3
        fit = plot.best_rates(rows)
        assert [cell["params"] for cell in fit.details["cells"]] == pytest.approx(sorted(widths))
        assert not any(cell["at_edge"]["learning_rate"] for cell in fit.details["cells"])
        shift[rule] = plot.shift(plot.minima(fit))
    assert shift["mup"] <= 1.5
    assert shift["standard"] >= 3


@pytest.mark.full
def test_the_script_trains_a_small_design_once(text: Path, tmp_path: Path) -> None:
    small = {name: part | {"rates": {16: [1e-2, 2e-2, 4e-2, 8e-2]}} for name, part in DESIGN["rules"].items()}
    (tmp_path / "design.yaml").write_text(yaml.safe_dump({"steps": 20, "seeds": {16: 2}, "rules": small}))
    command = [sys.executable, str(FOLDER / "transfer.py"), "design.yaml"]
    options = [f"--data.corpus={text}", "--data.validation-tokens=2000", "--training.minimum-steps=20"]
    options += ["--training.warmup-tokens=2048", "--family.sequence-length=16"]
    for out in ("first.csv", "again.csv"):
        subprocess.run([*command, out, *options], cwd=tmp_path, check=True)
    rows = pl.read_csv(tmp_path / "first.csv")
    assert rows.height == 16
    assert rows["loss"].null_count() == 0
    # The narrowest width is the reference: every rule trains the same model there.
    standard, mup = (rows.filter(pl.col("rule") == rule)["loss"] for rule in ("standard", "mup"))
    assert standard.equals(mup)
    assert pl.read_csv(tmp_path / "again.csv").equals(rows)
    assert len(list((tmp_path / "runs").glob("*/jobs/*.log"))) == 2
    subprocess.run(
        [sys.executable, str(FOLDER / "plot.py"), str(FOLDER / "runs.csv"), "picture"], cwd=tmp_path, check=True
    )
    assert (tmp_path / "picture.png").stat().st_size > 0
