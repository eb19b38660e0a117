"""The law of a tuned ladder's best settings: fitted to its bowls and committed once, before the ladder is planned.

tuning/<key>/law.json                  the laws of what was swept; <key>: hash of the bowls and how they are fitted
tuning/<key>/bowls.csv                 the runs that they were fitted to
tuning/<key>/predictions-<hash>.json   the settings that they give the study, as committed before its ladder was trained
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from scaling import laws
from scaling.config import Study, StudyError, TuningConfig
from scaling.laws import LawError, LawFit
from scaling.laws.forms import form_named
from scaling.planning import Bowl, Plan, Rate, Tuning
from scaling.records import (
    RecordError,
    RunDirectory,
    commit_once,
    content_hash,
    pretty_json,
    provenance,
    read_json,
)

DIGITS = 4
"""Significant digits of what is read off a law: enough, and the same on every machine."""
COLUMNS = (
    "trajectory", "role", "seed", "params", "tokens", "learning_rate", "batch_size", "loss", "params_convention",
    "flops_convention",
)  # fmt: skip
SPREAD = 0.15
"""Of ln D over the cells, below which a batch size cannot be a function of it."""
LOST = 10.0
"""Stands for the loss of a diverged run, times the highest, until the fit knows that there was none."""


@dataclass(frozen=True)
class TunedLaw:
    """The committed laws of the bowls.

    Attributes:
      laws: swept setting -> its law.
      left_out: cells that they were not fitted to, and why.
    """

    folder: Path
    laws: Mapping[str, LawFit]
    left_out: tuple[str, ...]

    @property
    def key(self) -> str:
        return self.folder.name

    @property
    def run_noise(self) -> float:
        """Standard deviation of ln L of one run, by the bowls."""
        return float(self.laws["learning_rate"].noise["run"])

    def rule(self, params: float, tokens: float) -> Rate:
        """The settings at N and D."""
        found = {name: _rounded(law.loss(params=params, tokens=tokens)) for name, law in self.laws.items()}
        return Rate(found["learning_rate"], found.get("batch_size"))


def rows_of(directory: RunDirectory, bowls: Sequence[Bowl]) -> list[dict[str, Any]] | None:
    """A row a run of `bowls`, its D that of its cell; no loss where it diverged. None while one is left to train."""
    rows = []
    for bowl in bowls:
        for run in bowl.runs:
            records = directory.trajectory(run.trajectory.id)
            loss = None
            if not records.diverged.exists():
                if not records.horizon(run.horizon).exists():
                    return None
                loss = read_json(records.horizon(run.horizon))["observation"]["loss"]
            own = (
                run.trajectory.id,
                "tuning",
                run.trajectory.recipe.seed,
                bowl.params,
                bowl.tokens,
                run.trajectory.recipe.learning_rate,
                run.trajectory.batch_tokens,
                loss,
                run.trajectory.accounting.params,
                run.trajectory.accounting.flops,
            )
            rows.append(dict(zip(COLUMNS, own, strict=True)))
    return rows


def current(study: Study, directory: RunDirectory, tuning: Tuning) -> TunedLaw | None:
    """The law of the bowls as they are; None where one is left to train, or it was not fitted yet.

    Raises:
      RecordError: the record is damaged.
    """
    assert study.tuning is not None
    rows = rows_of(directory, [bowl for bowl in tuning.bowls if not bowl.held])
    return None if rows is None else _read(_folder(study, directory, tuning, rows))


def fitted(study: Study, directory: RunDirectory, tuning: Tuning) -> TunedLaw:
    """The law of the bowls, which are all trained: fitted and committed where that is not done yet.

    Raises:
      StudyError: the bowls do not tell one, with what to sweep instead.
    """
    config = study.tuning
    rows = rows_of(directory, [bowl for bowl in tuning.bowls if not bowl.held])
    assert config is not None
    assert rows is not None
    folder = _folder(study, directory, tuning, rows)
    there = _read(folder)
    if there is not None:
        return there
    alive, dead = _with_a_loss(rows)
    found = {name: _fit(study, config, tuning, name, alive) for name in config.over}
    left_out = dict.fromkeys([*dead, *(line for law in found.values() for line in law.excluded)])
    record = {
        "laws": {name: law.as_json() for name, law in found.items()},
        "left_out": list(left_out),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "provenance": provenance(),
    }
    commit_once(folder / "bowls.csv", pl.DataFrame(rows, infer_schema_length=None).write_csv().encode())
    commit_once(folder / "law.json", pretty_json(record))
    committed = _read(folder)
    assert committed is not None
    return committed


def predicted(law: TunedLaw, planned: Plan) -> list[dict[str, Any]]:
    """What `law` gives each size of the ladder and each held-out cell, with the interval of the best setting there."""
    tuning = planned.tuning
    assert tuning is not None
    sizes = dict.fromkeys((one.model.width, one.params) for one in planned.trajectories)
    asked = [("ladder", width, params, tuning.ratio * params) for width, params in sizes]
    asked += [("held out", bowl.width, bowl.params, bowl.tokens) for bowl in tuning.bowls if bowl.held]
    found = []
    for of, width, params, tokens in asked:
        rate = law.rule(params, tokens)
        given = {"learning_rate": rate.learning_rate, "batch_size": rate.batch_tokens}
        row: dict[str, Any] = {"of": of, "width": width, "params": params, "tokens": tokens}
        for name, fit in law.laws.items():
            between = fit.predict(params=params, tokens=tokens).prediction
            row[name] = {"value": given[name], "low": between.low, "high": between.high, "level": between.level}
        found.append(row)
    return found


def commit_predictions(law: TunedLaw, planned: Plan) -> Path:
    """Write what the law gives the study, once for each ladder."""
    said = predicted(law, planned)
    path = law.folder / f"predictions-{content_hash(said)[:12]}.json"
    commit_once(path, pretty_json(said))
    return path


def _folder(study: Study, directory: RunDirectory, tuning: Tuning, rows: Sequence[Mapping[str, Any]]) -> Path:
    assert study.tuning is not None
    own = sorted(rows, key=lambda row: (row["trajectory"], row["tokens"]))
    how = [study.tuning.over, tuning.inputs, study.laws.resamples, study.laws.level, study.seed, laws.SCHEMA]
    return directory.tuning / content_hash([own, how])[:12]


def _read(folder: Path) -> TunedLaw | None:
    path = folder / "law.json"
    if not path.is_file():
        return None
    record = read_json(path)
    try:
        found = {name: LawFit.from_json(law) for name, law in record["laws"].items()}
        return TunedLaw(folder, found, tuple(record["left_out"]))
    except (KeyError, TypeError, LawError) as error:
        raise RecordError(f"{path} is damaged ({error}); remove it to have it made again") from None


def _with_a_loss(rows: Sequence[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[str]]:
    """(rows of cells of which some run has a loss, a line for each other cell)."""
    cells: dict[Any, list[dict[str, Any]]] = {}
    for row in rows:
        cells.setdefault((row["params"], row["tokens"]), []).append(row)
    alive = {key: any(row["loss"] is not None for row in own) for key, own in cells.items()}
    kept = [row for key, own in cells.items() if alive[key] for row in own]
    dead = [f"cell params {n:.3g}, tokens {d:.3g}: every run diverged" for (n, d), one in alive.items() if not one]
    return kept, dead


def _fit(study: Study, config: TuningConfig, tuning: Tuning, target: str, rows: Sequence[Mapping[str, Any]]) -> LawFit:
    inputs = tuning.inputs
    if target == "batch_size":
        spread = float(np.ptp(np.log([row["tokens"] for row in rows]))) if rows else 0.0
        inputs = ("tokens",) if spread >= SPREAD else ("params",)
    options: dict[str, Any] = {"target": target, "over": config.over, "inputs": inputs}
    settings: dict[str, Any] = {"resamples": study.laws.resamples, "level": study.laws.level, "seed": study.seed}
    try:
        law = laws.fit(_table(rows, form_named("hyperparameters", options)), "hyperparameters", **settings, **options)
    except LawError as error:
        raise StudyError(f"tuning: no law of the {target.replace('_', ' ')}: {error}{_advice(target)}") from error
    ranges = {name: ends for name, ends in law.ranges.items() if np.isfinite(ends).all()}
    law = replace(law, ranges=ranges)
    cells = law.details["cells"]
    used, needed = sum(cell["used"] for cell in cells), len(inputs) + 2
    if used < needed:
        named = "".join(f"\n  {line}" for line in law.excluded)
        raise StudyError(
            f"tuning: {used} of {len(cells)} cells show a best {target.replace('_', ' ')} within what was swept, and a "
            f"law of {' and '.join(inputs)} needs {needed}{_advice(target)}{named}"
        )
    return law


def _advice(target: str) -> str:
    return f"; widen tuning.{target.removesuffix('_size')}_factors, or add to tuning.cells"


def _table(rows: Sequence[Mapping[str, Any]], form: laws.LawForm) -> laws.Table:
    """The rows of a bowl's law. A run of no loss says that its setting was tried, and is not good: its ln L is inf."""
    frame = pl.DataFrame(list(rows), infer_schema_length=None)
    lost = frame["loss"].is_null().to_numpy()
    most = frame["loss"].max() if len(frame) else None
    filled = frame.with_columns(pl.col("loss").fill_null(LOST * float(most or 1.0)))  # type: ignore[arg-type]
    table = laws.read(filled, form=form)
    return replace(table, extra=table.extra | {"loss": np.where(lost, np.inf, table.extra["loss"])})


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")
