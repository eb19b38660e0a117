"""A command that trains: how it is written, what of it is in an identity, and what cannot stand beside it."""

from pathlib import Path
from typing import Any

import pytest

from scaling.config import Study, StudyError, command_changed, dump_study, parse_study, parse_yaml
from scaling.data import Tokens
from scaling.records import DivergedResult, Observation, Result, ResultError, Trajectory, parse_result
from scaling.studies.preflight import differences
from tests.conftest import trajectory_of


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a researcher stands who has a trainer."""
    files = {
        "train.py": "import layers\nimport json\n",
        "layers.py": "import deep.one\n",
        "deep/__init__.py": "",
        "deep/one.py": "",
        "other.py": "",
        "more.yaml": "rate: 1\n",
        "package/__init__.py": "",
        "package/__main__.py": "from package import parts\n",
        "package/parts.py": "",
        "run.sh": "#!/bin/sh\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def study(command: Any, **changes: Any) -> Study:
    return parse_study({"name": "mine", "command": command} | changes)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (
            "python train.py --lr 0.1",
            r"is 'python .*', a text; write a list .*\[python, train.py, --lr, '0.1'\]",
        ),
        ("python train.py | tee log", r"a text; no shell reads it: put what it does into a script"),
        ([], r"command is \[\]; write a list of words"),
        (7, r"command is 7; write a list of words"),
        (["python", 7], r"command has 7; each word is a text of at least one letter: put it in quotes"),
        (["python", ""], r"command has ''; each word"),
        (["no-such-command"], r"command is 'no-such-command': there is no command no-such-command, neither in PATH"),
        (["train.py"], r"train.py is a file here, but no command; write ./train.py, or .* \[python, train.py\]"),
        (["./run.sh"], r"./run.sh is not executable; chmod \+x it, or name what runs it first"),
        (["./deep"], r"./deep is a folder; name an executable"),
        (["python", "trian.py"], r"there is no file trian.py here; did you mean train.py\?"),
        ({"words": ["python"]}, r"write a list of words, or words and sources as a run recorded them"),
    ],
)
def test_what_is_no_command_is_refused(folder: Path, command: Any, words: str) -> None:
    with pytest.raises(StudyError, match=words):
        study(command)


@pytest.mark.parametrize(
    ("words", "counted"),
    [
        (["python", "train.py"], {"train.py", "layers.py", "deep/__init__.py", "deep/one.py"}),
        (["python", "train.py", "--more=more.yaml"], {"train.py", "layers.py", "deep/one.py", "more.yaml"}),
        (["python", "train.py", "more.yaml"], {"train.py", "more.yaml"}),
        (["python", "-m", "package"], {"package/__init__.py", "package/__main__.py", "package/parts.py"}),
        (["python", "other.py"], {"other.py"}),
        (["python", "-m", "json.tool"], set()),
    ],
)
def test_a_command_is_known_by_its_words_and_the_content_of_its_files(
    folder: Path, words: list[str], counted: set[str]
) -> None:
    command = study(words).command
    assert command is not None
    for path in [one for one in folder.rglob("*") if one.is_file()]:
        before = path.read_bytes()
        path.write_bytes(before + b"# changed\n")
        changed = study(words).command
        name = str(path.relative_to(folder))
        if name in counted or name not in {"train.py", "layers.py", "deep/__init__.py", "deep/one.py"}:
            assert (changed != command) == (name in counted), name
            assert (command_changed(command) is not None) == (name in counted), name
        path.write_bytes(before)
    assert command_changed(command) is None


def test_a_file_that_the_command_writes_later_changes_nothing(folder: Path) -> None:
    command = study(["python", "train.py", "--log", "train.log"]).command
    assert command is not None
    (folder / "train.log").write_text("began")
    assert command_changed(command) is None


def test_what_was_recorded_is_read_without_its_files(folder: Path) -> None:
    asked = study(["python", "train.py"])
    for path in folder.glob("*.py"):
        path.unlink()
    again = parse_study(parse_yaml(dump_study(asked), "study"))
    assert again == asked
    assert again.command is not None
    assert command_changed(again.command) == f"train.py is no file here and source {_short(asked)} there"


def test_a_run_directory_of_another_command_or_source_is_refused_by_name(folder: Path) -> None:
    asked, none = study(["python", "train.py"]), parse_study({"name": "mine"})
    assert differences(none, asked) == ["command is not set there and 'python train.py' here"]
    assert differences(asked, study(["python", "other.py"])) == [
        "command is 'python train.py' there and 'python other.py' here"
    ]
    (folder / "train.py").write_text("changed = 1")
    now = study(["python", "train.py"])
    assert differences(asked, now) == [f"command's train.py is of source {_short(asked)} there and {_short(now)} here"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"family": {"block": "package:parts"}}, "family.block is 'package:parts', but command trains"),
        ({"evaluation": {"sets": {"news": "more.yaml"}}}, "evaluation.sets has news, but command trains"),
        ({"engine": {"compute": {"precision": "bfloat16"}}}, "engine.compute is set, but command trains"),
        ({"engine": {"mesh": {"data": 2}}}, "engine.mesh is set, but command trains"),
        ({"stopping": {"above_best": 1.2}}, "stopping.above_best is 1.2, but command trains all horizons"),
        ({"engine": {"resources": {"hosts": 2}}}, "engine.resources.hosts is 2, but command is started on one host"),
    ],
)
def test_what_only_the_laboratorys_training_knows_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], words: str
) -> None:
    (folder / "package" / "__init__.py").write_text("parts = 1")
    monkeypatch.syspath_prepend(folder)
    with pytest.raises(StudyError, match=words):
        study(["python", "train.py"], **changes)


def test_a_command_is_in_the_identity_and_without_one_nothing_is(folder: Path, tokens: Tokens) -> None:
    plain = trajectory_of(tokens, 40)
    record = plain.model_dump(mode="json")
    assert "command" not in record
    assert "command" not in plain.identity
    assert "command" not in dump_study(parse_study({"name": "mine"}))
    own = plain.model_copy(update={"command": study(["python", "train.py"]).command})
    other = plain.model_copy(update={"command": study(["python", "train.py", "--more"]).command})
    assert len({plain.id, own.id, other.id}) == 3
    assert Trajectory.model_validate(own.model_dump(mode="json")).id == own.id


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ([1.0], "out.json holds .1.0., not an object"),
        ({}, "out.json: loss is missing; give it a value"),
        ({"loss": -1.0}, "loss is -1.0; input should be greater than 0"),
        ({"loss": True}, "loss is True; input should be a valid number"),
        ({"loss": 2.0, "tokens": 1.5}, "tokens is 1.5; input should be a valid integer"),
        ({"loss": 2.0, "metrics": {"my metric": 1.0}}, "metrics.my metric"),
        ({"loss": 2.0, "schema_version": 2}, "schema_version is 2"),
        ({"diverged": True}, "step is missing"),
    ],
)
def test_a_wrong_result_is_refused_by_its_field(said: Any, words: str) -> None:
    with pytest.raises(ResultError, match=words):
        parse_result(said, "out.json")


def test_results() -> None:
    assert parse_result({"loss": 2, "diverged": False}, "out.json") == Result(loss=2.0)
    assert parse_result({"diverged": True, "step": 3}, "out.json") == DivergedResult(diverged=True, step=3)


def test_records_of_before_are_read(tokens: Tokens) -> None:
    fields = {name: one for name, one in Observation.model_fields.items() if one.is_required()}
    assert {"loss_se", "train_loss", "bits_per_byte", "flops_causal", "params_non_embedding"} <= fields.keys()


def _short(asked: Study) -> str:
    assert asked.command is not None
    return asked.command.sources["train.py"][:12]
