"""Stand-ins for a cluster's own programs, which note how they were called."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

LAUNCH = Path(__file__).parents[2] / "launch"
RECORD = """\
import json, os, sys
with open({file!r}, "a") as file:
    names = ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN_PATH", "RAY_AUTH_TOKEN", "SLURM_JOB_ID", "SLURM_MEM_PER_NODE")
    environment = {{name: os.environ[name] for name in names if name in os.environ}}
    file.write(json.dumps({{"words": sys.argv[1:], "environment": environment}}) + "\\n")
{then}
"""


def bash(words: list[str], environment: dict[str, str], cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, env=environment, cwd=cwd, capture_output=True, text=True, timeout=60, check=False)


class Programs:
    """A folder of stand-ins that note how they were called."""

    def __init__(self, folder: Path):
        self.folder, self.home = folder / "bin", folder / "home"
        self.home.mkdir()
        self.path = f"{self.folder}{os.pathsep}{os.environ['PATH']}"

    def add(self, name: str, then: str = "", at: Path | None = None) -> None:
        file = (at or self.folder) / name
        file.parent.mkdir(parents=True, exist_ok=True)
        body = RECORD.format(file=str(self.home.parent / f"{name}.calls"), then=then)
        file.write_text(f"#!{sys.executable}\n{body}")
        file.chmod(0o755)

    def calls(self, name: str) -> list[dict]:
        file = self.home.parent / f"{name}.calls"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def environment(self, **more: str) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM_", "RAY_"))}
        return kept | {"PATH": self.path, "HOME": str(self.home)} | more

    def run(self, script: str, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
        return bash([str(LAUNCH / script), *words], self.environment(**more))


@pytest.fixture
def programs(tmp_path):
    return Programs(tmp_path)
