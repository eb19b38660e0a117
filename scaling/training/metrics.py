"""metrics.jsonl: one line a dispatch, for progress and for the loss curves. Lost lines cost nothing but a curve."""

import json
import os
from pathlib import Path
from types import TracebackType
from typing import Any, Self


class MetricsFile:
    """Appends whole lines. After a kill and a resume some steps appear twice, with equal numbers."""

    def __init__(self, path: Path):
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("ab")
        if self._file.tell() and not _ends_line(path):
            self._file.write(b"\n")

    def write(self, line: dict[str, Any]) -> None:
        self._file.write(json.dumps(line, separators=(",", ":"), allow_nan=False).encode() + b"\n")
        self._file.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._file.close()


def _ends_line(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"
