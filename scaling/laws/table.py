"""From anybody's table to the rows of a fit: N, D, C and loss as positive numbers, or an error that names the cell."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import narwhals as nw
import numpy as np
import polars as pl

from scaling.laws import costs
from scaling.laws.errors import LawError, nearest
from scaling.laws.forms import Floats, LawForm
from scaling.laws.forms.inputs import symbol

STANDARD = ("params", "tokens", "flops")
NUMBERS = (*STANDARD, "weight", "budget")
LABELS = ("trajectory", "seed", "role", "params_convention", "flops_convention")
LETTERS = {"params": "N", "tokens": "D", "flops": "C", "unique_tokens": "U"}
"""The field's letters, taken where a column of the full name is absent."""
DERIVED = ("tokens_per_param",)
"""Columns that follow from N, D and C where the table has none of their own."""
UNSTATED = "as in the table"
SAME_COST = 0.01
"""Relative difference up to which two costs per token count as one."""

READERS: dict[str, Callable[[Path], pl.DataFrame]] = {
    ".csv": lambda path: pl.read_csv(path, infer_schema_length=None),
    ".jsonl": lambda path: pl.read_ndjson(path, infer_schema_length=None),
    ".ndjson": lambda path: pl.read_ndjson(path, infer_schema_length=None),
    ".parquet": pl.read_parquet,
}


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


def frame(source: Any) -> nw.DataFrame[Any]:
    """A narwhals frame of a dataframe, a mapping of columns, or a path to CSV, JSON lines or Parquet."""
    if isinstance(source, str | Path):
        path = Path(source)
        if not path.is_file():
            raise LawError(f"{path} is not a file")
        if path.suffix not in READERS:
            raise LawError(f"{path} is none of {', '.join(READERS)}")
        try:
            return nw.from_native(READERS[path.suffix](path), eager_only=True)
        except pl.exceptions.PolarsError as error:
            raise LawError(f"{path} cannot be read as {path.suffix[1:]}: {error}") from error
    if isinstance(source, Mapping):
        lengths = {name: len(values) for name, values in source.items()}
        if len(set(lengths.values())) > 1:
            raise LawError(f"columns differ in length: {lengths}")
        return nw.from_native(pl.DataFrame({k: list(v) for k, v in source.items()}, strict=False), eager_only=True)
    try:
        return nw.from_native(source, eager_only=True)
    except TypeError as error:
        raise LawError(
            f"a {type(source).__name__} is not a table; give a dataframe, a dict of columns or a path"
        ) from error


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
    names = _columns(given.columns, columns or {}, numeric)
    if output not in names:
        raise LawError(f"the table has no column {output!r}{nearest(output, given.columns)} {_has(given.columns)}")
    for name in wanted:
        if name not in names and name not in DERIVED:
            near = nearest(name, given.columns)
            raise LawError(f"the table has no column {name!r}, which this form needs{near} {_has(given.columns)}")
    labels = [f"row {index + 1}" for index in range(len(given))]
    keep = np.ones(len(given), dtype=bool)
    excluded: tuple[str, ...] = ()
    if "role" in names:
        keep = np.array([role != "check" for role in given[names["role"]].to_list()], dtype=bool)
        excluded = tuple(f"{labels[index]}: role is check, never fitted" for index in np.flatnonzero(~keep))
    kept = np.flatnonzero(keep).tolist()
    if len(kept) < 2:
        raise LawError(f"the table has {len(kept)} row(s) to fit; a law needs several")
    if error_name not in (columns or {}):
        names.pop(error_name, None)
    if form is not None and form.space == "linear":
        signed.add(output)
    numbers = {name: _numbers(given, names[name], kept, name in signed) for name in numeric if name in names}
    labelled = {name: given[names[name]].to_list() for name in LABELS if name in names}
    words = {name: [values[row] for row in kept] for name, values in labelled.items()}
    empty = np.array([])
    table = Table(
        params=numbers.get("params", empty),
        tokens=numbers.get("tokens", empty),
        flops=numbers.get("flops", empty),
        target=numbers[output],
        weight=numbers.get("weight", np.ones(len(kept))),
        cluster=_clusters(words, len(kept)),
        budget=numbers.get("budget"),
        target_se=numbers.get(error_name),
        extra={name: numbers[name] for name in wanted if name in numbers},
        labels=tuple(labels[row] for row in kept),
        conventions=_conventions(words, kept),
        cost=costs.checked(cost),
        excluded=excluded,
    )
    if np.ptp(table.target) == 0:
        raise LawError(f"column {names[output]!r} is {table.target[0]:g} in every row: nothing can be learnt from it")
    return _without_highest(_hashed(_derived(table, given_cost=cost is not None)), drop_highest_loss)


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


