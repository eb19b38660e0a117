"""Files as streams of bytes, whatever they are compressed with."""

import bz2
import gzip
import lzma
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from scaling.config import StudyError

SUFFIXES = (".gz", ".bz2", ".xz", ".zst")


def is_compressed(path: str | Path) -> bool:
    """Whether the name says so; an archive is no text, compressed or not."""
    name = str(path).lower()
    return name.endswith(SUFFIXES) and not Path(name).stem.endswith(".tar")


@contextmanager
def opened(path: str | Path) -> Iterator[IO[bytes]]:
    """The content of `path`, decompressed as its suffix says.

    Raises:
      StudyError: it cannot be read, or is cut off, or not what its suffix says.
    """
    suffix = Path(path).suffix.lower() if is_compressed(path) else ""
    broken: tuple[type[Exception], ...] = (EOFError, zlib.error, gzip.BadGzipFile, lzma.LZMAError)
    try:
        if suffix == ".zst":
            zstd = _zstandard(path)
            opener, broken = zstd.open, (*broken, zstd.ZstdError)
        else:
            opener = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}.get(suffix, open)
        with opener(path, "rb") as file:
            yield file
    except broken as error:
        raise StudyError(
            f"data.corpus: {path} is not a whole {_kind(suffix)} file ({error}); compress it again"
        ) from None
    except OSError as error:
        if error.errno is None:  # bz2 says so what is no bz2
            raise StudyError(
                f"data.corpus: {path} is not a whole {_kind(suffix)} file ({error}); compress it again"
            ) from None
        raise StudyError(f"data.corpus: {path} cannot be read: {error.strerror}") from None


def _kind(suffix: str) -> str:
    return {".gz": "gzip", ".zst": "zstandard"}.get(suffix, suffix[1:])


def _zstandard(path: str | Path) -> Any:
    """The module that reads zstandard: the standard library's from Python 3.14 on."""
    try:
        if sys.version_info >= (3, 14):
            from compression import zstd
        else:
            from backports import zstd
    except ImportError:
        raise StudyError(
            f"data.corpus: {path} is zstandard, which takes the extra zst: pip install 'scaling[zst]'"
        ) from None
    return zstd
