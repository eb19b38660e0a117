"""The main job on a tiny study, trained for real: from the YAML to the report, killed and taken up again."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from scaling.records import RunDirectory, content_hash
from tests.conftest import fill
from tests.studies.conftest import Scaling, environment
from tests.studies.terminal import Terminal

Tiny = Callable[..., Path]


def losses(out: Path) -> dict[tuple[str, str], float]:
    table = pl.read_csv(out / "observations.csv")
    rows = table.select("trajectory", "horizon", "loss").rows()
    assert len({row[:2] for row in rows}) == len(rows), "a horizon counted twice"
    return {row[:2]: row[2] for row in rows}


def wait_for_horizons(process: subprocess.Popen[Any], out: Path, count: int) -> None:
    """Until the run has committed that many horizons."""
    deadline = time.monotonic() + 120
    while len(list(out.glob("trajectories/*/horizon-*.json"))) < count:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_the_run_directory_is_as_designed(finished: Path) -> None:
    directory = RunDirectory(finished)
    assert directory.study.is_file()
    for trajectory in directory.trajectory_directories():
        names = {path.name for path in trajectory.root.iterdir()}
        assert {"trajectory.json", "metrics.jsonl", "checkpoints"} <= names
        assert any(name.startswith("horizon-") for name in names)
    assert {path.stem for path in directory.laws.glob("*.json")} == {"chinchilla", "isoflop", "power"}
    assert (directory.report / "index.html").is_file()
    table = pl.read_csv(directory.observations)
    assert table.filter(pl.col("role") == "fit").height == 3 * 3 + 2
    assert table.filter(pl.col("role") == "check").height == 2


def test_the_prediction_was_written_before_the_check_was_trained(finished: Path) -> None:
    (folder,) = RunDirectory(finished).check.iterdir()
    prediction = json.loads((folder / "prediction.json").read_text())
    assert content_hash(prediction)[:12] == folder.name
    result = json.loads((folder / "result.json").read_text())
    assert result["prediction"] == prediction
    assert result["predicted_first"]
    began = [RunDirectory(finished).trajectory(name).record.stat().st_mtime_ns for name in prediction["trajectories"]]
    assert (folder / "prediction.json").stat().st_mtime_ns < min(began)
    table = pl.read_csv(finished / "observations.csv")
    largest = table.filter(pl.col("role") == "fit")["budget"].max()
    assert prediction["flops"] >= 2 * float(str(largest))
    assert set(result["baseline_errors"]) == {"best_loss_of_last_budget", "straight_line_in_logs"}
    assert result["inside"] == (
        prediction["interval"]["low"] <= result["measured"]["loss"] <= prediction["interval"]["high"]
    )


def test_fit_and_check_share_no_seed(finished: Path) -> None:
    table = pl.read_csv(finished / "observations.csv")
    seeds = {role: set(table.filter(pl.col("role") == role)["seed"]) for role in ("fit", "check")}
    assert not seeds["fit"] & seeds["check"]


def test_the_terminal_says_what_happened(finished: Path) -> None:
    said = (finished.parent / "said.txt").read_text()
    for words in (
        "chinchilla",
        "isoflop",
        "compute-optimal",
        "Trust:",
        "predicted loss",
        "measured",
        "would have said",
    ):
        assert words in said
    assert "\x1b[" not in said, "plain lines when the output is not a terminal"


def test_again_trains_nothing(finished: Path, tiny_shared: Tiny, terminal: Terminal) -> None:
    before = {path: path.stat().st_mtime_ns for path in (finished / "trajectories").rglob("*") if path.is_file()}
    terminal.done("run", tiny_shared(), "--out", finished)
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_a_law_fitted_again_says_that_its_check_was_trained_before(
    finished: Path, tiny_shared: Tiny, terminal: Terminal, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    shutil.copytree(finished, out)
    said = terminal.done("run", tiny_shared(), "--out", out, "--laws.resamples", 150)
    assert "AFTER these models were trained" in said
    results = [json.loads(path.read_text()) for path in (out / "check").glob("*/result.json")]
    assert sorted(result["predicted_first"] for result in results) == [False, True]
    assert losses(out) == losses(finished)


def test_verbs_on_a_finished_run(finished: Path, terminal: Terminal) -> None:
    status = json.loads(terminal.done("status", finished, "--json"))
    assert {one["state"] for one in status["trajectories"]} == {"done"}
    law = json.loads(terminal.done("fit", finished, "--json"))
    wanted = {
        "form", "params", "intervals", "objective", "status", "starts", "diagnostics", "rows", "conventions",
        "sha256", "versions",
    }  # fmt: skip
    assert wanted <= law.keys()
    assert law["rows"] == 11
    own = json.loads((finished / "laws" / "chinchilla.json").read_text())
    assert {name: own[name] for name in ("params", "intervals", "objective", "noise")} == {
        name: law[name] for name in ("params", "intervals", "objective", "noise")
    }, "the study's settings are the defaults"
    assert {"name", "delta", "reduction", "space", "value"} <= law["objective"].keys()
    answer = json.loads(terminal.done("predict", finished, "--flops", "1e9", "--json"))
    assert answer["params"]["low"] <= answer["params"]["value"] <= answer["params"]["high"]
    one = json.loads(terminal.done("predict", finished, "--params", 10000, "--tokens", 50000, "--json"))
    assert one["prediction"]["low"] < one["loss"] < one["prediction"]["high"]
    terminal.done("report", finished)


@pytest.mark.full
def test_a_killed_sweep_ends_its_jobs_and_goes_on_to_the_same_bits(
    finished: Path, tiny_shared: Tiny, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    command = [sys.executable, "-m", "scaling", "run", str(tiny_shared()), "--out", str(out)]
    process = subprocess.Popen(command, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for_horizons(process, out, 2)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    answer = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=600, check=False)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert losses(out) == losses(finished)


@pytest.mark.full
def test_a_disk_that_fills_up_stops_the_sweep_and_loses_nothing(
    finished: Path, tiny_shared: Tiny, small_disk: Path
) -> None:
    out = small_disk / "run"
    command = [sys.executable, "-m", "scaling", "run", str(tiny_shared()), "--out", str(out)]
    process = subprocess.Popen(command, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    wait_for_horizons(process, out, 2)
    filler = fill(small_disk)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 4, said
    assert "no space is left" in said
    assert "Traceback" not in said
    committed = {path: json.loads(path.read_text()) for path in out.glob("trajectories/*/horizon-*.json")}
    assert len(committed) >= 2
    status = subprocess.run(
        [sys.executable, "-m", "scaling", "status", str(out), "--json"],
        env=environment(), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert sum(one["horizons_done"] for one in json.loads(status.stdout)["trajectories"]) == len(committed)
    filler.unlink()
    answer = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=600, check=False)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert losses(out) == losses(finished)
    assert {path: json.loads(path.read_text()) for path in committed} == committed


@pytest.mark.full
def test_an_added_budget_keeps_what_was_committed(
    finished: Path, tiny_shared: Tiny, scaling: Scaling, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    shutil.copytree(finished, out)
    before = {path: path.read_bytes() for path in out.glob("trajectories/*/horizon-*.json")}
    study = tiny_shared(sweep={"budgets": [2e8, 4e8, 8e8, 1.6e9]}, check={"enabled": False})
    answer = scaling("run", study, "--out", out, timeout=600)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert {path: path.read_bytes() for path in before} == before
    assert losses(finished).items() <= losses(out).items()
    table = pl.read_csv(out / "observations.csv")
    assert table.filter(pl.col("role") == "fit", pl.col("budget") == 1.6e9).height == 3


@pytest.mark.full
def test_a_diverged_trajectory_is_left_out_with_a_line(tiny: Tiny, scaling: Scaling, tmp_path: Path) -> None:
    study = tiny(
        training={
            "learning_rate": 1e-2,
            "learning_rate_exponent": 14.0,
            "gradient_clip": 1e9,
            "divergence_factor": 1.2,
        },
        check={"enabled": False},
    )
    answer = scaling("run", study, "--out", tmp_path / "run")
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert "diverged at step" in answer.stderr
    assert "left out of the fit" in answer.stderr
    assert "law isoflop was not fitted" in answer.stderr
    table = pl.read_csv(tmp_path / "run" / "observations.csv")
    assert 24 not in set(table["width"])
    assert {8, 16} <= set(table["width"])
