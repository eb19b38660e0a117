"""Corpora: the documents that a DataConfig names, in an order that depends on nothing but their names.

A document is one text file, or one record of JSON lines. A corpus of a single text file is cut into sections, at
line ends where there are any, so that something can be held out. Every refusal is a StudyError that names the
field, its value and the fix.
"""

import difflib
import glob
import hashlib
import os
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from scaling.config import SYNTHETIC, DataConfig, Own, StudyError
from scaling.data.json_lines import is_json_lines, read_json_lines
from scaling.data.own_corpus import own_documents
from scaling.data.synthetic import synthetic_documents

STDLIB_FOLDERS_LEFT_OUT = frozenset(
    {"encodings", "test", "tests", "idle_test", "site-packages", "dist-packages", "__pycache__", "lib-dynload"}
)
"""Folders of the standard library that are not its source: tests, what others installed, and the hundred character
tables of `encodings`, which a program wrote and which are nearly one file: a model of them learns all at once, which
bends every law."""
GENERATED = ("_sysconfigdata", "config-")
"""Prefixes of what a build generates: these hold paths of the machine that built Python."""
SECTION_CHARACTERS = 16_384
"""A corpus of one single file is cut at the first line end after this many characters, or after twice as many."""
SECTIONS = 64
"""A shorter file is cut into about this many, so that some can be held out."""


@dataclass(frozen=True)
class Document:
    """One text and where it came from."""

    name: str
    """Path relative to the corpus, and the line for JSON lines."""
    text: str


@dataclass(frozen=True)
class Corpus:
    """Documents in order, each content once."""

    documents: tuple[Document, ...]
    duplicates: int
    """Documents dropped because an earlier one has the same text."""
    empty: int
    """Documents dropped because they have no text."""
    skipped: tuple[str, ...]
    """What is not UTF-8 and was skipped under data.bad_encoding."""


def read_corpus(config: DataConfig) -> Corpus:
    """The documents of `config.corpus`, sorted by relative path, deduplicated by content; one's own as it yields them.

    Raises:
      StudyError: nothing is there, nothing in it is text, or a file or record cannot be read as told.
    """
    if isinstance(config.corpus, Own):
        return _own(config, config.corpus)
    if config.corpus in SYNTHETIC:
        # every draw is kept, equal ones too: without them the text would not be the source's
        drawn = enumerate(synthetic_documents(config.corpus, config.synthetic))
        return Corpus(tuple(Document(f"{config.corpus}:{number}", text) for number, text in drawn), 0, 0, ())
    root, paths = _files(config.corpus)
    if config.text_field is not None and not any(is_json_lines(path) for path in paths):
        raise StudyError(
            f"data.text_field is {config.text_field!r}, but data.corpus {config.corpus!r} has no JSON lines "
            "(.jsonl or .jsonl.gz); leave text_field out"
        )
    found: list[Document] = []
    skipped: list[str] = []
    for path in paths:
        name = path.relative_to(root).as_posix()
        if is_json_lines(path):
            records, bad = read_json_lines(path, config)
            found += [Document(f"{name}:{line}", text) for line, text in records]
            skipped += [f"{name}:{line}" if line else name for line in bad]
            continue
        text = _read_text(path, config)
        if text is None:
            skipped.append(name)
        else:
            found.append(Document(name, text))
    with_text = [document for document in found if document.text]
    if len(with_text) == 1 and not any(is_json_lines(path) for path in paths):
        found = _sections(with_text[0])
    documents, duplicates, empty = _distinct(found)
    if not documents:
        reason = f"{len(skipped)} are not UTF-8, the others are empty" if skipped else "all are empty"
        raise StudyError(f"data.corpus is {config.corpus!r}, without any text: of {len(paths)} files {reason}")
    return Corpus(documents, duplicates, empty, tuple(skipped))


def _own(config: DataConfig, part: Own) -> Corpus:
    if config.text_field is not None:
        raise StudyError(
            f"data.text_field is {config.text_field!r}, but data.corpus {part!r} yields texts; leave text_field out"
        )
    found = [Document(name, text) for name, text in own_documents(part)]
    documents, duplicates, empty = _distinct(found)
    if not documents:
        raise StudyError(f"data.corpus is {part!r}, which yields {len(found)} documents, none of them with text")
    return Corpus(documents, duplicates, empty, ())


def _files(corpus: str) -> tuple[Path, list[Path]]:
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


def _read_text(path: Path, config: DataConfig) -> str | None:
    """A text file's content; None when it is not UTF-8 and such files are skipped."""
    try:
        return path.read_bytes().decode("utf-8")
    except OSError as error:
        raise StudyError(f"data.corpus: {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        if config.bad_encoding == "skip":
            return None
        raise StudyError(
            f"data.corpus: {path} is not UTF-8 (byte {error.start}); convert it, "
            "or set data.bad_encoding to 'skip' to leave such files out"
        ) from None


def _sections(document: Document) -> list[Document]:
    """A document cut into sections, so that whole ones can be held out; joined they give it back."""
    size = max(1, min(SECTION_CHARACTERS, len(document.text) // SECTIONS))
    sections: list[str] = []
    start = 0
    while start < len(document.text):
        line_end = document.text.find("\n", start + size - 1, start + 2 * size)
        end = line_end + 1 if line_end >= 0 else start + 2 * size
        sections.append(document.text[start:end])
        start = end
    return [Document(f"{document.name}#{number}", text) for number, text in enumerate(sections)]


def _distinct(documents: list[Document]) -> tuple[tuple[Document, ...], int, int]:
    """Documents with text, the first of each content; and how many were dropped as equal, and as empty."""
    seen: set[bytes] = set()
    kept: list[Document] = []
    empty = 0
    for document in documents:
        if not document.text:
            empty += 1
            continue
        digest = hashlib.sha256(document.text.encode("utf-8")).digest()
        if digest not in seen:
            seen.add(digest)
            kept.append(document)
    return tuple(kept), len(documents) - len(kept) - empty, empty
