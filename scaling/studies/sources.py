"""Where the rows of a law come from: anybody's table, a raw sweep reduced to its best, or a run directory."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from scaling.config import StudyError, load_study
from scaling.laws import LawForm
from scaling.records import RunDirectory
from scaling.studies import terminal
from scaling.studies.answers import settings_of
from scaling.studies.own_parts import counter
from scaling.studies.reduction import Reduced, Sweep, reduced


@dataclass(frozen=True)
class Source:
    """What a verb of the law engine reads.

    Attributes:
      table: a file, or the cells of a sweep.
      settings: of the study, for a run directory; else nothing.
      columns: where the table's names differ.
      folder: for its laws, for a run directory.
      cells: of the sweep that was reduced to `table`, where one was.
    """

    table: Path | pl.DataFrame
    settings: dict[str, Any]
    columns: Mapping[str, str]
    folder: Path | None = None
    cells: Reduced | None = None

    def asked(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """`settings` of the command line over the study's own."""
        return {**self.settings, **settings, "columns": self.columns}


def source_of(
    path: Path, columns: Mapping[str, str], sweep: Sweep | None = None, forms: Sequence[LawForm] = ()
) -> Source:
    """The table at `path`: as it is, or reduced by `sweep` for `forms`. A run directory stands for its observations."""
    if not path.is_dir():
        if sweep is None:
            return Source(path, {}, columns)
        cells = reduced(path, sweep, columns, forms)
        return Source(cells.table, {}, cells.columns, cells=cells)
    if sweep is not None:
        raise StudyError(
            f"--best-over takes the table of a raw sweep, and {path} is a run directory, whose study trains each N and "
            "D at one setting: leave it out"
        )
    directory = RunDirectory(path)
    if not directory.observations.is_file():
        raise StudyError(f"{path} has no observations.csv; give the folder of a `scaling run`, or a table")
    study = load_study(directory.study)
    settings = settings_of(study, counter(study, directory))
    rows = _of_own_mixture(directory.observations, forms) if study.sweep.mixtures else directory.observations
    return Source(_measured(rows, columns), settings, columns, directory.laws)


def _of_own_mixture(path: Path, forms: Sequence[LawForm]) -> Path | pl.DataFrame:
    """A run's observations; those at other mixtures than its own only for forms that are a function of shares."""
    if any(name.startswith("share_") for form in forms for name in form.inputs):
        return path
    return pl.read_csv(path, infer_schema_length=None).filter(pl.col("role") != "mixture")


def _measured(observations: Path | pl.DataFrame, columns: Mapping[str, str]) -> Path | pl.DataFrame:
    """The observations, without horizons that were not measured on the sets whose columns are asked for."""
    named = [column for column in columns.values() if "." in column]
    if not named:
        return observations
    table = observations
    if isinstance(table, Path):
        table = pl.read_csv(table, infer_schema_length=None)
    there = [column for column in named if column in table.columns]
    left = table.drop_nulls(there)
    if len(left) == len(table) or not len(left):
        return observations
    terminal.warn(f"{len(table) - len(left)} of {len(table)} rows have no {' or '.join(there)} and are left out")
    return left
