"""The source of a module of the user's own: its file, and those of their own modules that it imports. No JAX.

A module counts as the user's own if it is of the named one's top-level package, or stands beside it in the same folder
(unless that is where packages are installed). Files are read and parsed, not run.
"""

import ast
import hashlib
import importlib.util
from collections.abc import Iterable, Iterator
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

INSTALLED = ("site-packages", "dist-packages")
"""Folders in which neighbours have nothing to do with each other."""
LABORATORY = __name__.partition(".")[0]
"""Never a part of somebody's own source, wherever it lies."""


def source_hash(module: str) -> str:
    """SHA-256 over the names and the content of `sources(module)`."""
    return _hash_of(sources(module))


def script_hash(path: Path) -> str:
    """SHA-256 of a file; of a Python script over its content and that of what it imports from its own folder."""
    if path.suffix != ".py":
        return _file_hash(path)
    beside = _beside(_imported_by(path, ""), path.parent)
    return _hash_of({"__main__": path, **beside}) if beside else _file_hash(path)


def module_hash(module: str, folder: Path) -> str | None:
    """The same of a module that lies in `folder`, as `python -m` runs it from there; None where it does not."""
    found = _beside([module, f"{module}.__main__"], folder)
    return _hash_of(found) if found else None


def sources(module: str) -> dict[str, Path]:
    """Module -> file, of `module` and of all that it imports from the user's own code, itself or through others.

    Imports inside functions count; those that are made of strings at run time are not seen.
    """
    mine = module.partition(".")[0]
    home, found, left = _folders(mine), {}, [module]
    while left:
        name = left.pop()
        if name in found or not _is_own(name.partition(".")[0], mine, home):
            continue
        spec = _spec(name)
        left += [name.rpartition(".")[0]] if "." in name else []  # importing a module runs its packages first
        if spec is None or not spec.has_location or spec.origin is None:
            continue
        found[name] = Path(spec.origin)
        left += _imports(name, spec)
    return found


def _hash_of(files: dict[str, Path]) -> str:
    digest = hashlib.sha256()
    for name, path in sorted(files.items()):
        digest.update(f"{name} {_file_hash(path)}\n".encode())
    return digest.hexdigest()


def _file_hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _beside(modules: Iterable[str], folder: Path) -> dict[str, Path]:
    """Module -> file, of those of `modules` that lie in `folder`, and of all that they import from there."""
    found: dict[str, Path] = {}
    left = list(modules)
    while left:
        name = left.pop()
        if name in found or name.partition(".")[0] == LABORATORY:
            continue
        left += [name.rpartition(".")[0]] if "." in name else []
        spec = _spec(name, [str(folder.resolve())])
        if spec is not None and spec.has_location and spec.origin is not None:
            found[name] = Path(spec.origin)
            left += _imports(name, spec)
    return found


def _is_own(top: str, mine: str, home: frozenset[Path]) -> bool:
    if top == mine:
        return True
    beside = {folder for folder in home & _folders(top) if folder.name not in INSTALLED}
    return bool(beside) and top != LABORATORY


def _folders(top: str) -> frozenset[Path]:
    """Where a top-level module or package lies."""
    spec = _spec(top)
    if spec is None:
        return frozenset()
    if spec.submodule_search_locations is not None:
        return frozenset(Path(place).resolve().parent for place in spec.submodule_search_locations)
    return frozenset([Path(spec.origin).resolve().parent]) if spec.has_location and spec.origin else frozenset()


def _spec(name: str, folders: list[str] | None = None) -> ModuleSpec | None:
    """Where `name` is, in `folders` or wherever Python looks; this runs no package on the way, unlike importlib's."""
    top, *below = name.split(".")
    try:
        spec = importlib.util.find_spec(top) if folders is None else PathFinder.find_spec(top, folders)
    except (ImportError, ValueError):
        return None
    for part in below:
        if spec is None or spec.submodule_search_locations is None:
            return None
        spec = PathFinder.find_spec(f"{spec.name}.{part}", spec.submodule_search_locations)
    return spec


def _imports(name: str, spec: ModuleSpec) -> Iterator[str]:
    """Every module that a file may import; `from a import b` may mean a.b."""
    if spec.origin is not None and spec.origin.endswith(".py"):
        package = name if spec.submodule_search_locations is not None else name.rpartition(".")[0]
        yield from _imported_by(Path(spec.origin), package)


def _imported_by(path: Path, package: str) -> Iterator[str]:
    try:
        parsed = ast.parse(path.read_bytes())
    except SyntaxError:  # its own hash counts; what it would import cannot be known, nor used
        return
    for node in ast.walk(parsed):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".") if node.level else []
            parts = parts[: len(parts) - node.level + 1] + ([node.module] if node.module else [])
            base = ".".join(parts)
            if base:
                yield base
                yield from (f"{base}.{alias.name}" for alias in node.names)
