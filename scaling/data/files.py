"""The files that data.corpus names, in an order that depends on nothing but their names."""

import difflib
import glob
import os
import sysconfig
from pathlib import Path

from scaling.config import SYNTHETIC, StudyError

STDLIB_FOLDERS_LEFT_OUT = frozenset(
    {"encodings", "test", "tests", "idle_test", "site-packages", "dist-packages", "__pycache__", "lib-dynload"}
)
"""Folders of the standard library that are not its source: tests, what others installed, and the hundred character
tables of `encodings`, which a program wrote and which are nearly one file: a model of them learns all at once, which
bends every law."""
GENERATED = ("_sysconfigdata", "config-")
"""Prefixes of what a build generates: these hold paths of the machine that built Python."""


def files_of(corpus: str) -> tuple[Path, list[Path]]:
    """The folder that names are relative to, and the files, sorted by relative path."""
    if corpus == "stdlib":
        return _stdlib()
    path = Path(corpus).expanduser()
    if path.is_file():
        return path.parent, [path]
    if path.is_dir():
        paths = [file for file in _walk(path) if not _hidden(file.relative_to(path))]
        if not paths:
            raise StudyError(
                f"data.corpus is {corpus!r}, an empty folder: put text files or JSON lines there, or use 'stdlib'"
            )
        return path, _sorted(path, paths)
    if glob.has_magic(corpus):
        matches = glob.glob(str(path), recursive=True)
        paths = [Path(match) for match in matches if os.path.isfile(match)]
        if not paths:
            raise StudyError(
                f"data.corpus is {corpus!r}, a glob that matches no file; "
                "check its folder, and write ** to look into folders below"
            )
        root = Path(os.path.commonpath([file.parent for file in paths]))
        return root, _sorted(root, paths)
    raise StudyError(f"data.corpus is {corpus!r}, which does not exist{_nearest(path, corpus)}")


def _stdlib() -> tuple[Path, list[Path]]:
    root = Path(sysconfig.get_path("stdlib"))
    paths = [
        path
        for path in _walk(root)
        if path.suffix == ".py"
        and not STDLIB_FOLDERS_LEFT_OUT.intersection(path.relative_to(root).parts)
        and not path.relative_to(root).parts[0].startswith(GENERATED)
    ]
    if not paths:
        raise StudyError(
            f"data.corpus is 'stdlib', but this Python has no source files in {root}; "
            "give a file, a folder or a glob of your own text"
        )
    return root, _sorted(root, paths)


def _walk(root: Path) -> list[Path]:
    """Regular files below `root`; links to folders are not followed."""
    files = [Path(folder, name) for folder, _, names in os.walk(root) for name in names]
    return [file for file in files if file.is_file()]


def _sorted(root: Path, paths: list[Path]) -> list[Path]:
    return sorted(paths, key=lambda path: path.relative_to(root).as_posix())


def _hidden(relative: Path) -> bool:
    return any(part.startswith(".") for part in relative.parts)


def _nearest(path: Path, corpus: str) -> str:
    """The nearest name in the deepest folder of `path` that exists, as the end of a message."""
    missing = path
    while not missing.parent.is_dir() and missing.parent != missing:
        missing = missing.parent
    names = sorted(entry.name for entry in missing.parent.iterdir()) if missing.parent.is_dir() else []
    close = difflib.get_close_matches(missing.name, names, n=1, cutoff=0.5)
    built_in = difflib.get_close_matches(corpus, ["stdlib", *SYNTHETIC], n=1, cutoff=0.5)
    if not close and built_in:
        return f"; did you mean {built_in[0]!r}?"
    if close:
        return f"; did you mean {str(missing.parent / close[0])!r}?"
    return "; give a file, a folder, a glob, or 'stdlib'"
