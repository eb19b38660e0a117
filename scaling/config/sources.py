"""The source of a module of the user's own: its file, and those of their own modules that it imports. No JAX.

A module counts as the user's own if it is of the named one's top-level package, or stands beside it in the same folder
(unless that is where packages are installed). Files are read and parsed, not run.
"""

import ast
import hashlib
import importlib.util
from collections.abc import Iterator
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

INSTALLED = ("site-packages", "dist-packages")
"""Folders in which neighbours have nothing to do with each other."""
LABORATORY = __name__.partition(".")[0]
"""Never a part of somebody's own source, wherever it lies."""


def source_hash(module: str) -> str:
    """SHA-256 over the names and the content of `sources(module)`."""
    digest = hashlib.sha256()
    for name, path in sorted(sources(module).items()):
        digest.update(f"{name} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


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


def _spec(name: str) -> ModuleSpec | None:
    """Where `name` is; unlike importlib's own, this runs no package on the way."""
    top, *below = name.split(".")
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None
    for part in below:
        if spec is None or spec.submodule_search_locations is None:
            return None
        spec = PathFinder.find_spec(f"{spec.name}.{part}", spec.submodule_search_locations)
    return spec


def _imports(name: str, spec: ModuleSpec) -> Iterator[str]:
    """Every module that a file may import; `from a import b` may mean a.b."""
    if spec.origin is None or not spec.origin.endswith(".py"):
        return
    package = name if spec.submodule_search_locations is not None else name.rpartition(".")[0]
    try:
        parsed = ast.parse(Path(spec.origin).read_bytes())
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
