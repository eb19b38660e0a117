"""`scaling evaluate` and `evaluation.sets`: finished models measured on new sets, in files of their own, once."""

import csv
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from scaling.records import RunDirectory, exclusive
from tests.studies.conftest import environment
from tests.studies.terminal import Terminal

WORDS = ["the", "model", "learns", "a", "law", "of", "loss", "and", "compute"]


def write_sets(folder: Path, text: Path) -> None:
    """news: new documents and some of the corpus; quiz: the end of a word that the corpus is full of."""
    (folder / "news").mkdir()
    for number in range(20):
        body = " ".join(np.random.default_rng(100 + number).choice(WORDS, 100))
        (folder / "news" / f"{number}.txt").write_text(body)
    for number, path in enumerate(sorted(text.glob("*.txt"))[:6]):  # of which one or the other is held out
        (folder / "news" / f"copy-{number}.txt").write_text(path.read_text())
    questions = [{"prompt": f"of {word} comp", "choices": ["ute ", "zq# "], "answer": "ute "} for word in WORDS]
    (folder / "quiz.jsonl").write_text("\n".join(json.dumps(question) for question in questions))


@dataclass(frozen=True)
class Done:
    """A finished run that was run again after its study had named two sets; one of its models had been removed."""

    folder: Path
    gone: Path
    said: str
    warned: str
    before: dict[Path, bytes]
    """Horizons and laws of before."""

    @property
    def run(self) -> Path:
        return self.folder / "run"


