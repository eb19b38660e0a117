"""The laws of a study, and what they answer. A law is fitted again only when its data or settings changed."""

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from dataclasses import replace as changed
from pathlib import Path
from typing import Any

import polars as pl

from scaling import laws
from scaling.accounting import Count, counts
from scaling.config import Study
from scaling.laws import Estimate, Interval, LawError, LawFit
from scaling.planning import cost_table
from scaling.records import (
    DomainObservation,
    Observation,
    RunDirectory,
    content_hash,
    position_columns,
    pretty_json,
    replace,
)
from scaling.studies.regret import Judged
from scaling.studies.swept import rows_of
from scaling.studies.tuned_law import TunedLaw

OF_DOMAIN = tuple(DomainObservation.model_fields)
"""What a row says of each domain of a mixture."""
MAIN = "chinchilla"
"""The law that answers and that the check tests."""
FURTHER = 10.0
"""Times the largest budget, where the intervals of a tuned ladder are compared."""
NESTED = {"metrics", "domains", "bits_per_byte_se", "by_position", "sets"}
"""What an observation holds beside numbers, or not always."""


def table_of(rows: Sequence[Observation]) -> pl.DataFrame:
    """Observations as a table, one row each, in their fields' names.

    The user's own metrics are metric_<attribute>, losses by position loss_at_<places>, what was measured on a named
    set <set>.loss and so on, what is known of a mixture's domains share_<domain>, loss_<domain> and so on; a cell is
    empty where it was not measured.
    """
    plain = [row.model_dump(exclude=NESTED) for row in rows]
    more = [_more(row) for row in rows]
    names = {name: None for row in more for name in row}
    columns = [name for name in Observation.model_fields if name not in NESTED]
    filled = [one | {name: other.get(name) for name in names} for one, other in zip(plain, more, strict=True)]
    return pl.DataFrame(filled, schema=[*columns, *names], orient="row", infer_schema_length=None)


def _more(row: Observation) -> dict[str, float | None]:
    """The columns of what a row holds beside numbers, or not always."""
    domains = {f"{what}_{name}": getattr(one, what) for name, one in row.domains.items() for what in OF_DOMAIN}
    found = {f"metric_{name}": row.metrics[name] for name in sorted(row.metrics)} | position_columns(row.by_position)
    sets = {f"{name}.{key}": value for name, score in row.sets.items() for key, value in score.columns.items()}
    errors = {} if row.bits_per_byte_se is None else {"bits_per_byte_se": row.bits_per_byte_se}
    return errors | found | domains | sets


def write_observations(directory: RunDirectory, rows: Sequence[Observation]) -> None:
    """observations.csv: an index of the committed horizons, made anew each time."""
    replace(directory.observations, table_of(rows).write_csv().encode())


def settings_of(study: Study, count: Count = counts) -> dict[str, Any]:
    """How the study's laws are fitted, as arguments of `laws.fit`."""
    return {
        "delta": study.laws.delta,
        "resamples": study.laws.resamples,
        "level": study.laws.level,
        "seed": study.seed,
        "cost": cost_table(study, count),
    }


@dataclass(frozen=True)
class Fitted:
    """The laws of a study.

    Attributes:
      laws: by name; without the one that answers where the rows of a design other than isoflop cannot tell it.
      said: what they were fitted to, where that is not every run.
      problems: a line for each law that the rows cannot fit.
    """

    laws: dict[str, LawFit]
    said: tuple[str, ...]
    problems: tuple[str, ...]


def fit_all(
    study: Study,
    directory: RunDirectory,
    rows: Sequence[Observation],
    count: Count = counts,
    diverged: pl.DataFrame | None = None,
    measured: dict[str, Any] | None = None,
) -> Fitted:
    """Every law of the study, written to laws/<name>.json. `diverged` are runs of no loss, as swept.py has them.

    `measured` is what `tuned` says of a tuned ladder: the law that answers carries it in its intervals and details.

    Raises:
      LawError: the law that answers cannot be fitted to an IsoFLOP design.
    """
    # Without what no law of the study reads: a set that is measured later has nothing fitted again.
    nothing: dict[str, Any] = {"bits_per_byte_se": None, "by_position": (), "sets": {}}
    plain = [row.model_copy(update=nothing) for row in rows if row.role == "fit"]
    seen, shared = rows_of(table_of(plain), diverged), settings_of(study, count)
    wanted: dict[str, tuple[Callable[[], pl.DataFrame], dict[str, Any]]] = {
        MAIN: (lambda: seen.table, {"form": "chinchilla"}),
        "isoflop": (lambda: seen.table, {"form": "isoflop"}),
        "power": (lambda: laws.data_rich_edge(seen.table), {"form": "power", "x": "params", "pin": {"E": 0.0}}),
    }
    fitted, problems = {}, []
    for name, (data, own) in wanted.items():
        path = directory.laws / f"{name}.json"
        try:
            fitted[name] = _fit(path, data(), own | shared, measured if name == MAIN else None)
        except LawError as error:
            if name == MAIN and study.sweep.design == "isoflop":
                raise
            path.unlink(missing_ok=True)
            problems.append(f"law {name} was not fitted: {error}")
    return Fitted(fitted, seen.said, tuple(problems))


def tuned(judged: Judged | None, law: TunedLaw | None) -> dict[str, Any] | None:
    """What the law that answers says of the tuning of its runs; None of a study without."""
    if judged is None or law is None:
        return None
    rate = law.laws["learning_rate"]
    values = ", ".join(f"{name} {value:.4g}" for name, value in rate.params.items())
    return {"law": law.key, "equation": f"{rate.equation}: {values}", "left_out": list(law.left_out)} | judged.as_json()


def _fit(path: Path, table: pl.DataFrame, settings: dict[str, Any], measured: dict[str, Any] | None = None) -> LawFit:
    data = hashlib.sha256(table.write_csv().encode()).hexdigest()
    key = content_hash([data, repr(sorted(settings.items())), laws.SCHEMA, *([] if measured is None else [measured])])
    made_from = path.with_suffix(".made-from")
    if path.exists() and made_from.exists() and made_from.read_text() == key:
        return laws.load(path)
    law = laws.fit(table, **settings)
    if measured is not None:
        law = _carrying(law, table, settings, measured)
    replace(path, pretty_json(law.as_json()))
    replace(made_from, key.encode())
    return law


def _carrying(plain: LawFit, table: pl.DataFrame, settings: dict[str, Any], measured: dict[str, Any]) -> LawFit:
    """`plain` with intervals that hold what was measured of its runs' tuning, and how much wider that made them."""
    beyond = tuple(measured["beyond"])
    law = laws.fit(table, **settings, beyond=beyond) if any(beyond) else plain
    wide, narrow = (_spreads(one, table) for one in (law, plain))
    widened = {name: wide[name] / narrow[name] for name in wide if narrow[name] > 0}
    return changed(law, details=law.details | {"tuning": measured | {"widened": widened}})


def _spreads(law: LawFit, table: pl.DataFrame) -> dict[str, float]:
    """ln of high over low of what the law is asked for: a parameter's own interval may end at a bound."""
    flops = float(table["flops"].to_numpy().max())
    largest = law.predict(params=law.ranges["params"][1], tokens=law.ranges["tokens"][1]).confidence
    further = law.optimum(flops=FURTHER * flops)
    asked: dict[str, Interval | Estimate] = {
        "loss_of_largest": largest,
        "loss_at_10x": further.loss,
        "params_at_10x": further.params,
    }
    return {name: math.log(one.high / one.low) for name, one in asked.items() if 0 < one.low < one.high}
