"""Streams of tokens on disk: .npy files that are written part by part, and hashed without being in memory."""

import hashlib
import os
import shutil
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from scaling.records import RecordError

HEADER_BYTES = 128
"""Of a one-dimensional .npy, whatever its length."""
BLOCK = 2**22


class Stream:
    """A one-dimensional .npy that grows; whole where its block ends without an error."""

    def __init__(self, path: Path, dtype: np.dtype[Any]):
        self.path, self.dtype, self.length = path, dtype, 0
        self._file = path.open("wb")
        self._file.seek(HEADER_BYTES)

    def append(self, tokens: NDArray[Any]) -> None:
        self._file.write(np.ascontiguousarray(tokens, dtype=self.dtype).data)
        self.length += len(tokens)

    def take(self, part: Path) -> None:
        """Append a raw file of tokens, and delete it."""
        with part.open("rb") as source:
            shutil.copyfileobj(source, self._file, BLOCK)
        self.length += part.stat().st_size // self.dtype.itemsize
        part.unlink()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with self._file:
            if kind is None:
                self._finish()

    def _finish(self) -> None:
        self._file.seek(0)
        header = {"descr": npy.dtype_to_descr(self.dtype), "fortran_order": False, "shape": (self.length,)}
        npy.write_array_header_1_0(self._file, header)
        assert self._file.tell() == HEADER_BYTES
        self._file.flush()
        os.fsync(self._file.fileno())


def fingerprint(*arrays: NDArray[Any]) -> str:
    """SHA-256 of the arrays' types, lengths and little-endian content; memory maps are read as files."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype.name}[{array.size}]".encode())
        if isinstance(array, np.memmap) and array.filename is not None and os.path.exists(array.filename):
            with open(array.filename, "rb") as file:  # pages of a map that is read through would stay in memory
                file.seek(array.offset)
                while block := file.read(BLOCK):
                    digest.update(block)
            continue
        for start in range(0, array.size, BLOCK):
            part = array[start : start + BLOCK]
            little = part.astype(part.dtype.newbyteorder("<"), copy=False)
            digest.update(np.ascontiguousarray(little).data)
    return digest.hexdigest()


def open_array(path: Path, size: int, remedy: str) -> NDArray[Any]:
    """A .npy as a read-only memory map.

    Raises:
      RecordError: it is missing, or has another size than `size`, or is no .npy.
    """
    try:
        found = path.stat().st_size
        if found != size:
            raise RecordError(f"{path} is damaged ({found} bytes, not {size}); {remedy}")
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise RecordError(f"{path} is missing; {remedy}") from None
    except (ValueError, EOFError) as error:
        raise RecordError(f"{path} is damaged ({error}); {remedy}") from None


def write_array(path: Path, array: NDArray[Any]) -> None:
    """`array` as .npy at `path`, whole or not at all, block by block."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with Stream(temporary, array.dtype) as stream:
            for start in range(0, len(array), BLOCK):
                stream.append(array[start : start + BLOCK])
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def place_file(source: Path, path: Path) -> None:
    """`source` at `path`, whole or not at all: a hard link where both are on one disk, else a copy."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        try:
            os.link(source, temporary)
        except OSError:
            shutil.copyfile(source, temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
