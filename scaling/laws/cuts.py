"""Where a table is cut for validation by extrapolation: small runs to fit, larger ones held out. No JAX."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from scaling.laws.errors import LawError, nearest
from scaling.laws.forms import Floats
from scaling.laws.forms.inputs import symbol
from scaling.laws.table import STANDARD, Table
from scaling.laws.values import number

ROLLING = (0.6, 0.5, 0.4, 0.3, 0.2, 0.1)
"""Shares of the rows that rolling cuts hold out."""
LEAST_FITTED = 4
"""Rows below a cut that make it one."""


@dataclass(frozen=True)
class Cut:
    """Rows whose `by` is below `at` are fitted, the others held out.

    Attributes:
      by: flops, params or tokens.
      at: the least value held out.
      fitted, held: how many rows.
      reach: the largest held-out value over the largest fitted one.
      shared: held-out rows of a trajectory that also has fitted rows.
    """

    by: str
    at: float
    fitted: int
    held: int
    reach: float
    shared: int

    @property
    def text(self) -> str:
        """The fitted rows, as people write it."""
        return f"{symbol(self.by)} < {number(self.at)}"

    def fits(self, rows: Table) -> np.ndarray[Any, Any]:
        """(rows,) whether each row is fitted."""
        return _below(rows.column(self.by), self.at)


def cuts_of(
    rows: Table, by: str, above: float | None, share: float | None, rolling: bool | Sequence[float]
) -> tuple[Cut, ...]:
    """The cuts of one question: `above` a value, a `share` of the rows, or `rolling` over several shares; ascending.

    Of rolling cuts those that leave too few rows to fit are left out, if one remains.
    """
    if by not in STANDARD:
        raise LawError(f"by is {by!r}; it is {', '.join(STANDARD)}{nearest(by, STANDARD)}")
    if (above is not None) + (share is not None) + bool(rolling) > 1:
        raise LawError("give one of above (a value), share (of the rows) and rolling")
    values = rows.inputs((by,))[by]
    if above is not None:
        return (_cut(rows, by, above),)
    shares = (ROLLING if rolling is True else tuple(rolling)) if rolling else (0.2 if share is None else share,)
    places = sorted({_value(values, one) for one in shares})
    possible = [at for at in places if _below(values, at).sum() >= LEAST_FITTED]
    return tuple(_cut(rows, by, at) for at in possible or places[-1:])


def _cut(rows: Table, by: str, at: float) -> Cut:
    """The cut at one value; LawError where one side has too few rows."""
    values = rows.column(by)
    keep = _below(values, at)
    fitted, held = int(keep.sum()), int((~keep).sum())
    if held == 0:
        raise LawError(f"no run has {by} of {at:g} or more, so none is held out; the largest is {values.max():g}")
    if fitted < LEAST_FITTED:
        raise LawError(f"{fitted} run(s) have {by} below {at:g}; a law needs {LEAST_FITTED} or more to be fitted")
    shared = int(np.isin(rows.cluster[~keep], rows.cluster[keep]).sum())
    return Cut(by, float(at), fitted, held, float(values.max() / values[keep].max()), shared)


def _below(values: Floats, at: float) -> np.ndarray[Any, Any]:
    return values < at * (1 - 1e-9)


def _value(values: Floats, share: float) -> float:
    """The value from which on the held-out part is nearest to `share`: runs of one value stay together."""
    if not 0 < share < 1:
        raise LawError(f"share is {share}; it must lie between 0 and 1")
    distinct = np.unique(values)[1:]
    parts = np.array([np.mean(values >= value) for value in distinct])
    return float(distinct[np.argmin(np.abs(parts - share))])
