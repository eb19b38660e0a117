"""Parquet: one row, one document; a named column holds its text."""

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scaling.config import DataConfig, StudyError
from scaling.data.units import Content, in_pieces

if TYPE_CHECKING:
    import polars as pl  # elsewhere inside the functions: it takes its time, and most jobs read no table

UNIT_BYTES = 2**23
"""Of a file, compressed as it is: one unit, about."""


@dataclass(frozen=True)
class ParquetRows:
    """Rows start to stop of a file."""

    path: str
    name: str
    """Relative to the corpus."""
    start: int
    stop: int
    size: int

    @property
    def file(self) -> str:
        return self.name

    def contents(self, config: DataConfig) -> Iterator[Content]:
        import polars as pl

        rows = pl.scan_parquet(self.path).select(str(config.text_field)).slice(self.start, self.stop - self.start)
        for row, text in enumerate(_read(self.path, rows).to_series(), start=self.start):
            if text is None:
                raise StudyError(f"data.text_field is {config.text_field!r}, which is empty in {self.path} row {row}")
            yield Content(f"{self.name}:{row}", in_pieces(text.encode("utf-8")))


def is_parquet(path: Path) -> bool:
    """Whether the name says so."""
    return path.suffix.lower() == ".parquet"


def parquet_units(root: Path, path: Path, config: DataConfig) -> Iterator[ParquetRows]:
    """Units of one file.

    Raises:
      StudyError: it is no Parquet, or text_field is not one of its columns of text.
    """
    import polars as pl

    size = path.stat().st_size
    try:
        columns = dict(pl.read_parquet_schema(path))
    except (pl.exceptions.PolarsError, OSError) as error:
        raise StudyError(f"data.corpus: {path} is not a whole Parquet file ({error})") from None
    check_field(str(path), {name: dtype == pl.String for name, dtype in columns.items()}, config)
    rows = int(_read(str(path), pl.scan_parquet(path).select(pl.len())).item())
    step = max(1, rows * UNIT_BYTES // max(size, 1))
    name = path.relative_to(root).as_posix()
    for start in range(0, rows, step):
        stop = min(start + step, rows)
        yield ParquetRows(str(path), name, start, stop, size * (stop - start) // rows)


def check_field(where: str, columns: Mapping[str, bool], config: DataConfig) -> None:
    """StudyError unless text_field is one of the columns, and one of text. `columns`: name -> whether it is text."""
    texts = [name for name, is_text in columns.items() if is_text]
    have = f"; columns with text there: {', '.join(texts)}" if texts else "; no column there holds text"
    if config.text_field is None:
        raise StudyError(f"data.text_field is not given, but {where} is a table; name the column of the text{have}")
    if config.text_field not in columns:
        close = difflib.get_close_matches(config.text_field, list(columns), n=1, cutoff=0.5)
        hint = f"; did you mean {close[0]!r}?" if close else have
        raise StudyError(f"data.text_field is {config.text_field!r}, which {where} does not have{hint}")
    if not columns[config.text_field]:
        raise StudyError(f"data.text_field is {config.text_field!r}, which in {where} is not text{have}")


def _read(path: str, rows: "pl.LazyFrame") -> Any:
    import polars as pl

    try:
        return rows.collect()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise StudyError(f"data.corpus: {path} is not a whole Parquet file ({error})") from None
