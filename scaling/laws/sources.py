"""From what people have to a frame of named columns: dataframes, columns, records, CSV, JSON lines, Parquet."""

import csv
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import narwhals as nw
import numpy as np
import polars as pl

from scaling.laws.errors import LawError

OTHER_SEPARATORS = {";": "';'", "\t": "tabs", "|": "'|'"}
WANTED = "give a dataframe, a dict of columns, a list of records or a path"


def frame(source: Any) -> nw.DataFrame[Any]:
    """A narwhals frame of a dataframe, columns, records (dicts, a structured array), or a path to a table.

    A pandas index that has a name is a column. LawError where `source` is no table.
    """
    if isinstance(source, str | Path):
        return _file(Path(source))
    if isinstance(source, np.ndarray) and source.dtype.names:
        source = {name: source[name].tolist() for name in source.dtype.names}
    if isinstance(source, list | tuple) and source and all(isinstance(row, Mapping) for row in source):
        names = dict.fromkeys(name for row in source for name in row)
        source = {name: [row.get(name) for row in source] for name in names}
    if isinstance(source, Mapping):
        return _columns(source)
    if isinstance(source, np.ndarray | list | tuple):
        raise LawError(
            f"a {type(source).__name__} without names is not a table; {WANTED}, such as "
            '{"params": rows[:, 0], "loss": rows[:, 1]}'
        )
    if nw.dependencies.is_pandas_dataframe(nw.to_native(source, pass_through=True)):
        source = _named(nw.to_native(source, pass_through=True))
    try:
        return nw.from_native(source, eager_only=True)
    except (TypeError, ValueError, nw.exceptions.NarwhalsError) as error:
        if callable(getattr(source, "collect", None)):
            raise LawError(f"a {type(source).__name__} holds no rows yet; give its collect()") from error
        raise LawError(f"a {type(source).__name__} is not a table; {WANTED}") from error


def _named(source: Any) -> Any:
    """A pandas frame whose columns have names of their own, the index among them where it has a name."""
    names = list(source.columns)
    for name in names:
        if not isinstance(name, str):
            raise LawError(f"column {name!r} is named by a {type(name).__name__}; names are text")
        if names.count(name) > 1:
            raise LawError(f"the table has two columns {name!r}; rename or remove one")
    index = [name for name in source.index.names if name is not None and name not in names]
    return source.reset_index(level=index) if index else source


def _columns(source: Mapping[Any, Any]) -> nw.DataFrame[Any]:
    columns: dict[str, list[Any]] = {}
    for name, values in source.items():
        if not isinstance(name, str):
            raise LawError(f"column {name!r} is named by a {type(name).__name__}; names are text")
        alone = isinstance(values, str | bytes | Mapping) or not hasattr(values, "__len__")
        if alone or (isinstance(values, np.ndarray) and values.ndim == 0):
            raise LawError(f"column {name!r} is {values!r}, not a list of values, one a row")
        columns[name] = values.tolist() if isinstance(values, np.ndarray) else list(values)
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        raise LawError(f"columns differ in length: {lengths}")
    return nw.from_native(_polars(columns), eager_only=True)


def _polars(columns: Mapping[str, list[Any]]) -> pl.DataFrame:
    """Cells as they are: polars would turn True beside 0.5 into 1, and text beside numbers into nothing."""
    return pl.DataFrame(
        [
            pl.Series(name, values, dtype=pl.Object if _mixed(values) else None, strict=False)
            for name, values in columns.items()
        ]
    )


def _mixed(values: list[Any]) -> bool:
    kinds = {type(value) for value in values} - {type(None)}
    return len(kinds) > 1 and not all(issubclass(kind, int | float | np.number) and kind is not bool for kind in kinds)


def _file(path: Path) -> nw.DataFrame[Any]:
    suffix = path.suffix.lower()
    if not path.is_file():
        raise LawError(f"{path} is not a file")
    if suffix not in READERS:
        raise LawError(f"{path} is none of {', '.join(READERS)}")
    try:
        return nw.from_native(READERS[suffix](path), eager_only=True)
    except (pl.exceptions.PolarsError, UnicodeDecodeError) as error:
        raise LawError(f"{path} cannot be read as {suffix[1:]}: {_line(error)}") from error


def _line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _csv(path: Path) -> pl.DataFrame:
    """With a header whose names are all different; spaces around them do not count."""
    start = path.read_bytes()[:4096]
    if b"\0" in start:
        raise LawError(f"{path} is not UTF-8 text; save it as CSV in UTF-8")
    header = start.decode("utf-8-sig", errors="replace").splitlines()[:1]
    if header and "," not in header[0]:
        for separator, called in OTHER_SEPARATORS.items():
            if separator in header[0]:
                raise LawError(
                    f"{path} is separated by {called}, not by commas; save it with commas and decimal points, or give "
                    f"what pl.read_csv(path, separator={separator!r}) returns"
                )
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as lines:
        names = [name.strip() for name in next(csv.reader(lines), [])]
    for place, name in enumerate(names):
        if name in names[:place]:
            first = names.index(name) + 1
            raise LawError(f"{path} has two columns {name!r}, number {first} and {place + 1}; rename or remove one")
    try:
        found = pl.read_csv(path, infer_schema_length=None)
    except pl.exceptions.ComputeError:
        _refuse_ragged(path, len(names))
        raise
    return found.rename(dict(zip(found.columns, names, strict=True))) if len(names) == found.width else found


def _refuse_ragged(path: Path, width: int) -> None:
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as lines:
        for row, values in enumerate(csv.reader(lines)):
            if len(values) > width:
                raise LawError(
                    f"{path}, row {row} has {len(values)} values under {width} columns; a number with a comma in it is "
                    "written without, or in quotes"
                )


def _json_lines(path: Path) -> pl.DataFrame:
    """Values as they are written: columns of several types, and integers of any size."""
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise LawError(f"{path}, line {number} is no JSON ({error}); write one object a line") from error
        if not isinstance(row, dict):
            raise LawError(f"{path}, line {number} holds a JSON {type(row).__name__}; write one object a line")
        rows.append(row)
    names = dict.fromkeys(name for row in rows for name in row)
    return _polars({name: [row.get(name) for row in rows] for name in names})


READERS: dict[str, Callable[[Path], pl.DataFrame]] = {
    ".csv": _csv,
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
    ".parquet": pl.read_parquet,
}
