"""A tiny tuned ladder trained for real: run again, killed within and between its stages, extended."""

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

from scaling.records import RunDirectory
from tests.faults.disturbing import repeated_steps
from tests.studies.conftest import Scaling, environment
from tests.studies.terminal import Terminal

Tiny = Callable[..., Path]
LADDER = {"design": "ladder", "widths": [8, 16], "tokens_per_param": [0.7, 1.4]}
TUNING = {
    "cells": [
        *({"width": 8, "tokens_per_param": ratio} for ratio in (0.7, 1.4, 2.8)),
        *({"width": 16, "tokens_per_param": ratio} for ratio in (0.7, 1.4)),
    ],
    "held_out": [{"width": 8, "tokens_per_param": 1}],
    "corners": 1,
    "learning_rate_factors": [0.25, 1, 4, 16],
}
PARTS: dict[str, Any] = {"sweep": LADDER, "tuning": TUNING, "check": {"enabled": False}}


def killed_when(study: Path, out: Path, there: Callable[[], bool]) -> None:
    """Start a run, and kill it and its jobs as soon as `there` holds."""
    command = [sys.executable, "-m", "scaling", "run", str(study), "--out", str(out)]
    with subprocess.Popen(
        command, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    ) as process:
        deadline = time.monotonic() + 300
        while not there() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGKILL)


def horizons(out: Path) -> dict[str, int]:
    """Committed horizon -> when."""
    return {str(path.relative_to(out)): path.stat().st_mtime_ns for path in out.glob("trajectories/*/horizon-*.json")}


def losses(out: Path) -> dict[str, list[float]]:
    """Of each trajectory, by tokens."""
    return {
        one.root.name: [row.loss for row in one.observations()] for one in RunDirectory(out).trajectory_directories()
    }


