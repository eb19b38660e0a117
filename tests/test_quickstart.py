"""The quickstart's design, and what its three recorded runs say about it."""

import json
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from scaling import laws
from scaling.config import load_study
from scaling.data import prepare
from scaling.planning import Plan, plan

ROOT = Path(__file__).parents[1]
RECORDED = sorted((ROOT / "experiments" / "quickstart_seeds").glob("seed-*.csv"))


@pytest.fixture(scope="module")
def planned() -> Plan:
    study = load_study(ROOT / "configs" / "quickstart.yaml")
    return plan(study, prepare(study.data, study.seed).record)


def test_the_design_is_wide_enough(planned: Plan) -> None:
    sweep = planned.study.sweep
    assert len({row.params for row in planned.rows()}) >= 7
    assert len(sweep.budgets) >= 4
    assert sweep.budgets[-1] / sweep.budgets[0] >= 16
    for budget in sweep.budgets:
        assert len({row.params for row in planned.rows() if budget in row.budgets}) >= 5
    assert len(planned.trajectories) >= 10
    seeds = pl.DataFrame({"width": [row.width for row in planned.rows()], "seed": [row.seed for row in planned.rows()]})
    replicated = seeds.group_by("width").agg(pl.col("seed").n_unique()).filter(pl.col("seed") >= 3)
    assert replicated.height >= 2
    assert planned.study.check.budget_multiple >= 4


def test_every_horizon_is_long_enough(planned: Plan) -> None:
    for trajectory in planned.trajectories:
        shortest = min(horizon.tokens for horizon in trajectory.horizons)
        assert 10 * trajectory.recipe.warmup_tokens <= shortest
        for horizon in trajectory.horizons:
            assert horizon.steps >= 300
            assert horizon.decay_steps >= 50


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_each_budget_s_minimum_is_bracketed_by_two_sizes(path: Path) -> None:
    rows = pl.read_csv(path).filter(pl.col("role") == "fit")
    measured = rows.group_by("budget", "params").agg(pl.col("loss").mean()).sort("params")
    fitted = {one["budget"]: one for one in laws.fit(rows, "isoflop", resamples=0).details["budgets"]}
    assert len(fitted) >= 4
    for (budget,), sizes in measured.group_by("budget"):
        lowest = int(sizes["loss"].to_numpy().argmin())
        assert 0 < lowest < sizes.height - 1, f"{path.stem}: {budget:.3g}"
        parabola = fitted[budget]
        assert parabola["opens_upwards"]
        assert sizes["params"].min() < parabola["minimum"]["params"] < sizes["params"].max()


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_the_recorded_check_is_still_predicted(path: Path) -> None:
    table = pl.read_csv(path)
    delta = load_study(ROOT / "configs" / "quickstart.yaml").laws.delta
    fitted = table.filter(pl.col("role") == "fit")
    fit = laws.fit(fitted, "chinchilla", resamples=200, delta=delta)
    check = table.filter(pl.col("role") == "check")
    size, tokens = check["params"][0], check["tokens"][0]
    assert size > fitted["params"].max()
    said = fit.predict(params=size, tokens=tokens, runs=check.height)
    measured = float(check["loss"].to_numpy().mean())
    assert abs(said.loss / measured - 1) <= 0.03
    assert said.prediction.low / said.loss >= 0.95
    assert said.prediction.high / said.loss <= 1.05


@pytest.mark.full
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_quickstart_predicts_its_check(seed: int, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "scaling", "run", "configs/quickstart.yaml", "--seed", str(seed)]
    subprocess.run([*command, "--out", str(tmp_path / "run")], cwd=ROOT, check=True)
    (path,) = (tmp_path / "run" / "check").glob("*/result.json")
    result = json.loads(path.read_text())
    assert result["predicted_first"]
    assert abs(result["relative_error"]) <= 0.03
    assert max(result["half_width"]) <= 0.05


def test_three_runs_are_recorded() -> None:
    assert len(RECORDED) == 3