def _columns(present: Sequence[str], mapping: Mapping[str, str], numeric: Sequence[str]) -> dict[str, str]:
    """What each known name is called in the table."""
    known = (*numeric, *LABELS)
    for name, column in mapping.items():
        if name not in known:
            raise LawError(f"columns names {name!r}; it may name {', '.join(known)}{nearest(name, known)}")
        if column not in present:
            raise LawError(f"the table has no column {column!r} for {name}{nearest(column, present)} {_has(present)}")
    found = {name: name for name in known if name in present}
    found |= {name: letter for name, letter in LETTERS.items() if name not in found and letter in present}
    return found | dict(mapping)


def _has(present: Sequence[str]) -> str:
    shown = ", ".join(list(present)[:12]) + (", ..." if len(present) > 12 else "")
    return f"(columns: {shown})"


def _numbers(given: nw.DataFrame[Any], column: str, rows: Sequence[int], signed: bool) -> Floats:
    values = given[column].to_list()
    found = np.empty(len(rows))
    for place, row in enumerate(rows):
        where = f"row {row + 1}, column {column!r}"
        value = values[row]
        if value is None or value == "":
            raise LawError(f"{where} is empty; fill it or leave the row out")
        try:
            number = float(value)
        except (TypeError, ValueError) as error:
            raise LawError(f"{where} is {value!r}, not a number") from error
        if not np.isfinite(number):
            raise LawError(f"{where} is {number}; fill it or leave the row out")
        if number <= 0 and not signed:
            raise LawError(f"{where} is {number:g}; it must be above 0")
        found[place] = number
    return found


def _clusters(words: Mapping[str, list[Any]], rows: int) -> np.ndarray[Any, Any]:
    if "trajectory" not in words:
        return np.arange(rows)
    return np.unique([str(name) for name in words["trajectory"]], return_inverse=True)[1]


def _conventions(words: Mapping[str, list[Any]], rows: Sequence[int]) -> dict[str, str]:
    found = {}
    for name in ("params", "flops"):
        values = words.get(f"{name}_convention", [UNSTATED])
        different = [place for place, value in enumerate(values) if value != values[0]]
        if different:
            raise LawError(
                f"column {name}_convention mixes {values[0]!r} (row {rows[0] + 1}) and {values[different[0]]!r} "
                f"(row {rows[different[0]] + 1}); one fit takes one convention"
            )
        found[name] = str(values[0])
    return found


def _derived(table: Table, given_cost: bool) -> Table:
    """The third of N, D, C from the other two, and the cost per token that the table itself shows."""
    rule = "6 params" if table.cost["rule"] == "6N" else "flops_per_token(params)"
    have = [name for name in ("params", "tokens", "flops") if len(getattr(table, name))]
    if have == ["params", "tokens", "flops"]:
        return table if given_cost else _own_cost(table)
    conventions = dict(table.conventions)
    if have == ["params", "flops"]:
        tokens = table.flops / np.exp(costs.log_flops_per_token(table.cost, np.log(table.params)))
        return replace(table, tokens=tokens, conventions=conventions | {"derived": f"tokens = flops / ({rule})"})
    if have == ["params", "tokens"]:
        flops = table.tokens * np.exp(costs.log_flops_per_token(table.cost, np.log(table.params)))
        return replace(table, flops=flops, conventions=conventions | {"derived": f"flops = tokens x ({rule})"})
    if have == ["tokens", "flops"] and not given_cost:
        params = table.flops / (6 * table.tokens)
        return replace(table, params=params, conventions=conventions | {"derived": "params = flops / (6 tokens)"})
    return table


def _own_cost(table: Table) -> Table:
    """C / D as a function of N where the table's own is another one than 6 N."""
    per_token = table.flops / table.tokens
    if np.all(np.abs(per_token / (6 * table.params) - 1) < SAME_COST):
        return table
    sizes, place = np.unique(table.params, return_inverse=True)
    by_size = np.split(per_token[np.argsort(place, kind="stable")], np.cumsum(np.bincount(place))[:-1])
    medians = np.array([np.median(part) for part in by_size])
    if np.any(np.abs(per_token / medians[place] - 1) > SAME_COST) or np.any(np.diff(medians) <= 0):
        note = "flops / tokens is no function of params in this table; optimum uses 6 params"
        return replace(table, conventions=table.conventions | {"cost": note})
    cost = costs.checked((sizes.tolist(), medians.tolist()))
    return replace(table, cost=cost, conventions=table.conventions | {"cost": "flops / tokens of the table"})


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
