"""Jobs that a command trains, run as an engine runs them."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scaling.config import ModelConfig, Study, parse_study
from scaling.data import Tokens
from scaling.records import Job, RunDirectory, Trajectory, pretty_json
from tests.conftest import MODEL, trajectory_of

TRAINER = str(Path(__file__).with_name("trainer.py"))
ROOT = Path(__file__).parents[2]


def command_of(words: list[str]) -> Study:
    return parse_study({"name": "commanded", "command": words})


class CommandJob:
    """A job of one trajectory with two horizons, and its process."""

    def __init__(self, job: Job, folder: Path):
        self.job, self.file, self.log = job, folder / "job.json", folder / "job.log"
        self.trajectory = job.trajectories[0]
        self.directory = RunDirectory(job.settings.run_dir).trajectory(self.trajectory.id)
        self.file.write_bytes(pretty_json(job.model_dump(mode="json")))

    def start(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "scaling", "job", str(self.file)],
                env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=log, stderr=subprocess.STDOUT,
            )  # fmt: skip

    def run(self) -> int:
        return self.start().wait(60)

    @property
    def said(self) -> str:
        return self.log.read_text()

    @property
    def committed(self) -> list[int]:
        return [row.tokens for row in self.directory.observations()]


@pytest.fixture
def commanded(tokens: Tokens, job_of: Callable[..., Job], tmp_path: Path) -> Callable[..., CommandJob]:
    """Makes a job of the test trainer, told what to do."""

    def make(
        *options: Any, words: list[str] | None = None, model: ModelConfig = MODEL, name: str = "", **settings: Any
    ) -> CommandJob:
        given = words or [sys.executable, TRAINER, *map(str, options)]
        command = command_of(given).command
        assert command is not None
        one: Trajectory = trajectory_of(tokens, 40, 80, model=model).model_copy(update={"command": command})
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        return CommandJob(job_of(one, **({"run_dir": str(folder / "run")} | settings)), folder)

    return make
