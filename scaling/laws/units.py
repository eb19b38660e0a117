"""Units that cannot be right: counts below one, N, D and C that contradict each other, losses that are none.

A law in N, D and C = 6 N D holds for counts. What no run can have is an error that names the cell and the unit it may
be in; what few have is a warning. A law in one input is free of units, and is not looked at.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from scaling.laws import costs
from scaling.laws.errors import LawError
from scaling.laws.forms import Floats
from scaling.laws.numerals import written
from scaling.laws.values import Diagnostic, number

if TYPE_CHECKING:
    from scaling.laws.table import Table

PREFIXES = {1.0: "", 1e6: "millions", 1e9: "billions", 1e12: "trillions"}
WORK = {1.0: "", 1e9: "GFLOP", 1e12: "TFLOP", 1e15: "PFLOP", 1e18: "EFLOP", 8.64e19: "PFLOP/s-days", 1e21: "ZFLOP"}
LEAST_RATIO, MOST_RATIO = 1e-7, 1e8
"""D / N of no run: a few examples on a billion parameters, a hundred billion tokens on a thousand."""
FEW_RATIO, MANY_RATIO = 1e-3, 1e6
"""D / N of few runs."""
FAR_RATIO = 1e6
"""Times the table's median that D / N lies off in no study."""
IMPOSSIBLE_COST, ODD_COST = 1e5, 30.0
"""Times 6 N D that C is off in no run (the sparsest experts reach 1e4), and in few."""
FEW_PARAMS, FEW_TOKENS = 1e3, 1e4
"""The largest N and D of few studies."""
HIGHEST_LOSS = 30.0
"""Above ln of any vocabulary: what guessing costs."""
USUAL = {"params": (1e3, 1e14), "tokens": (1e5, 1e17), "ratio": (0.1, 1e5), "cost": (1 / ODD_COST, ODD_COST)}


@dataclass(frozen=True)
class _Counts:
    """N, D and C of the rows, and how far C is from N's and D's."""

    params: Floats
    tokens: Floats
    flops: Floats
    ratio: Floats
    off: Floats


def checked(table: "Table", given: Mapping[str, str], output: str) -> list[Diagnostic]:
    """Warnings about units that few tables have. LawError that names the cell where they cannot be right.

    `given`: which of params, tokens and flops the table itself has -> what its columns are called.
    """
    found = _of_loss(table, output)
    if len(given) < 2 or not all(len(getattr(table, name)) for name in ("params", "tokens", "flops")):
        return found
    counts = _counts(table)
    for wrong, reason in _impossible(counts, given):
        if wrong.any():
            raise LawError(_cell(table, counts, given, wrong, reason))
    return found + _odd(table, counts, given)


def _counts(table: "Table") -> _Counts:
    rule = np.exp(costs.log_flops_per_token(costs.checked(None), np.log(table.params)))
    off = table.flops / (rule * table.tokens)
    return _Counts(table.params, table.tokens, table.flops, table.tokens / table.params, off)


def _impossible(counts: _Counts, given: Mapping[str, str]) -> list[tuple[np.ndarray, str]]:
    """(which rows, why), the surest first."""
    found = []
    for name, values in (("params", counts.params), ("tokens", counts.tokens)):
        follows = "" if name in given else f", which makes {{{name}}} {name}"
        found.append((values < 1, f"{name} cannot be fewer than one{follows}"))
    middle = np.median(counts.ratio)
    if len(given) == 3:
        cost = np.abs(np.log(counts.off)) > np.log(IMPOSSIBLE_COST)
        found.append((cost, "flops are {off} times 6 params tokens"))
        # Where all three agree their units do: a toy law may have any ratio.
        if np.all(np.abs(np.log(counts.off)) < np.log(ODD_COST)):
            return found
    found.append((counts.ratio < LEAST_RATIO, "{ratio} tokens for each parameter are too few for any run"))
    found.append((counts.ratio > MOST_RATIO, "{ratio} tokens for each parameter are too many for any run"))
    far = np.abs(np.log(counts.ratio / middle)) > np.log(FAR_RATIO)
    found.append((far, f"{{ratio}} tokens for each parameter, where the median of the table is {number(middle)}"))
    return found


