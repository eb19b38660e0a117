"""The documentation's examples: each command and each block of Python runs as it stands there."""

import json
import re
import shlex
import shutil
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from scaling.cli import main
from tests.laws import planted
from tests.laws.procedures.simulated import sweep
from tests.laws.test_allocation import known

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
WORDS = ["the", "model", "learns", "a", "law", "of", "loss", "and", "compute"]
COMMANDS = [
    pytest.param(line, id=f"{page.stem}: {line}")
    for page in PAGES
    for line in re.findall(r"^(?:    |\$ )(scaling [^#\n]*?) *(?:#.*)?$", page.read_text(), re.MULTILINE)
]
BLOCKS = {page.stem: re.findall(r"^```python\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL) for page in PAGES}


@pytest.fixture(scope="module")
def folder(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a reader of the documentation stands: a checkout, with texts, runs and a table of their own."""
    folder = tmp_path_factory.mktemp("reader")
    shutil.copytree(ROOT / "configs", folder / "configs")
    shutil.copy(ROOT / "configs" / "quickstart.yaml", folder / "study.yaml")
    (folder / "texts").mkdir()
    bodies = [" ".join(np.random.default_rng(seed).choice(WORDS, 4000)) for seed in range(30)]
    for number, body in enumerate(bodies):
        (folder / "texts" / f"{number}.txt").write_text(body)
    (folder / "news.jsonl").write_text("\n".join(json.dumps({"body": body}) for body in bodies))
    questions = [
        {
            "prompt": " ".join(np.random.default_rng(seed).choice(WORDS, 4)),
            "choices": [" model", " law"],
            "answer": seed % 2,
        }
        for seed in range(40)
    ]
    (folder / "quiz.jsonl").write_text("\n".join(map(json.dumps, questions)))
    for name in ("mine", "quickstart"):
        shutil.copytree(finished, folder / "runs" / name)
    table = pl.DataFrame(planted.study(noise=0.01)).select("loss", "params", "flops")
    table.rename({"params": "Model Size", "flops": "Training FLOP"}).write_csv(folder / "runs.csv")
    pl.DataFrame(sweep(seed=1, noise=0.004, seeds=2)).rename({"learning_rate": "lr"}).write_csv(folder / "sweep.csv")
    (folder / "my_parts.py").write_text("\n".join(BLOCKS["own_parts"]))
    (folder / "law.json").write_text(known().to_json())
    for seed, arm in enumerate(("adamw", "muon")):
        pl.DataFrame(planted.study(noise=0.01, seed=seed + 1)).write_csv(folder / f"{arm}.csv")
    return folder


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command(line: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process. `scaling run` stands for hours of training, and `preflight` of a new study for a minute of
    compiling: planned. Where what it prints goes is left to the shell."""
    line = re.sub(r"^scaling run (.*?)(?: --out \S+)?$", r"scaling plan \1", line)
    line = re.sub(r"^scaling preflight (configs/\S+)$", r"scaling plan \1", line)
    words = shlex.split(line.partition(">")[0])[1:]
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setattr(sys, "path", [*sys.path])
    with pytest.raises(SystemExit) as end:
        main(words)
    assert end.value.code == 0


@pytest.mark.parametrize("page", [page for page, blocks in BLOCKS.items() if blocks])
def test_the_python_of_a_page(page: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Block after block, as a reader would type them."""
    monkeypatch.chdir(folder)
    names: dict[str, object] = {}
    for block in BLOCKS[page]:
        exec(compile(block, page, "exec"), names)


def test_there_are_examples() -> None:
    assert len(COMMANDS) >= 8
    assert sum(len(blocks) for blocks in BLOCKS.values()) >= 2
