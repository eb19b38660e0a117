"""Where the rows of a law come from: anybody's table, a raw sweep reduced to its best, or a run directory."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from scaling.config import Study, StudyError, load_study
from scaling.data import load_record
from scaling.laws import LawForm
from scaling.records import RunDirectory, read_json
from scaling.studies import staged, swept, terminal
from scaling.studies.answers import MAIN, settings_of
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
      beyond: of a tuned ladder, what was measured of its runs' tuning, as laws.fit takes it.
    """

    table: Path | pl.DataFrame
    settings: dict[str, Any]
    columns: Mapping[str, str]
    folder: Path | None = None
    cells: Reduced | None = None
    beyond: tuple[float, float] = (0.0, 0.0)

    def asked(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """`settings` of the command line over the study's own."""
        return {**self.settings, **settings, "columns": self.columns}

    def warn_of_tuning(self, what: str) -> None:
        """Say that `what` does not hold the errors of the runs' tuning, where such were measured."""
        if any(self.beyond):
            size = math.hypot(*self.beyond)
            terminal.warn(f"{what} know nothing of the errors of tuning, {size:.2g} of ln L, which were measured here")


def source_of(
    path: Path, columns: Mapping[str, str], sweep: Sweep | None = None, forms: Sequence[LawForm] = ()
) -> Source:
    """The table at `path`: as it is, or reduced by `sweep` for `forms`. A run directory stands for its observations."""
    if not path.is_dir():
        if sweep is None:
            return Source(path, {}, columns)
        cells = reduced(path, sweep, columns, forms)
        return Source(cells.table, {}, cells.columns, cells=cells)
    directory = RunDirectory(path)
    if not directory.observations.is_file():
        raise StudyError(f"{path} has no observations.csv; give the folder of a `scaling run`, or a table")
    study = load_study(directory.study)
    settings = settings_of(study, counter(study, directory))
    several = bool(swept.swept(_fitted(directory)))
    if sweep is not None and not several:
        raise StudyError(
            f"--best-over takes the table of a raw sweep, and {path} is a run directory, whose study trains each N and "
            "D at one setting: leave it out"
        )
    if sweep is not None:
        cells = reduced(directory.observations, sweep, columns, forms)
        return Source(cells.table, settings, cells.columns, directory.laws, cells)
    rows = _of_own_mixture(directory.observations, forms) if study.sweep.mixtures else directory.observations
    if study.tuning is not None:
        rows = _of_a_stage(rows, forms)
    if several and not any(set(swept.SETTINGS) & set(form.columns) for form in forms):
        rows = _best(directory, study, columns)
    return Source(
        _measured(rows, columns), settings, columns, directory.laws, beyond=_beyond(directory, study, columns)
    )


def _beyond(directory: RunDirectory, study: Study, columns: Mapping[str, str]) -> tuple[float, float]:
    """As the law that answers carries it: of the study's own loss alone."""
    law = directory.laws / f"{MAIN}.json"
    if study.tuning is None or not law.is_file() or columns.get("loss", "loss") != "loss":
        return (0.0, 0.0)
    common, row = read_json(law)["details"].get("tuning", {}).get("beyond", (0.0, 0.0))
    return (common, row)


def _fitted(directory: RunDirectory) -> pl.DataFrame:
    return pl.read_csv(directory.observations, infer_schema_length=None).filter(pl.col("role") == "fit")


def _best(directory: RunDirectory, study: Study, columns: Mapping[str, str]) -> pl.DataFrame:
    """The rows that the study's own laws see.

    Raises:
      StudyError: another loss than the study's own is asked for, of which there are no bowls.
    """
    loss = columns.get("loss", "loss")
    if loss != "loss":
        raise StudyError(
            f"--columns loss={loss}: {directory.root} has runs of one N and D at several learning rates or batches; "
            f"add --best-over learning_rate, to take the best of each by {loss}"
        )
    planned = staged.planned(study, load_record(directory.data), counter(study, directory), directory)
    found = swept.rows_of(_fitted(directory), swept.diverged(directory, planned.trajectories))
    for line in found.said:
        terminal.warn(line)
    return found.table


def _of_own_mixture(path: Path, forms: Sequence[LawForm]) -> Path | pl.DataFrame:
    """A run's observations; those at other mixtures than its own only for forms that are a function of shares."""
    if any(name.startswith("share_") for form in forms for name in form.inputs):
        return path
    return pl.read_csv(path, infer_schema_length=None).filter(pl.col("role") != "mixture")


def _of_a_stage(rows: Path | pl.DataFrame, forms: Sequence[LawForm]) -> pl.DataFrame:
    """Of a tuned ladder the bowls for forms that read a raw sweep, else the ladder."""
    table = pl.read_csv(rows, infer_schema_length=None) if isinstance(rows, Path) else rows
    raw = any(set(swept.SETTINGS) & set(form.columns) for form in forms)
    return table.filter(pl.col("role").is_in(["tuning"] if raw else ["fit", "check", "mixture"]))


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
