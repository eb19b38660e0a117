"""From anybody's table to the rows of a fit: N, D, C and loss as positive numbers, or an error that names the cell."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from scaling.laws import copies, costs, units
from scaling.laws.columns import AT_EDGE, LABELS, UNSTATED, at_edge, clusters, conventions, listed, named
from scaling.laws.deriving import derived
from scaling.laws.errors import LawError, nearest
from scaling.laws.forms import Floats, LawForm
from scaling.laws.forms.inputs import symbol
from scaling.laws.numerals import numbers as numbers_of
from scaling.laws.sources import frame
from scaling.laws.values import Diagnostic

__all__ = ["STANDARD", "UNSTATED", "Table", "data_rich_edge", "frame", "read"]

STANDARD = ("params", "tokens", "flops")
NUMBERS = (*STANDARD, "weight", "budget")
DERIVED = ("tokens_per_param",)
"""Columns that follow from N, D and C where the table has none of their own."""


@dataclass(frozen=True)
class Table:
    """Rows ready to fit. Arrays of one length.

    Attributes:
      params, tokens, flops: N, D, C; those that could not be had are empty.
      target: what the form predicts: the loss, unless the form says otherwise.
      weight: multiplies a row's term of the objective; 1 unless the table has a column.
      cluster: number of the trajectory that a row comes from; each row its own where the table names none.
      budget: nominal compute, or None.
      target_se: standard error of each target by evaluation, or None.
      extra: any other column that the form reads.
      labels: how errors and `excluded` name each row.
      conventions: params, flops, and how a missing input was derived.
      cost: C per token as a function of N, as `costs.checked` returns it.
      excluded: rows left out, one line each.
      sha256: of the numbers and clusters above.
      findings: what is odd about the table, as diagnostics of whatever is fitted to it.
    """

    params: Floats
    tokens: Floats
    flops: Floats
    target: Floats
    weight: Floats
    cluster: np.ndarray[Any, Any]
    budget: Floats | None
    target_se: Floats | None
    extra: dict[str, Floats]
    labels: tuple[str, ...]
    conventions: dict[str, str]
    cost: dict[str, Any]
    excluded: tuple[str, ...]
    sha256: str = ""
    findings: tuple[Diagnostic, ...] = ()

    @property
    def rows(self) -> int:
        return len(self.target)

    def column(self, name: str) -> Floats:
        """The values of one column; LawError where the table has none and none can be derived."""
        if name == "tokens_per_param" and name not in self.extra:
            return self.column("tokens") / self.column("params")
        values: Floats = getattr(self, name) if name in STANDARD else self.extra.get(name, np.array([]))
        if len(values) == 0:
            raise LawError(
                f"the table has no {name} ({symbol(name)}), and it cannot be derived: give two of params, tokens and "
                f'flops, as columns={{"{name}": "the column\'s name"}}'
            )
        return values

    def inputs(self, names: Sequence[str]) -> dict[str, Floats]:
        """The named inputs; LawError where one is absent or the same in every row."""
        found = {name: self.column(name) for name in names}
        for name, values in found.items():
            if np.ptp(values) <= 1e-9 * abs(values[0]):
                raise LawError(f"column {name} is {values[0]:g} in every row: nothing can be learnt about it")
        return found

    def ranges(self) -> dict[str, tuple[float, float]]:
        """(lowest, highest) of each input."""
        have = {name: getattr(self, name) for name in STANDARD if len(getattr(self, name))} | self.extra
        if len(self.params) and len(self.tokens):
            have["tokens_per_param"] = self.column("tokens_per_param")
        return {name: (float(values.min()), float(values.max())) for name, values in have.items()}

    def only(self, keep: np.ndarray[Any, Any], reason: str) -> "Table":
        """The rows where `keep`; the others are listed with `reason`."""
        picked: dict[str, Any] = {name: getattr(self, name) for name in ("target", "weight", "cluster")}
        picked |= {name: getattr(self, name) for name in (*STANDARD, "budget", "target_se")}
        picked = {name: v[keep] if v is not None and len(v) else v for name, v in picked.items()}
        picked["extra"] = {name: values[keep] for name, values in self.extra.items()}
        left = tuple(f"{self.labels[index]}: {reason}" for index in np.flatnonzero(~keep))
        labels = tuple(self.labels[index] for index in np.flatnonzero(keep))
        return _hashed(replace(self, **picked, labels=labels, excluded=self.excluded + left))


def read(
    source: Any,
    columns: Mapping[str, str] | None = None,
    cost: costs.Cost | None = None,
    drop_highest_loss: int = 0,
    form: LawForm | None = None,
) -> Table:
    """The rows of `source` that `form` (the loss in N and D when None) reads, without those of role `check`.

    `columns` maps params, tokens, ... to the table's names. A standard error of the loss counts only where `columns`
    names it (`loss_se`): losses measured on one held-out set share most of it.
    """
    if isinstance(source, Table):
        return _without_highest(source, drop_highest_loss)
    output = "loss" if form is None else form.output
    if drop_highest_loss and output != "loss":
        raise LawError(
            f"drop_highest_loss is {drop_highest_loss}, but this form predicts {output}, not a loss; leave it out"
        )
    wanted = () if form is None else tuple(name for name in form.columns if name not in STANDARD)
    signed = set() if form is None else set(form.linear_inputs)
    given = frame(source)
    error_name = f"{output}_se"
    numeric = list(dict.fromkeys((*NUMBERS, output, error_name, *wanted)))
    names = named(given.columns, columns or {}, numeric)
    if output not in names:
        raise LawError(f"the table has no column {output!r}{nearest(output, given.columns)} {listed(given.columns)}")
    for name in wanted:
        if name not in names and name not in DERIVED:
            near = nearest(name, given.columns)
            raise LawError(f"the table has no column {name!r}, which this form needs{near} {listed(given.columns)}")
    labels = [f"row {index + 1}" for index in range(len(given))]
    keep = np.ones(len(given), dtype=bool)
    excluded: tuple[str, ...] = ()
    if "role" in names:
        keep = np.array([role != "check" for role in given[names["role"]].to_list()], dtype=bool)
        excluded = tuple(f"{labels[index]}: role is check, never fitted" for index in np.flatnonzero(~keep))
    kept = np.flatnonzero(keep).tolist()
    if len(kept) < 2:
        checks = f" beside {len(excluded)} of role check" if excluded else ""
        raise LawError(f"the table has {len(kept)} row(s) to fit{checks}; a law needs several")
    if error_name not in (columns or {}):
        names.pop(error_name, None)
    truths = set(signed)
    if form is not None and form.space == "linear":
        signed.add(output)
    numbers = {
        name: numbers_of(given, names[name], kept, name in signed, name in truths) for name in numeric if name in names
    }
    labelled = {name: given[names[name]].to_list() for name in LABELS if name in names}
    words = {name: [values[row] for row in kept] for name, values in labelled.items()}
    empty = np.array([])
    table = Table(
        params=numbers.get("params", empty),
        tokens=numbers.get("tokens", empty),
        flops=numbers.get("flops", empty),
        target=numbers[output],
        weight=numbers.get("weight", np.ones(len(kept))),
        cluster=clusters(words, [labels[row] for row in kept]),
        budget=numbers.get("budget"),
        target_se=numbers.get(error_name),
        extra={name: numbers[name] for name in wanted if name in numbers},
        labels=tuple(labels[row] for row in kept),
        conventions=conventions(words, kept),
        cost=costs.checked(cost),
        excluded=excluded,
    )
    if np.ptp(table.target) == 0:
        raise LawError(f"column {names[output]!r} is {table.target[0]:g} in every row: nothing can be learnt from it")
    table = derived(table, given_cost=cost is not None)
    others = [given[name].to_list() for name in given.columns if name not in names.values()]
    found = copies.checked(numbers, words, [[one[row] for row in kept] for one in others], table.labels, output)
    found += units.checked(table, {name: names[name] for name in STANDARD if name in names}, output)
    if AT_EDGE in given.columns:
        edges = given[AT_EDGE].to_list()
        found += at_edge([edges[row] for row in kept], table.labels)
    return _without_highest(_hashed(replace(table, findings=tuple(found))), drop_highest_loss)


def data_rich_edge(source: Any, columns: Mapping[str, str] | None = None) -> Any:
    """For each N, the rows with the most tokens per parameter: a dataframe like `source`'s, rows picked.

    Seeds that share N and D stay together. `fit(data_rich_edge(table), form="power", pin={"E": 0})` is then the
    L = C / N^alpha of models trained on as much data as the study has for them.
    """
    given = frame(source)
    table = read(source, columns)
    table.inputs(("params", "tokens"))
    best: dict[float, float] = {}
    for size, tokens in zip(table.params, table.tokens, strict=True):
        best[size] = max(best.get(size, 0.0), tokens)
    rows = [int(label.split()[1]) - 1 for label in table.labels]
    pairs = zip(rows, table.params, table.tokens, strict=True)
    return given[[row for row, size, tokens in pairs if tokens >= best[size] * (1 - 1e-3)]].to_native()


def _without_highest(table: Table, count: int) -> Table:
    if count == 0:
        return table
    if not 0 < count < table.rows - 1:
        raise LawError(f"drop_highest_loss is {count}; the table has {table.rows} rows")
    worst = np.argsort(table.target, kind="stable")[-count:]
    keep = np.ones(table.rows, dtype=bool)
    keep[worst] = False
    return table.only(keep, f"among the {count} highest losses")


def _hashed(table: Table) -> Table:
    digest = hashlib.sha256()
    hashed = {name: getattr(table, name) for name in (*STANDARD, "target", "weight", "cluster")}
    if table.target_se is not None:
        hashed["target_se"] = table.target_se
    for name, values in (hashed | dict(sorted(table.extra.items()))).items():
        digest.update(name.encode() + np.asarray(values, dtype="<f8").tobytes())
    return replace(table, sha256=digest.hexdigest())
