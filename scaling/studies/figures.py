"""Figures of the verbs, written whole or not at all."""

import io
from pathlib import Path
from typing import TYPE_CHECKING

from scaling.config import StudyError
from scaling.records import replace

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KINDS = (".png", ".pdf", ".svg")


def checked(path: Path) -> Path:
    """`path`; StudyError where no figure can be written there, before anything is computed."""
    if path.suffix.lower() not in KINDS:
        raise StudyError(f"--plot is {path}; its name ends in {', '.join(KINDS)}")
    if path.is_dir():
        raise StudyError(f"--plot is {path}, a folder; give a file, such as {path / 'law.pdf'}")
    return path


def write(figure: "Figure", path: Path) -> None:
    """`figure` at `path`, in the format that its name says."""
    content = io.BytesIO()
    figure.savefig(content, format=path.suffix[1:].lower())
    replace(path, content.getvalue())
