"""Bad input ends with exit code 2 and one clear message, before anything is trained or written."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scaling.config import StudyError, load_study
from scaling.studies import preflight
from tests.studies.terminal import Said, Terminal

Tiny = Callable[..., Path]


@pytest.fixture(autouse=True)
def _stands_in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def refused(said: Said, words: str) -> None:
    assert said.code == 2, said.out + said.err
    assert re.search(words, said.err), said.err
    assert "Traceback" not in said.err


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"trainig": {}}, "trainig is not a field; did you mean training"),
        ({"training": {"learning_rate": "fast"}}, "training.learning_rate is 'fast'"),
        ({"sweep": {"widths": [8, 12]}}, "sweep.widths has 12, not divisible by family.head_width 8; use 8 or 16"),
        ({"sweep": {"widths": [8]}}, "single size"),
        ({"data": {"validation_tokens": 10**9}}, "data.validation_tokens is 1000000000, but the text"),
        ({"engine": {"resources": {"hosts": 2}}}, "engine.resources.hosts is 2, and engine.kind local has one"),
        ({"engine": {"kind": "jobset"}}, "engine.jobset.image is null"),
        ({"sweep": {"budgets": [1e6, 3e8]}}, "sweep.budgets has 1e[+]?0?6.*steps"),
    ],
)
def test_a_wrong_study(tiny: Tiny, terminal: Terminal, tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    study = tiny() if "trainig" in changes else tiny(**changes)
    if "trainig" in changes:
        study.write_text(study.read_text() + "trainig: {}\n")
    refused(terminal("run", study), words)
    assert not (tmp_path / "runs").exists()


def test_wrong_text(tiny: Tiny, terminal: Terminal, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    refused(terminal("plan", tiny(data={"corpus": str(empty)})), "data.corpus is .*empty")
    folder = tmp_path / "latin"
    folder.mkdir()
    (folder / "long.txt").write_text("plain words " * 4000)
    for number in range(40):
        (folder / f"good-{number}.txt").write_text(f"plain words, part {number} " * 20)
    (folder / "bad.txt").write_bytes(b"caf\xe9 " * 100)
    refused(terminal("plan", tiny(data={"corpus": str(folder)})), r"bad\.txt")
    answer = terminal("plan", tiny(data={"corpus": str(folder), "bad_encoding": "skip"}))
    assert answer.code == 0, answer.err


def test_an_output_folder_of_another_study(tiny: Tiny, terminal: Terminal, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "study.yaml").write_text(tiny(training={"learning_rate": 0.5}).read_text())
    (out / "trajectories").mkdir()
    refused(
        terminal("run", tiny(), "--out", out),
        "belongs to a different study: training.learning_rate is 0.5 there and 0.01 here",
    )


def test_an_output_folder_with_other_files(tiny: Tiny, terminal: Terminal, tmp_path: Path) -> None:
    out = tmp_path / "home"
    out.mkdir()
    (out / "thesis.tex").write_text("precious")
    refused(terminal("run", tiny(), "--out", out), "a folder with other files in it")
    assert [path.name for path in out.iterdir()] == ["thesis.tex"]


def test_an_output_folder_that_cannot_be_written(tiny: Tiny, tmp_path: Path) -> None:
    study = load_study(tiny())
    with pytest.raises(StudyError, match="a file; give a folder"):
        preflight.check_directory(study, tiny())
    with pytest.raises(StudyError, match="cannot be written"):
        preflight.check_directory(study, Path("/proc/scaling"))


def test_a_disk_without_room(tiny: Tiny, tmp_path: Path) -> None:
    free = os.statvfs(tmp_path).f_bavail * os.statvfs(tmp_path).f_frsize
    with pytest.raises(StudyError, match=r"the plan needs \d+ MB .* and \d+ MB are free"):
        preflight.check_space(tmp_path / "run", free, 0)
    with pytest.raises(StudyError, match=r"for annealed models.*checkpoints.keep_models: last or none"):
        preflight.check_space(tmp_path / "run", 0, free)
    preflight.check_space(tmp_path / "run", 0, 0)


def test_the_sweep_may_change_and_what_changes_results_may_not(tiny: Tiny) -> None:
    study = load_study(tiny())
    other = load_study(tiny(sweep={"budgets": [3e8, 6e8]}, training={"steps_per_dispatch": 5}, laws={"delta": 1.0}))
    assert preflight.differences(study, other) == []
    different = load_study(tiny(training={"beta2": 0.9}, data={"validation_tokens": 3000}))
    assert preflight.differences(study, different) == [
        "data.validation_tokens is 2000 there and 3000 here",
        "training.beta2 is 0.99 there and 0.9 here",
    ]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["rnu"], "'rnu' is not a verb; did you mean run?"),
        (["run"], "the following arguments are required: STUDY"),
        (["run", "nowhere.yaml", "--out", "gs://bucket/run"], "is a local folder"),
        (["run", "nowhere.yaml"], "nowhere.yaml does not exist"),
        (["status", "."], "not a run directory"),
        (["report", "."], "not a run directory"),
        (["fit", "nowhere.csv"], "nowhere.csv"),
        (["predict", "nowhere.json", "--flops", "1e9"], "nowhere.json does not exist"),
        (["fit", "nowhere.csv", "--best-over", "lr"], "nowhere.csv"),
        (["profile", "nowhere.csv"], "nowhere.csv"),
        (["forms", "chinchila"], "did you mean 'chinchilla'?"),
        (["select", "nowhere.csv"], "nowhere.csv"),
        (["validate", "nowhere.csv"], "nowhere.csv"),
        (
            ["compare", "nowhere.csv", "--at", "1e21"],
            "nowhere.csv is no run of a study with arms",
        ),
        (["compare", "nowhere.csv", "elsewhere.csv", "--at", "1e21"], "nowhere.csv"),
        (["fit", "nowhere.csv", "--pin", "E"], "--pin has 'E'; write NAME=VALUE"),
        (["fit", "nowhere.csv", "--pin", "E=much"], "--pin E is 'much', not a number"),
        (["fit", "nowhere.csv", "--form", "chinchila"], "did you mean 'chinchilla'?"),
        (["job", "nowhere.json"], "nowhere.json does not exist"),
    ],
)
def test_wrong_command_lines(terminal: Terminal, arguments: list[str], words: str) -> None:
    refused(terminal(*arguments), words)