@pytest.fixture(scope="module")
def done(
    finished: Path, text: Path, tiny_shared: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> Done:
    folder = tmp_path_factory.mktemp("evaluated")
    shutil.copytree(finished, folder / "run")
    write_sets(folder, text)
    gone = sorted((folder / "run").glob("trajectories/*/models/*"))[0]
    shutil.rmtree(gone)
    before = committed(folder / "run")
    sets = {"news": str(folder / "news"), "quiz": {"path": str(folder / "quiz.jsonl"), "kind": "choices"}}
    answer = subprocess.run(
        [sys.executable, "-m", "scaling", "run", str(tiny_shared(evaluation={"sets": sets})), "--out", "run"],
        cwd=folder, env=environment(), capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    return Done(folder, gone, re.sub(r"\s+", " ", answer.stdout), answer.stderr, before)


def rows_of(run: Path) -> list[dict[str, str]]:
    with (run / "observations.csv").open() as file:
        return list(csv.DictReader(file))


def results(run: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in run.glob("trajectories/*/evaluations/*/*.json")}


def committed(run: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for one in ("trajectories/*/horizon-*", "laws/*") for path in run.glob(one)}


def test_sets_that_a_study_names_later_are_measured_without_training(done: Done, finished: Path) -> None:
    assert committed(done.run) == done.before
    before, found = rows_of(finished), rows_of(done.run)
    assert [{name: row[name] for name in before[0]} for row in found] == before
    there = [row for row in found if row["news.loss"]]
    assert len(there) == len(found) - 1
    assert len(results(done.run)) == 2 * len(there)
    assert all(float(row["quiz.accuracy"]) == 1 and float(row["quiz.chance"]) == 0.5 for row in there)
    assert all(0 < float(row["quiz.bits_per_byte"]) < 2 for row in there)
    # Most documents are new ones of the same source: the loss of the held-out text, up to its sampling.
    assert max(abs(float(row["news.loss"]) - float(row["loss"])) for row in there) < 0.05
    assert all(0 < float(row["news.loss_se"]) < 0.1 for row in there)
    ratios = [float(row["news.bits_per_byte"]) * np.log(2) / float(row["news.loss"]) for row in there]
    assert ratios == pytest.approx([ratios[0]] * len(there))
    assert 1 < ratios[0] < 1.01, "the ends of documents"


def test_what_was_measured_is_said(done: Done) -> None:
    assert re.search(
        r"set news: 26 documents, [\d,]+ tokens, .*; [3-6] of its documents are in the training", done.said
    )
    assert "set quiz: 9 questions" in done.said
    assert "quiz (chance 50.0%" in done.said
    assert "100.0% ± 0.0%" in done.said
    lost = f"{done.gone.parents[1].name}/{done.gone.name}"
    assert f"1 horizon(s) have no kept model and stay unmeasured: {lost}" in done.warned
    assert "Measured on held-out sets" in (done.run / "report" / "index.html").read_text()


def test_the_same_again_does_nothing(done: Done, terminal: Terminal) -> None:
    times, jobs = results(done.run), sorted(path.name for path in (done.run / "jobs").iterdir())
    found = json.loads(terminal.done("evaluate", done.run, "--json"))
    assert results(done.run) == times
    assert sorted(path.name for path in (done.run / "jobs").iterdir()) == jobs, "nothing was started"
    losses = {row["trajectory"] + row["horizon"]: row["news.loss"] for row in rows_of(done.run)}
    assert len(losses) == len(found)
    for row in found:
        loss = losses[row["trajectory"] + row["horizon"]]
        assert row["sets"] == {} if not loss else row["sets"]["news"]["loss"] == float(loss)


def test_laws_are_fitted_to_what_was_measured(done: Done, terminal: Terminal) -> None:
    for columns, form in (
        (["loss=news.bits_per_byte", "loss_se=news.bits_per_byte_se"], "chinchilla"),
        (["loss=quiz.bits_per_byte", "accuracy=quiz.likelihood"], "two_step"),
    ):
        out = done.folder / f"{form}.json"
        said = terminal(
            "fit", done.run, "--form", form, "--columns", *columns, "--resamples", 20, "--out", out, "--json"
        )
        assert said.code == 0, said.err
        assert f"1 of {len(rows_of(done.run))} rows have no" in said.err
        law = json.loads(out.read_text())
        assert law["form"] == form
        assert law["rows"] == sum(row["role"] == "fit" and row["news.loss"] != "" for row in rows_of(done.run))


def test_another_content_under_the_same_name_is_another_result(
    done: Done, terminal: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside a run that goes on, whose table stays its own."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(done.run, "run")
    one, *others = RunDirectory("run").trajectory_directories()
    for other in others:
        shutil.rmtree(other.root)
    questions = (done.folder / "quiz.jsonl").read_text().splitlines()
    Path("quiz.jsonl").write_text("\n".join(questions[:4]))
    before, table = results(Path("run")), Path("run/observations.csv").read_bytes()
    with exclusive(Path("run/.lock"), wait=False, holder="test"):  # as a run that goes on holds it
        said = terminal("evaluate", "run", "--set", "quiz=quiz.jsonl")
    assert said.code == 0, said.err
    assert "run is being run: its observations.csv and report will show this when the run is done" in said.err
    assert Path("run/observations.csv").read_bytes() == table
    assert "set quiz has another content than was measured before" in said.out
    after = results(Path("run"))
    assert before.items() <= after.items()
    assert len(after) == len(before) + len(list(one.models.iterdir()))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["nothing", "--set", "a=news"], "nothing is not a run directory"),
        (["run", "--set", "news"], "--set has 'news'; write NAME=VALUE"),
        (["run", "--set", "a=news", "--set", "a=news"], "--set names a twice"),
        (["run", "--set", "a=new"], "--set a.path is 'new', which does not exist; did you mean"),
        (
            ["run", "--set", "A=news"],
            "--set: evaluation.sets is .*; 'A' names columns: use small letters, digits and _",
        ),
        (["run", "--set", "a=news", "--kind", "texts"], "evaluation.sets.a.kind is 'texts'"),
        (["run", "--set", "a=news", "--txt-field", "body"], "--txt-field is no option of evaluate"),
        (["run", "--set", "a=news", "--sweep.widths", "8"], "--sweep.widths is no option of evaluate"),
        (["run", "--set", "a=news", "--engine.mesh.dat", "1"], "engine.mesh.dat is not a field; did you mean data"),
        (["run", "--text-field", "body"], "--text-field tells how to read a set: give --set NAME=PATH too"),
        (["run", "--set", "a=news", "--text-field", "body"], "--set a.text_field is 'body', but path .* no JSON lines"),
    ],
)
def test_bad_input_is_refused_by_name(
    given: list[str], words: str, done: Done, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(done.folder)
    assert re.search(words, terminal.refused("evaluate", *given))