def ran(study: Path, out: Path) -> str:
    answer = subprocess.run(
        [sys.executable, "-m", "scaling", "run", str(study), "--out", str(out)],
        env=environment(), capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return answer.stdout


@pytest.fixture(scope="module")
def tuned(tiny_shared: Tiny, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, str]:
    """(study, run directory, what the terminal said)."""
    study, out = tiny_shared(**PARTS), tmp_path_factory.mktemp("tuned") / "run"
    return study, out, ran(study, out)


Run = tuple[Path, Path, str]


def test_every_stage_is_done_and_told(tuned: Run, terminal: Terminal) -> None:
    study, out, said = tuned
    assert "eta* = coefficient N^params_exponent D^tokens_exponent" in said
    assert "regret at N" in said
    assert "the intervals carry these beyond run-to-run noise" in said
    laws = list(out.glob("tuning/*/law.json"))
    assert len(laws) == 1
    table = pl.read_csv(out / "observations.csv")
    counted = dict(table["role"].value_counts().iter_rows())
    assert counted["tuning"] == 4 * 6
    assert counted["fit"] == 4
    assert set(counted) <= {"tuning", "fit", "regret", "corner"}
    law = json.loads((out / "laws" / "chinchilla.json").read_text())
    assert law["rows"] == 4
    assert law["details"]["tuning"]["law"] == laws[0].parent.name
    assert law["noise"]["beyond"] == law["details"]["tuning"]["beyond"]
    page = (out / "report" / "index.html").read_text()
    assert "<h2>Tuning</h2>" in page
    assert page.count("(held out)") >= 1
    assert (out / "report" / "bowls.svg").is_file()
    told = terminal.done("status", out)
    assert "stage 4, its regret and corners of a tuned ladder" in told
    assert f"read off the law tuning/{laws[0].parent.name}" in told
    planned = terminal.done("plan", study, "--out", out)
    assert planned.count("left: 0.00e+00 FLOPs") == 3


def test_a_form_that_reads_a_raw_sweep_sees_the_bowls(tuned: Run, terminal: Terminal) -> None:
    fitted = terminal.done(
        "fit", tuned[1], "--form", "hyperparameters", "--options", "over=learning_rate", "--resamples", 20, "--json"
    )
    assert json.loads(fitted)["rows"] == 4 * 6
    by_hand = json.loads(terminal.done("fit", tuned[1], "--resamples", 20, "--json"))
    assert by_hand["rows"] == 4
    answering = json.loads((tuned[1] / "laws" / "chinchilla.json").read_text())
    assert by_hand["noise"]["beyond"] == answering["noise"]["beyond"]


def test_what_does_not_carry_the_errors_of_tuning_says_so(tuned: Run, terminal: Terminal) -> None:
    said = terminal("profile", tuned[1], "--parameter", "E", "--points", 5, "--resamples", 20)
    assert "profiles know nothing of the errors of tuning" in said.err


def test_a_second_run_trains_nothing(tuned: Run, terminal: Terminal) -> None:
    study, out, _ = tuned
    before = horizons(out)
    assert "horizons, " not in terminal.done("run", study, "--out", out).partition("run directory")[2]
    assert horizons(out) == before


@pytest.mark.full
def test_kills_within_and_between_stages_change_nothing(tuned: Run, tiny: Tiny, tmp_path: Path) -> None:
    study, undisturbed, _ = tuned
    out = tmp_path / "run"
    killed_when(study, out, lambda: bool(horizons(out)))
    assert horizons(out)
    assert not list(out.glob("tuning/*/law.json"))
    killed_when(study, out, lambda: bool(list(out.glob("tuning/*/law.json"))))
    ran(study, out)
    assert set(horizons(out)) == set(horizons(undisturbed))
    first, second = (one.glob("tuning/*/law.json") for one in (out, undisturbed))
    assert [path.parent.name for path in first] == [path.parent.name for path in second]


@pytest.mark.full
def test_two_at_once_share_every_stage(tuned: Run, tiny: Tiny, tmp_path: Path) -> None:
    study, undisturbed, _ = tuned
    out = tmp_path / "run"
    command = [sys.executable, "-m", "scaling", "run", str(study), "--out", str(out)]
    runs = [
        subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for _ in range(2)
    ]
    said = [one.communicate(timeout=900)[0] for one in runs]
    assert [one.returncode for one in runs] == [0, 0], said
    assert losses(out) == losses(undisturbed)
    assert [repeated_steps(one) for one in RunDirectory(out).trajectory_directories()] == [0] * len(losses(out))
    assert [path.name for path in out.glob("tuning/*")] == [path.name for path in undisturbed.glob("tuning/*")]
    assert len(pl.read_csv(out / "observations.csv")) == len(horizons(undisturbed))


@pytest.mark.full
def test_a_budget_more_trains_that_alone(tuned: Run, tiny: Tiny, tmp_path: Path) -> None:
    out = tmp_path / "run"
    shutil.copytree(tuned[1], out)
    before = horizons(out)
    ran(tiny(**PARTS | {"sweep": LADDER | {"tokens_per_param": [0.7, 1.4, 2.1]}}), out)
    after = horizons(out)
    assert set(before) < set(after)
    assert {name: after[name] for name in before} == before
    fitted = pl.read_csv(out / "observations.csv").filter(pl.col("role") == "fit")
    assert len(fitted) == 6
    assert fitted["trajectory"].n_unique() == 2
    assert len(list(out.glob("tuning/*/law.json"))) == 1


def test_launch_submits_the_stage_that_it_is_at(tiny: Tiny, scaling: Scaling, tmp_path: Path) -> None:
    answer = scaling("launch", tiny(**PARTS), "--out", tmp_path / "run", "--engine.kind", "slurm", "--dry-run")
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert "stage 1, the bowls of a tuned ladder; launch again when it is done" in answer.stderr
    jobs = [json.loads(path.read_text()) for path in (tmp_path / "run" / "jobs").glob("*.json")]
    assert {one["role"] for job in jobs for one in job["trajectories"]} == {"tuning"}
