"""A study so small that all of it, trained for real in its own processes, takes seconds."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from scaling.records import content_hash
from tests.conftest import made_once
from tests.studies.terminal import Terminal

SECRETS = ("WANDB_API_KEY", "HF_TOKEN", "AWS_SECRET_ACCESS_KEY")
SECRET = "planted-a1b2c3d4e5f6"
"""In the environment of every verb that tests run; tests/studies/test_safety.py looks for it in what they write."""
Scaling = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def tiny(text: Path, compilation_cache: Path, tmp_path: Path) -> Callable[..., Path]:
    """Write a tiny study's YAML; parts can be changed by name."""
    return writer(text, compilation_cache, tmp_path)


@pytest.fixture(scope="session")
def tiny_shared(text: Path, compilation_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """The same, for fixtures that tests share."""
    return writer(text, compilation_cache, tmp_path_factory.mktemp("tiny"))


def writer(text: Path, compilation_cache: Path, folder: Path) -> Callable[..., Path]:
    """Writes tiny studies into `folder`; a sweep with a design takes the place of the tiny one."""

    def write(**changes: dict[str, Any]) -> Path:
        study: dict[str, Any] = {
            "name": "tiny",
            "data": {"corpus": str(text), "validation_tokens": 2000},
            "family": {"layers": 1, "head_width": 8, "sequence_length": 16, "ffn_ratio": 2.0},
            "training": {
                "reference_width": 16,
                "learning_rate": 1e-2,
                "batch_tokens": 64,
                "warmup_tokens": 256,
                "minimum_steps": 40,
                "minimum_decay_steps": 8,
                "steps_per_dispatch": 16,
            },
            "sweep": {
                "budgets": [2e8, 4e8, 8e8],
                "widths": [8, 16, 24],
                "sizes_per_budget": 3,
                "expected_tokens_per_param": 1.0,
                "replicate_widths": [8],
                "replicate_budgets": 2,
                "replicate_seeds": 2,
            },
            "laws": {"resamples": 100},
            "check": {"budget_multiple": 2.0, "seeds": 2},
            "engine": {
                "processes": 2,
                "compilation_cache": str(compilation_cache),
                "token_cache": str(folder / "token_cache"),
            },
        }
        for part, fields in changes.items():
            whole = not isinstance(fields, dict) or "design" in fields
            study[part] = fields if whole else study.get(part, {}) | fields
        path = folder / f"tiny-{content_hash(study)[:8]}.yaml"
        path.write_text(yaml.safe_dump(study))
        return path

    return write


@pytest.fixture(scope="session")
def finished(tiny_shared: Callable[..., Path], shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run directory of a tiny study that nothing disturbed, with what the terminal said beside it.

    A copy for each worker of one run.
    """
    once, folder = shared / "finished", tmp_path_factory.mktemp("finished") / "copy"
    with made_once(once) as needed:
        if needed:
            answer = subprocess.run(
                [sys.executable, "-m", "scaling", "run", str(tiny_shared()), "--out", str(once / "run")],
                env=environment(), capture_output=True, text=True, timeout=600, check=False,
            )  # fmt: skip
            assert answer.returncode == 0, answer.stdout + answer.stderr
            (once / "said.txt").write_text(answer.stdout)
        shutil.copytree(once, folder)
    return folder / "run"


@pytest.fixture
def scaling(tmp_path: Path) -> Scaling:
    """Run a verb as a user would, in tmp_path."""

    def run(*arguments: Any, timeout: float = 300) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "scaling", *map(str, arguments)],
            cwd=tmp_path,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    return run


@pytest.fixture
def terminal(capsys: pytest.CaptureFixture[str]) -> Terminal:
    """Run a verb of the law engine as a user would, in this process."""
    return Terminal(capsys)


def environment() -> dict[str, str]:
    """This process's, with the project importable where it is not installed."""
    root = str(Path(__file__).parents[2])
    path = os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])
    return os.environ | dict.fromkeys(SECRETS, SECRET) | {"PYTHONPATH": path}
