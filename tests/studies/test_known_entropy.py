"""A study of text whose entropy is known: the truth is written before anything is trained, and both are shown."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from scaling import laws
from scaling.config import Study
from scaling.data import prepare
from scaling.records import RecordError, RunDirectory
from scaling.studies import known, show
from tests.laws import planted
from tests.studies.conftest import Scaling

SYNTHETIC = {"corpus": "zipf_markov", "synthetic": {"tokens": 100_000}, "validation_tokens": 5000}


def test_what_is_known_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = Study.model_validate({"name": "known", "data": SYNTHETIC, "family": {"sequence_length": 16}})
    tokens, directory = prepare(study.data, study.seed), RunDirectory(tmp_path)
    assert known.read(directory) is None
    known.keep(study, tokens, directory)
    found = known.read(directory)
    assert found is not None
    assert found.rate < found.loss
    assert abs(found.loss - found.rate) < 0.2
    written = directory.known_entropy.stat().st_mtime_ns
    known.keep(study, tokens, directory)
    assert directory.known_entropy.stat().st_mtime_ns == written
    known.keep(
        study.model_copy(update={"family": study.family.model_copy(update={"sequence_length": 32})}), tokens, directory
    )
    longer = known.read(directory)
    assert longer is not None
    assert found.rate == longer.rate < longer.loss < found.loss

    law = laws.fit(planted.study(noise=0.005), "chinchilla", resamples=50, starts=16)
    show.entropy(found, law)
    said = capsys.readouterr().out
    for words in (
        "zipf_markov",
        f"{found.rate:.4f} (exact)",
        "windows of 16",
        f"{found.loss:.4f}",
        f"{law.params['E']:.4f} [",
    ):
        assert words in said, words
    show.entropy(found, replace(law, intervals={}))
    assert "nothing is compared" in capsys.readouterr().out
    show.entropy(None, law)
    assert capsys.readouterr().out == ""

    directory.known_entropy.write_text("{}")
    with pytest.raises(RecordError, match=r"known_entropy\.json is damaged"):
        known.read(directory)


def test_other_text_is_not_known(tmp_path: Path, finished: Path) -> None:
    assert known.read(RunDirectory(finished)) is None
    assert "known entropy" not in (finished / "report" / "index.html").read_text()
    assert "known entropy" not in (finished.parent / "said.txt").read_text()


@pytest.mark.full
def test_a_run_says_both(tiny: Callable[..., Path], scaling: Scaling, tmp_path: Path) -> None:
    answer = scaling("run", tiny(data=SYNTHETIC, check={"enabled": False}), "--out", tmp_path / "run")
    assert answer.returncode == 0, answer.stdout + answer.stderr
    found = known.read(RunDirectory(tmp_path / "run"))
    assert found is not None
    page = (tmp_path / "run" / "report" / "index.html").read_text()
    for words in ("known entropy", f"{found.rate:.4f} (exact)", f"{found.loss:.4f} on the held-out text", "fitted E"):
        assert words in answer.stdout, words
        assert words in page, words
    record = RunDirectory(tmp_path / "run").known_entropy.stat().st_mtime_ns
    assert all(
        record < one.record.stat().st_mtime_ns for one in RunDirectory(tmp_path / "run").trajectory_directories()
    )
