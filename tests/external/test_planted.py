"""A study that a command trains: the law that it computes comes back, from the YAML to the report, disturbed or not."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest
import yaml

from scaling.records import RunDirectory
from tests.conftest import made_once
from tests.external import trainer
from tests.external.conftest import TRAINER
from tests.studies.conftest import environment

PLANTED = {"E": trainer.E, "A": trainer.A, "alpha": trainer.ALPHA, "B": trainer.B, "beta": trainer.BETA}


def study(text: Path, folder: Path, *options: str) -> Path:
    """A grid of sizes that nobody here could train."""
    path = folder / "study.yaml"
    raw = {
        "name": "planted",
        "command": [sys.executable, TRAINER, *options],
        "data": {"corpus": str(text), "validation_tokens": 2000},
        "family": {"layers": 6, "head_width": 64, "sequence_length": 512, "depth_exponent": 0.5},
        "training": {"reference_width": 512, "batch_tokens": 2**18, "warmup_tokens": 2**20},
        "sweep": {
            "design": "ladder",
            "widths": [128, 256, 512, 1024, 2048],
            "tokens": [3e8, 1e9, 3e9, 1e10, 3e10],
            "seeds": 2,
        },
        "laws": {"resamples": 100},
        "check": {"budget_multiple": 4.0, "seeds": 2},
        "engine": {"processes": 2, "token_cache": str(folder / "tokens")},
    }
    path.write_text(yaml.safe_dump(raw))
    return path


def command(path: Path, out: Path) -> list[str]:
    return [sys.executable, "-m", "scaling", "run", str(path), "--out", str(out)]


@pytest.fixture(scope="module")
def planted(text: Path, shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run directory of such a study; a copy for each worker."""
    once, folder = shared / "planted", tmp_path_factory.mktemp("planted") / "run"
    with made_once(once) as needed:
        if needed:
            once.mkdir()
            answer = subprocess.run(
                command(study(text, once), once / "run"),
                env=environment(), capture_output=True, text=True, timeout=600, check=False,
            )  # fmt: skip
            assert answer.returncode == 0, answer.stdout + answer.stderr
            (once / "run" / "said.txt").write_text(answer.stdout)
        shutil.copytree(once / "run", folder)
    return folder


def test_planted_parameters_lie_in_their_intervals(planted: Path) -> None:
    law = json.loads((planted / "laws" / "chinchilla.json").read_text())
    for name, true in PLANTED.items():
        interval = law["intervals"][name]
        assert interval["low"] <= true <= interval["high"], name
        assert interval["high"] < 3 * interval["low"], f"{name} is told"


def test_the_check_is_foretold(planted: Path) -> None:
    (result,) = planted.glob("check/*/result.json")
    assert json.loads(result.read_text())["inside"]


def test_what_the_trainer_did_not_say_is_empty_and_all_verbs_bear_it(planted: Path) -> None:
    table = pl.read_csv(planted / "observations.csv")
    for name in ("loss_se", "train_loss", "bits_per_byte"):
        assert table[name].null_count() == table.height, name
    assert table["loss"].null_count() == 0
    page = (planted / "report" / "index.html").read_text()
    assert "None" not in page.partition("<h2")[2]
    assert "nan" not in (planted / "said.txt").read_text().split()
    for verb in (["status", planted], ["fit", planted / "observations.csv", "--resamples", 20]):
        answer = subprocess.run(
            [sys.executable, "-m", "scaling", *map(str, verb)],
            env=environment(), capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        assert answer.returncode == 0, answer.stderr
    for verb, status, words in (
        (["preflight", planted / "study.yaml"], 0, "there is no program to compile ahead"),
        (["evaluate", planted, "--set", f"docs={planted}"], 2, "whose models cannot be read here"),
    ):
        answer = subprocess.run(
            [sys.executable, "-m", "scaling", *map(str, verb)],
            env=environment(), capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        assert (answer.returncode, words in (answer.stdout + answer.stderr).replace("\n", " ")) == (status, True)
    assert "there is no program to compile ahead" in (planted / "said.txt").read_text().replace("\n", " ")


@pytest.mark.full
def test_a_killed_sweep_goes_on_to_the_same_rows(planted: Path, text: Path, tmp_path: Path) -> None:
    out, path = tmp_path / "run", study(text, tmp_path)
    process = subprocess.Popen(
        command(path, out), env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 120
    while len(list(out.glob("trajectories/*/horizon-*.json"))) < 3:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    again = [*command(path, out), "--check.enabled", "false", "--laws.resamples", "20"]
    assert subprocess.run(again, env=environment(), capture_output=True, check=False).returncode == 0
    wanted, found = (pl.read_csv(RunDirectory(one).observations) for one in (planted, out))
    assert found.equals(wanted.filter(pl.col("role") == "fit"))


def test_a_failing_trainer_is_told_with_the_last_lines_of_its_log(text: Path, tmp_path: Path) -> None:
    answer = subprocess.run(
        command(study(text, tmp_path, "--do", "die"), tmp_path / "run"),
        env=environment(), capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert answer.returncode == 1
    assert "failed by themselves" in answer.stderr
    assert "RuntimeError: no memory" in answer.stderr
    assert "ended with exit status 3" in answer.stderr
