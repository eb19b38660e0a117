"""What a tuned ladder's runs lose against the best settings: regret at held-out bowls, and the ladder's corners.

    regret = ln L(one run at the law's settings) - ln L(least of that cell's own bowl)
    corner = ln L(branch of the ladder's trunk) - ln L(a run of its own, at the law's settings for exactly its N and D)

A difference's standard error is that of the bowl's least with the noise of one run, or the noise of two runs; all runs
share the study's seeds, so that it is rather too large. Of several, what enters a law's intervals is their root mean
square, and no less than that of their standard errors: what could not have been seen is not taken for 0.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import polars as pl

from scaling import laws
from scaling.planning import Corner, Run, Tuning
from scaling.records import RunDirectory, read_json
from scaling.studies.tuned_law import TunedLaw, rows_of

CELL = ("params", "tokens")


@dataclass(frozen=True)
class Difference:
    """Of two losses at one N and D.

    Attributes:
      value, se: of ln L; no value where a run that it takes diverged.
      learning_rate: of the run, and `other_rate` where the bowl is least, or of the run of its own.
      counts: whether it enters the intervals; `why` not.
    """

    width: int
    params: int
    tokens: float
    learning_rate: float
    batch_tokens: float
    other_rate: float
    other_batch: float
    value: float | None
    se: float
    counts: bool = True
    why: str = ""


@dataclass(frozen=True)
class Judged:
    """What was measured of a tuned ladder.

    Attributes:
      same: corners whose run of its own is the trunk's own branch, to the last bit.
      bowls: every cell, as laws.best_over gives it.
    """

    regrets: tuple[Difference, ...]
    corners: tuple[Difference, ...]
    same: int = 0

    @property
    def beyond(self) -> tuple[float, float]:
        """Standard deviations of ln L for laws.fit: by the regret once a trajectory, by the corners once a row."""
        return size_of(self.regrets), size_of(self.corners)

    def as_json(self) -> dict[str, Any]:
        return {
            "regret": [asdict(one) for one in self.regrets],
            "corners": [asdict(one) for one in self.corners],
            "corners_that_are_the_trunk": self.same,
            "beyond": list(self.beyond),
        }


def size_of(found: Sequence[Difference]) -> float:
    """The root mean square of what counts, and no less than that of its standard errors."""
    own = [(one.value, one.se) for one in found if one.counts and one.value is not None]
    if not own:
        return 0.0
    squares = (sum(value**2 for value, _ in own), sum(se**2 for _, se in own))
    return math.sqrt(max(squares) / len(own))


def judged(directory: RunDirectory, tuning: Tuning, law: TunedLaw) -> Judged:
    """What the runs beside the ladder say, as far as they are trained.

    Raises:
      LawError: the bowls cannot be read.
    """
    assert tuning.beside is not None
    rows = rows_of(directory, tuning.bowls)
    regrets = [] if rows is None else _regrets(directory, tuning, law, rows)
    same = sum(one.own.key == one.branch.key for one in tuning.beside.corners)
    others = (one for one in tuning.beside.corners if one.own.key != one.branch.key)
    corners = [_corner(directory, one, math.sqrt(2) * law.run_noise) for one in others if _both_ended(directory, one)]
    return Judged(tuple(regrets), tuple(corners), same)


def _both_ended(directory: RunDirectory, corner: Corner) -> bool:
    return _ended(directory, corner.branch) and _ended(directory, corner.own)


def _corner(directory: RunDirectory, corner: Corner, se: float) -> Difference:
    branch, own = (_loss(directory, run) for run in (corner.branch, corner.own))
    known = branch is not None and own is not None
    first, other = corner.branch.trajectory, corner.own.trajectory
    return Difference(
        width=first.model.width,
        params=first.params,
        tokens=corner.branch.horizon.tokens,
        learning_rate=first.recipe.learning_rate,
        batch_tokens=first.batch_tokens,
        other_rate=other.recipe.learning_rate,
        other_batch=other.batch_tokens,
        value=math.log(branch / own) if branch is not None and own is not None else None,
        se=se,
        counts=known,
        why="" if known else "one of the two diverged",
    )


def _regrets(
    directory: RunDirectory, tuning: Tuning, law: TunedLaw, rows: Sequence[dict[str, Any]]
) -> list[Difference]:
    assert tuning.beside is not None
    over = list(law.laws)
    lost = {(row["params"], row["tokens"]) for row in rows} - {
        (row["params"], row["tokens"]) for row in rows if row["loss"] is not None
    }
    alive = pl.DataFrame([row for row in rows if (row["params"], row["tokens"]) not in lost], infer_schema_length=None)
    best = laws.best_over(alive, over, CELL)
    found = []
    for bowl, run in zip((one for one in tuning.bowls if one.held), tuning.beside.regrets, strict=True):
        if not _ended(directory, run):
            continue
        mine = best.filter((pl.col("params") == bowl.params) & ((pl.col("tokens") / bowl.tokens).log().abs() < 1e-6))
        least = mine.row(0, named=True) if len(mine) else None
        loss, rate, batch = _loss(directory, run), run.trajectory.recipe.learning_rate, run.trajectory.batch_tokens
        why = "the run at the law's settings diverged" if loss is None else ""
        if least is None:
            why = "every run of its bowl diverged"
        elif least["at_edge"]:
            why = why or "its bowl is best at an end of what was swept, so its least is not known"
        found.append(
            Difference(
                width=bowl.width,
                params=bowl.params,
                tokens=bowl.tokens,
                learning_rate=rate,
                batch_tokens=batch,
                other_rate=rate if least is None else least["learning_rate"],
                other_batch=batch if least is None else least.get("batch_size") or batch,
                value=None if loss is None or least is None else math.log(loss / least["loss"]),
                se=math.hypot(0.0 if least is None else least["loss_se"] / least["loss"], law.run_noise),
                counts=not why,
                why=why,
            )
        )
    return found


def _ended(directory: RunDirectory, run: Run) -> bool:
    records = directory.trajectory(run.trajectory.id)
    return records.diverged.exists() or records.horizon(run.horizon).exists()


def _loss(directory: RunDirectory, run: Run) -> float | None:
    """Of a committed horizon whose trajectory did not diverge."""
    records = directory.trajectory(run.trajectory.id)
    path = records.horizon(run.horizon)
    if records.diverged.exists() or not path.exists():
        return None
    return float(read_json(path)["observation"]["loss"])
