"""The third of N, D and C from the other two, and the cost per token that a table itself shows."""

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from scaling.laws import costs

if TYPE_CHECKING:
    from scaling.laws.table import Table

SAME_COST = 0.01
"""Relative difference up to which two costs per token count as one."""


def derived(table: "Table", given_cost: bool) -> "Table":
    """`table` with the third of N, D, C where it has two of them, and its own cost where it has all three."""
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


def _own_cost(table: "Table") -> "Table":
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
