"""Runs of two arms that differ in nothing but the arm, made rows whose noise is independent.

Two runs of one N, D and seed share the order of the data and the draws of the initialisation, so their noise has a
correlation rho. Their (b + a) / sqrt 2 and (b - a) / sqrt 2 are uncorrelated, with variances 1 + rho and 1 - rho in
units of a run's; divided by the roots of these, every row counts alike and least squares is generalised least squares.
No JAX.
"""

from collections import Counter
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from scaling.laws import noise as noises
from scaling.laws.errors import LawError
from scaling.laws.forms import Floats, LawForm
from scaling.laws.table import UNSTATED, Table, frame

SAME = 1e-3
"""Relative difference in N or D up to which two runs count as alike."""
FEWEST = 6
"""Pairs below which their correlation cannot be measured, and runs are taken as they are."""
HALF = np.sqrt(0.5)
SUM, SINGLE, DIFFERENCE = 1, 0, -1
Beyond = tuple[tuple[float, float], tuple[float, float]]
"""Of each arm, standard deviations of ln L, once a trajectory and once a run, of errors that no residual shows."""


@dataclass(frozen=True)
class Rows:
    """Both arms' runs as the rows of one law (arms.py). Arrays of one length.

    Attributes:
      inputs: the base law's inputs, logarithms but for its linear ones.
      on_a, on_b: weights of the two arms' ln L.
      target: on_a ln L_a + on_b ln L_b as measured.
      observed: loss of the run behind the row.
      weight: of the row's term in the objective.
      kind: SUM, SINGLE or DIFFERENCE: the row's variance is 1 + kind rho.
      cluster: number of what shares a trajectory's noise: rows of one kind from one pair of trajectories.
      group: number of what is resampled together: all rows of one trajectory, or of a pair of them.
      arm, trajectory: of the run behind the row: 0 or 1, and the trajectory's number in that arm.
      mate: the row behind which stands the run's partner; -1 where it has none.
      stratum: 0 and 1 where a group has runs of one arm only, 2 where of both.
      labels: the run behind each row.
      pairs: how many pairs of runs there are.
    """

    inputs: dict[str, Floats]
    on_a: Floats
    on_b: Floats
    target: Floats
    observed: Floats
    weight: Floats
    kind: np.ndarray[Any, Any]
    cluster: np.ndarray[Any, Any]
    group: np.ndarray[Any, Any]
    arm: np.ndarray[Any, Any]
    trajectory: np.ndarray[Any, Any]
    mate: np.ndarray[Any, Any]
    stratum: np.ndarray[Any, Any]
    labels: tuple[str, ...]
    pairs: int

    def scale(self, correlation: Any) -> Floats:
        """Standard deviation of each row's noise in units of a run's; (..., rows) for correlations (...)."""
        return np.sqrt(1 + np.asarray(correlation)[..., None] * self.kind)

    def of_runs(self, values: Floats) -> Floats:
        """What a change of each run's ln L, (..., rows), makes of the targets."""
        own, other = (self.on_a, self.on_b), (self.on_b, self.on_a)
        changed = np.where(self.arm == 0, *own) * values
        paired = self.mate >= 0
        changed[..., paired] += (np.where(self.arm == 0, *other) * values[..., self.mate])[..., paired]
        return changed

    def apart(self, beyond: Beyond, count: int, generator: np.random.Generator) -> Floats:
        """(count, rows) errors of the targets that no residual shows."""
        values = np.zeros((count, len(self.target)))
        for arm, (common, row) in enumerate(beyond):
            here = self.arm == arm
            if common or row:
                sizes = np.full(count, common), np.full(count, row)
                values[:, here] = noises.simulate(self.trajectory[here], np.ones(here.sum()), *sizes, generator)
        return self.of_runs(values)


def seeds(source: Any, columns: Mapping[str, str] | None, table: Table) -> list[str] | None:
    """The seed of each row of `table`, as read from `source`; None where it names none."""
    if isinstance(source, Table):
        return None
    given = frame(source)
    name = (columns or {}).get("seed", "seed")
    if name not in given.columns:
        return None
    values = given[name].to_list()
    return [_word(values[int(label.split()[1]) - 1]) for label in table.labels]


