"""Everything that can be known to be wrong before any compute is spent."""

import os
import shutil
from pathlib import Path
from typing import Any

from scaling.config import Command, Own, Study, StudyError, load_study
from scaling.records import RunDirectory

MUST_MATCH = ("name", "seed", "command", "data", "family", "training", "evaluation", "accounting")
"""Parts of a study that make a run directory its own. The sweep, laws, check and engine may change later."""
MAY_DIFFER = {"training": ("steps_per_dispatch",), "evaluation": ("sets",)}
"""Fields of those parts that change no result."""
SPARE_BYTES = 64 * 2**20
"""Room for everything but checkpoints: tokens, metrics, report."""


def check_directory(study: Study, root: Path) -> None:
    """Refuse an output folder that cannot be written, or that belongs to a different study.

    Raises:
      StudyError: names the folder, and the fields that differ.
    """
    directory = RunDirectory(root)
    if root.exists() and not root.is_dir():
        raise StudyError(f"--out is {root}, a file; give a folder")
    parent = next(path for path in (root, *root.absolute().parents) if path.exists())
    if not _writable(parent):
        raise StudyError(f"--out is {root}, and {parent} cannot be written; choose another folder")
    if directory.simulated.exists():
        raise StudyError(f"--out is {root}, whose records are those of a simulation; choose another folder")
    if (root / "arms").is_dir() and not study.arms:
        raise StudyError(f"--out is {root}, the run of a study with arms; choose another folder, or give it arms")
    if directory.trajectories.exists() and study.arms:
        raise StudyError(f"--out is {root}, the run of a study without arms; choose another folder, or leave arms out")
    if directory.study.is_file() and not directory.trajectories.exists():
        return  # nothing was trained there: a study that was refused may be mended
    if not directory.study.is_file():
        if root.is_dir() and any(path.name != ".lock" for path in root.iterdir()):
            raise StudyError(f"--out is {root}, a folder with other files in it; choose an empty or a new one")
        return
    different = differences(load_study(directory.study), study)
    if different:
        raise StudyError(
            f"--out is {root}, which belongs to a different study: {'; '.join(different)}; "
            "choose another folder, or put the study back as it was"
        )


def check_space(root: Path, checkpoint_bytes: int, model_bytes: int) -> None:
    """Refuse a disk without room for the plan's checkpoints and kept models.

    Raises:
      StudyError: says what is needed and what is free.
    """
    parent = next(path for path in (root, *root.absolute().parents) if path.exists())
    free = shutil.disk_usage(parent).free
    needed = checkpoint_bytes + model_bytes + SPARE_BYTES
    if free < needed:
        raise StudyError(
            f"--out is {root}: the plan needs {needed / 1e6:.0f} MB ({checkpoint_bytes / 1e6:.0f} of them for "
            f"checkpoints, {model_bytes / 1e6:.0f} for annealed models), and {free / 1e6:.0f} MB are free; make room, "
            "choose another disk, or keep less (checkpoints.keep_forks: last, checkpoints.keep_models: last or none)"
        )


def differences(there: Study, here: Study) -> list[str]:
    """Fields that must match and do not: "training.learning_rate is 0.01 there and 0.02 here"."""
    found: list[str] = []
    for part in MUST_MATCH:
        _compare(part, getattr(there, part), getattr(here, part), found)
    return found


def _compare(name: str, there: Any, here: Any, found: list[str]) -> None:
    if isinstance(there, Own) and isinstance(here, Own):
        if there != here:
            sides = [f"{one!r} of source {one.source[:12]}" for one in (there, here)]
            found.append(f"{name} is {sides[0]} there and {sides[1]} here")
        return
    if isinstance(there, Command) and isinstance(here, Command) and there.words == here.words:
        found.extend(_changed_files(name, there, here))
        return
    if isinstance(there, Command | None) and isinstance(here, Command | None) and there != here:
        found.append(f"{name} is {_words(there)} there and {_words(here)} here")
        return
    if not hasattr(there, "model_fields_set") or type(there) is not type(here):
        if there != here:
            found.append(f"{name} is {there!r} there and {here!r} here")
        return
    for field in type(there).model_fields:
        if field not in MAY_DIFFER.get(name, ()):
            _compare(f"{name}.{field}", getattr(there, field), getattr(here, field), found)


def _changed_files(name: str, there: Command, here: Command) -> list[str]:
    """The words of one command that are files of another content."""
    differing = [word for word in here.words if there.sources.get(word) != here.sources.get(word)]
    return [
        f"{name}'s {word} is of source {there.sources.get(word, 'none')[:12]} there and "
        f"{here.sources.get(word, 'none')[:12]} here"
        for word in differing
    ]


def _words(command: Command | None) -> str:
    return "not set" if command is None else repr(str(command))


def _writable(folder: Path) -> bool:
    if not os.access(folder, os.W_OK | os.X_OK):
        return False
    probe = folder / f".scaling-probe-{os.getpid()}"
    try:
        probe.touch()
        probe.unlink()
    except OSError:
        return False
    return True
