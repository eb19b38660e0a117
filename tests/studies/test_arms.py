"""A study with arms: the same cells trained in several ways, each in a folder of its own, then compared."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from scaling.config import StudyError, arm_studies, load_study, parse_study
from scaling.studies import arms
from scaling.studies.preflight import check_directory
from tests.conftest import fill
from tests.studies.conftest import Scaling, environment
from tests.studies.test_run import wait_for_horizons

LADDER = {"design": "ladder", "widths": [8, 16, 24], "tokens_per_param": [2, 6], "seeds": 2}
ARMS = {"adamw": {}, "muon": {"training.optimizer": "muon", "training.learning_rate": 5e-3}}


def small(**changes: Any) -> Any:
    return parse_study({"name": "x", "arms": ARMS} | changes)


def test_an_arm_is_the_study_with_its_fields() -> None:
    adamw, muon = arm_studies(small()).values()
    assert (adamw.name, muon.name) == ("x.adamw", "x.muon")
    assert muon.training.optimizer == "muon"
    assert muon.training.learning_rate == 5e-3
    assert adamw.training == small().training
    assert adamw.arms == {}
    assert muon.sweep == adamw.sweep


@pytest.mark.parametrize(
    ("arms", "said"),
    [
        ({"only": {}}, "arms has one arm, only; give two or more, or none"),
        ({"a": {}, "B c": {"training.learning_rate": 1}}, "arms has 'B c'; a name is lower-case letters"),
        ({"a": {}, "../b": {"training.learning_rate": 1}}, "arms has '../b'; a name is lower-case letters"),
        ({"a": {}, "b": {}}, "arms.b and arms.a are the same; leave one out"),
        ({"a": {}, "b": {"sweep.widths": [8, 16]}}, "arms.b has sweep.widths; arms differ in fields of data, family"),
        ({"a": {}, "b": {"seed": 3}}, "arms.b has seed; arms differ in fields of"),
    ],
)
def test_arms_that_cannot_be_compared(arms: dict[str, Any], said: str) -> None:
    with pytest.raises(StudyError) as error:
        small(arms=arms)
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"training.optimzer": "muon"}, "arms.b: training.optimzer is not a field; did you mean optimizer?"),
        ({"training.optimizer": "mun"}, "arms.b: training.optimizer is 'mun', not an optimizer"),
        ({"training.optimizer.name": "x"}, "arms.b has training.optimizer.name, and optimizer is no part of a study"),
    ],
)
def test_an_arm_that_cannot_work(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(StudyError) as error:
        arm_studies(small(arms={"a": {}, "b": changes}))
    assert said in str(error.value)


def test_a_run_without_arms_is_not_made_one_with_them(finished: Path) -> None:
    armed = load_study(finished / "study.yaml").model_copy(update={"arms": ARMS})
    with pytest.raises(StudyError, match="the run of a study without arms; choose another folder"):
        arms.prepare(armed, finished)


def test_a_run_with_arms_is_not_made_one_without(tmp_path: Path) -> None:
    arms.prepare(small(), tmp_path / "run")
    (tmp_path / "run/arms/muon").mkdir(parents=True)
    with pytest.raises(StudyError, match="the run of a study with arms; choose another folder"):
        check_directory(parse_study({"name": "x"}), tmp_path / "run")


@pytest.mark.full
def test_arms_are_trained_and_compared(tiny: Callable[..., Path], scaling: Scaling) -> None:
    study = tiny(sweep=LADDER, arms=ARMS, check={"budget_multiple": 2.0, "seeds": 1, "enabled": False})
    planned = json.loads(scaling("plan", study, "--json").stdout)["arms"]
    assert list(planned) == ["adamw", "muon"]
    answer = scaling("run", study, "--out", "run")
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert "muon against adamw" in answer.stdout
    assert "12 of 12 and 12 runs" in " ".join(answer.stdout.split())
    root = study.parent / "run"
    tables = [pl.read_csv(root / "arms" / arm / "observations.csv") for arm in ARMS]
    one, other = (table.select("params", "tokens", "seed").sort("params", "tokens", "seed") for table in tables)
    assert one.equals(other)
    kept = json.loads((root / "comparisons/muon.json").read_text())
    assert kept["names"] == ["adamw", "muon"]
    again = scaling("compare", "run")
    assert again.returncode == 0, again.stderr
    assert "muon against adamw" in again.stdout
    assert list(json.loads(scaling("status", "run", "--json").stdout)["arms"]) == ["adamw", "muon"]
    assert load_study(root / "study.yaml").arms == ARMS


@pytest.mark.full
def test_a_disk_that_fills_up_ends_the_arms_that_are_left_too(tiny: Callable[..., Path], small_disk: Path) -> None:
    out = small_disk / "run"
    study = tiny(sweep=LADDER, arms=ARMS, check={"enabled": False})
    command = [sys.executable, "-m", "scaling", "run", str(study), "--out", str(out)]
    process = subprocess.Popen(command, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    wait_for_horizons(process, out / "arms" / "adamw", 1)
    filler = fill(small_disk)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 4, said
    assert "no space is left" in said
    assert not list(out.glob("arms/muon/*"))
    filler.unlink()
    answer = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=600, check=False)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert "muon against adamw" in answer.stdout
