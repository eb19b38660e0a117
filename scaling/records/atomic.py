"""Files that are there whole or not at all, plain JSON in them, and locks that end with their process."""

import errno
import fcntl
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

SYNCS = 8
"""Files that are made durable at once: a disk takes about as long for eight as for one."""
OPEN = 64
"""Files that are open at once, at most."""


class RecordError(RuntimeError):
    """A record on disk that cannot be read, or that another writer holds. The message names the file."""


def canonical_json(value: Any) -> bytes:
    """Plain data as JSON with sorted keys: equal data gives equal bytes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def pretty_json(value: Any) -> bytes:
    """Plain data as JSON for people."""
    return (json.dumps(value, indent=2, allow_nan=False) + "\n").encode()


def content_hash(value: Any) -> str:
    """SHA-256 of plain data's canonical JSON, in hexadecimal."""
    return hashlib.sha256(canonical_json(value)).hexdigest()


def commit_once(path: Path, content: bytes, *, durable: bool = True) -> bool:
    """Put `content` at `path` whole or not at all, and never over what is there; to stay through a power cut, unless
    `durable` is False.

    Returns:
      True when this call wrote it; False when `path` was already there (and stays as it was).
    """
    with _temporary(path, content) as file:
        if durable:
            os.fsync(file.fileno())
        try:
            os.link(file.name, path)
        except FileExistsError:
            return False
    if durable:
        _sync_folder(path.parent)
    return True


def replace(path: Path, content: bytes) -> None:
    """Put `content` at `path` whole or not at all, over what is there: for indices that can be rebuilt."""
    with _temporary(path, content) as file:
        os.fsync(file.fileno())
        os.replace(file.name, path)
    _sync_folder(path.parent)


def replace_all(files: Mapping[Path, bytes]) -> None:
    """`replace` of several files, as durable, in a fraction of the time."""
    every = list(files.items())
    with ThreadPoolExecutor(SYNCS) as pool:
        for start in range(0, len(every), OPEN):
            with ExitStack() as stack:
                some = [(path, stack.enter_context(_temporary(path, new))) for path, new in every[start : start + OPEN]]
                list(pool.map(os.fsync, [file.fileno() for _, file in some]))
                for path, file in some:
                    os.replace(file.name, path)
    for folder in {path.parent for path in files}:
        _sync_folder(folder)


@contextmanager
def _temporary(path: Path, content: bytes) -> Iterator[Any]:
    """An open file beside `path` that holds `content`; gone afterwards, unless it was renamed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent, delete=False) as file:
        try:
            file.write(content)
            file.flush()
            os.fchmod(file.fileno(), 0o644)
            yield file
        finally:
            Path(file.name).unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def exclusive(path: Path, *, wait: bool, holder: str) -> Iterator[None]:
    """Hold the lock file `path` while the block runs; the lock ends with the process, however it ends.

    Raises:
      RecordError: another process holds it and `wait` is False.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise RecordError(f"{path.parent} is in use by another {holder}; wait for it or end it") from None
        yield


def is_disk_full(error: BaseException) -> bool:
    """Whether an error, or what caused it, says that no space is left."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        if ("RESOURCE_EXHAUSTED" in str(seen) and "space" in str(seen)) or "No space left" in str(seen):
            return True
        seen = seen.__cause__ or seen.__context__
    return False


OUTSIDE = {
    "EIO", "ESTALE", "EREMOTEIO", "ETIMEDOUT", "ENOTCONN", "ECONNRESET", "ECONNABORTED", "EHOSTDOWN", "EHOSTUNREACH",
    "ENETDOWN", "ENETUNREACH", "ENODEV", "ENXIO",
}  # fmt: skip
"""What file servers and devices say when they are gone."""


def is_outside(error: OSError) -> bool:
    """Whether a file server or a device failed, so that another try may do."""
    return errno.errorcode.get(error.errno or 0) in OUTSIDE


def read_json(path: Path) -> Any:
    """A JSON record; RecordError names a file that is damaged."""
    try:
        return json.loads(str(path.read_bytes(), "utf-8"))
    except FileNotFoundError:
        raise RecordError(f"{path} does not exist") from None
    except ValueError as error:
        raise RecordError(f"{path} is damaged ({error}); remove it to have it made again") from None
