"""With what a record was made: versions and commit. Recorded beside results, never part of an identity."""

import platform
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("scaling", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain", "numpy", "scipy")


@cache
def provenance() -> dict[str, str]:
    """Package -> version, Python's version, and the git commit of the code where it is a checkout."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    commit = _git_commit(Path(__file__).parent)
    return found | ({"commit": commit} if commit else {})


def _git_commit(folder: Path) -> str | None:
    try:
        answer = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=folder, capture_output=True, text=True, timeout=5, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None