def rows_of(
    arms: tuple[Table, Table],
    law: LawForm,
    names: tuple[str, str],
    own_seeds: tuple[list[str] | None, list[str] | None],
    pair: bool = True,
) -> Rows:
    """The rows of both arms: a paired run of arm a becomes the pair's sum, one of arm b its difference."""
    found = matched(arms, own_seeds) if pair else []
    partner = tuple(np.full(table.rows, -1) for table in arms)
    for first, second in found:
        partner[0][first], partner[1][second] = second, first
    logs = [np.log(table.target) for table in arms]
    weights, targets, kinds, families = [], [], [], []
    for arm, mate in enumerate(partner):
        paired = mate >= 0
        own, other = np.where(paired, HALF, 1.0), np.where(paired, (HALF, -HALF)[arm], 0.0)
        weights.append((own, other) if arm == 0 else (other, own))
        targets.append(own * logs[arm] + other * logs[1 - arm][mate])
        kinds.append(np.where(paired, (SUM, DIFFERENCE)[arm], SINGLE))
        mine, theirs = arms[arm].cluster, np.where(paired, arms[1 - arm].cluster[mate], -1)
        families.append(np.stack([mine, theirs] if arm == 0 else [theirs, mine], axis=1))
    kind, family = np.concatenate(kinds), np.concatenate(families)
    both = {name: np.concatenate([table.column(name) for table in arms]) for name in law.inputs}
    return Rows(
        inputs={name: v if name in law.linear_inputs else np.log(v) for name, v in both.items()},
        on_a=np.concatenate([on_a for on_a, _ in weights]),
        on_b=np.concatenate([on_b for _, on_b in weights]),
        target=np.concatenate(targets),
        observed=np.concatenate([table.target for table in arms]),
        weight=np.concatenate([table.weight for table in arms]),
        kind=kind,
        cluster=_numbered(np.column_stack([kind, family])),
        group=_numbered(family),
        arm=np.repeat((0, 1), [table.rows for table in arms]),
        trajectory=np.concatenate([table.cluster for table in arms]),
        mate=np.concatenate([np.where(partner[0] >= 0, partner[0] + arms[0].rows, -1), partner[1]]),
        stratum=np.where(family[:, 1] < 0, 0, np.where(family[:, 0] < 0, 1, 2)),
        labels=tuple(f"{name} {label}" for name, table in zip(names, arms, strict=True) for label in table.labels),
        pairs=len(found),
    )


def matched(arms: tuple[Table, Table], own_seeds: tuple[list[str] | None, list[str] | None]) -> list[tuple[int, int]]:
    """(row of arm a, row of arm b) of one N, D and weight, and of one seed where both arms name seeds.

    Only where each arm has a single such row: among several, nothing says which belong together. None at all where
    there are fewer than FEWEST.
    """
    sizes, data, weights = (_alike(arms, name) for name in ("params", "tokens", "weight"))
    keys: list[list[tuple[Hashable, ...]]] = []
    for arm in (0, 1):
        named = own_seeds[arm] if None not in own_seeds else None
        words = named if named is not None else [""] * arms[arm].rows
        keys.append(list(zip(sizes[arm], data[arm], weights[arm], words, strict=True)))
    counts = [Counter(one) for one in keys]
    place = {key: index for index, key in enumerate(keys[1])}
    found = [
        (index, place[key]) for index, key in enumerate(keys[0]) if counts[0][key] == 1 and counts[1].get(key, 0) == 1
    ]
    return found if len(found) >= FEWEST else []


def same_conventions(arms: tuple[Table, Table], names: tuple[str, str]) -> None:
    """LawError where the arms count parameters or FLOPs in different ways, or are one table."""
    if arms[0].sha256 == arms[1].sha256:
        raise LawError(f"{names[0]} and {names[1]} are the same rows; give each arm its own table")
    for what in ("params", "flops"):
        first, second = (table.conventions[what] for table in arms)
        if first != second and UNSTATED not in (first, second):
            raise LawError(
                f"{names[0]} counts {what} as {first!r} and {names[1]} as {second!r}; a comparison takes one convention"
            )


def _alike(arms: tuple[Table, Table], name: str) -> tuple[list[int], list[int]]:
    """Numbers that are equal where the values of a column are, within SAME."""
    values = np.log(np.concatenate([table.weight if name == "weight" else table.column(name) for table in arms]))
    order = np.argsort(values, kind="stable")
    number = np.empty(len(values), dtype=int)
    number[order] = np.concatenate([[0], np.cumsum(np.diff(values[order]) > SAME)])
    return number[: arms[0].rows].tolist(), number[arms[0].rows :].tolist()


def _word(seed: Any) -> str:
    """A seed as text, the same for 1 and 1.0: a column with a gap is read as floats."""
    return str(int(seed)) if isinstance(seed, float) and seed.is_integer() else str(seed)


def _numbered(keys: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.unique(keys, axis=0, return_inverse=True)[1].ravel()
