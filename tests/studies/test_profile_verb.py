"""`scaling profile`: the profiles of laws.profiling as a table, as JSON and as a figure."""

import json
from pathlib import Path

import polars as pl
import pytest

from scaling.laws.profiling import profile
from tests.laws import planted
from tests.studies.terminal import Terminal

QUICK = ("--objective", "least_squares", "--calibration", "F")


@pytest.fixture
def table(tmp_path: Path) -> Path:
    pl.DataFrame(planted.study(noise=0.003)).write_csv(tmp_path / "runs.csv")
    return tmp_path / "runs.csv"


def test_the_profile_is_the_engine_s(terminal: Terminal, table: Path) -> None:
    said = json.loads(terminal.done("profile", table, "--parameter", "alpha", *QUICK, "--json"))
    wanted = profile(str(table), parameter="alpha", objective="least_squares", calibration="F")
    found = said["profiles"]["alpha"]
    assert found["values"] == wanted.values.tolist()
    assert (found["interval"]["low"], found["interval"]["high"]) == (wanted.interval.low, wanted.interval.high)
    assert found["interval"]["low"] < planted.TRUTH["alpha"] < found["interval"]["high"]
    assert (found["low"], found["high"], found["calibration"]) == ("closed", "closed", wanted.calibration)


def test_the_table_says_which_sides_are_open(terminal: Terminal, tmp_path: Path) -> None:
    # Three tokens a parameter short of telling the data's exponent: loss that falls as a straight line has no floor.
    sizes = planted.SIZES[:6]
    losses = (planted.loss(sizes, 20 * sizes) - 1.1).tolist()
    path = tmp_path / "runs.csv"
    pl.DataFrame({"params": sizes, "loss": [x * w for x, w in zip(losses, [1.01, 0.99] * 3, strict=True)]}).write_csv(
        path
    )
    shown = terminal.done("profile", path, "--form", "power", "--parameter", "E", "alpha", *QUICK)
    rows = {line.split()[0]: line for line in shown.splitlines() if line.startswith(("E ", "alpha "))}
    assert set(rows) == {"E", "alpha"}
    wanted = profile(str(path), "power", "E", objective="least_squares", calibration="F")
    assert wanted.low == "open"
    assert rows["E"].split("]")[1].split()[:2] == ["open", wanted.high]
    assert "profile_open" in shown
    assert "threshold of the 95% intervals: F(1, 3)" in shown


def test_all_free_parameters_unless_some_are_named(terminal: Terminal, table: Path, tmp_path: Path) -> None:
    figure = tmp_path / "profiles.pdf"
    pins = ("--pin", "E=1.2", "--tie", "beta=alpha")
    said = json.loads(terminal.done("profile", table, *pins, *QUICK, "--plot", figure, "--json"))
    assert list(said["profiles"]) == ["A", "alpha", "B"]
    assert figure.read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (
            ["--parameter", "alfa"],
            "--parameter names 'alfa'; form chinchilla has E, A, alpha, B, beta; did you mean 'alpha'?",
        ),
        (["--parameter", "E", "--pin", "E=1"], "--parameter names E, which --pin holds"),
        (["--parameter", "beta", "--tie", "beta=alpha"], "--parameter names beta, which --tie holds"),
        (["--form", "isoflop"], "form isoflop is a procedure of several fits"),
        (["--points", "3"], "points is 3; it must be at least 9"),
        (["--calibration", "G"], "calibration is 'G'; it is one of auto, F, simulated"),
        (["--plot", "x.doc"], "--plot is x.doc; its name ends in"),
    ],
)
def test_wrong_profiles(terminal: Terminal, table: Path, words: list[str], wanted: str) -> None:
    assert wanted in terminal.refused("profile", table, *words)