def _cell(table: "Table", counts: _Counts, given: Mapping[str, str], wrong: np.ndarray, reason: str) -> str:
    row = int(np.argmax(wrong))
    own = {name: number(float(getattr(counts, name)[row])) for name in ("params", "tokens", "ratio", "off")}
    scales, everywhere = _scales(counts, row, given)
    named = [name for name, scale in scales.items() if scale != 1]
    cells = " and ".join(
        f"column {given[name]!r} is {number(float(getattr(counts, name)[row]))}" for name in named or given
    )
    parts = [
        f"{given[name]!r} in {(WORK if name == 'flops' else PREFIXES)[scales[name]]} (multiply by "
        f"{written(scales[name])})"
        for name in named
    ]
    there = "" if everywhere else ", in this row alone"
    advice = f"is {' and '.join(parts)}{there}?" if parts else "look for a unit or a digit gone wrong"
    return f"{table.labels[row]}, {cells}: {reason.format(**own)}; {advice}"


def _scales(counts: _Counts, row: int, given: Mapping[str, str]) -> tuple[dict[str, float], bool]:
    """(column -> what to multiply it by for usual runs, whether that is right for all rows).

    Right for all rows first, then the fewest columns, then C nearest to 6 N D, D to 20 N and N to 1e9.
    """
    best: tuple[tuple[float, ...], dict[str, float]] = ((np.inf,), {})
    for units in product(*(WORK if name == "flops" else PREFIXES for name in given)):
        scale = dict(zip(given, units, strict=True))
        n, d, c = (getattr(counts, name) * scale.get(name, 1.0) for name in ("params", "tokens", "flops"))
        n, d, c = (
            c / (6 * d) if "params" not in given else n,
            c / (6 * n) if "tokens" not in given else d,
            6 * n * d if "flops" not in given else c,
        )
        kinds = {"params": n, "tokens": d, "ratio": d / n, "cost": c / (6 * n * d)}
        usual = np.all([(low <= kinds[name]) & (kinds[name] <= high) for name, (low, high) in USUAL.items()], axis=0)
        # One row that is off in two columns at once is a wrong number, not a unit.
        if usual[row] and (usual.all() or sum(unit != 1 for unit in units) == 1):
            away = abs(float(np.log(kinds["cost"][row]))), abs(float(np.log(d[row] / n[row] / 20)))
            rank = (
                float(not usual.all()),
                float(sum(unit != 1 for unit in units)),
                *np.round(away, 6),
                abs(float(np.log(n[row] / 1e9))),
            )
            best = min(best, (rank, scale), key=lambda item: item[0])
    return best[1], best[0][0] == 0


def _of_loss(table: "Table", output: str) -> list[Diagnostic]:
    if output != "loss" or not np.any(table.target > HIGHEST_LOSS):
        return []
    row = int(np.argmax(table.target))
    message = (
        f"the loss of {table.labels[row]} is {number(table.target[row])}, above the logarithm of any vocabulary: if "
        "this is a perplexity take its logarithm, if it diverged leave it out"
    )
    return [Diagnostic("loss_too_high", float(table.target[row]), message)]


def _odd(table: "Table", counts: _Counts, given: Mapping[str, str]) -> list[Diagnostic]:
    """At most one warning: what is odd about one count shows in the others too."""
    off = np.abs(np.log(counts.off))
    row = int(np.argmax(off))
    if len(given) == 3 and off[row] > np.log(ODD_COST):
        message = (
            f"flops of {table.labels[row]} are {number(counts.off[row])} times 6 params tokens: right where params "
            "leave out embeddings or count all experts; else look at the units"
        )
        return [Diagnostic("flops_disagree", float(counts.off[row]), message)]
    away = np.maximum(FEW_RATIO / counts.ratio, counts.ratio / MANY_RATIO)
    row = int(np.argmax(away))
    if away[row] > 1:
        message = (
            f"{table.labels[row]} has {number(counts.ratio[row])} tokens for each parameter, as few studies have: are "
            "params or tokens in thousands, millions or billions?"
        )
        return [Diagnostic("units_suspect", float(counts.ratio[row]), message)]
    for name, values, least in (("params", counts.params, FEW_PARAMS), ("tokens", counts.tokens, FEW_TOKENS)):
        most = float(values.max())
        if most < least:
            message = (
                f"{name} reach {number(most)} at most, as few studies have: if they are in thousands, millions or "
                "billions multiply them, or budgets in FLOPs mean nothing"
            )
            return [Diagnostic("units_suspect", most, message)]
    return []
