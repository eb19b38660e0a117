"""C = D x flops_per_token(N): 6 N, or a table of a family's real members, interpolated in logarithms. No JAX."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.interpolate import PchipInterpolator

from scaling.laws.errors import LawError
from scaling.laws.forms import Floats

Cost = Mapping[str, Any] | tuple[Sequence[float], Sequence[float]]


def checked(cost: Cost | None) -> dict[str, Any]:
    """`cost` as it is kept in a LawFit: {"rule": "6N"}, or {"rule": "table", "params", "flops_per_token"} sorted by N.

    `cost` is None, (params, flops_per_token), or a mapping with these two names.
    """
    if cost is None:
        return {"rule": "6N"}
    if isinstance(cost, Mapping):
        if cost.get("rule") == "6N":
            return {"rule": "6N"}
        missing = [name for name in ("params", "flops_per_token") if name not in cost]
        if missing:
            raise LawError(f"cost lacks {missing[0]!r}; it takes params and flops_per_token, two lists of one length")
        pair = (cost["params"], cost["flops_per_token"])
    else:
        pair = (cost[0], cost[1])
    sizes, flops = (np.asarray(values, dtype=np.float64) for values in pair)
    if sizes.ndim != 1 or sizes.shape != flops.shape or sizes.size < 1:
        raise LawError(f"cost has {sizes.size} params and {flops.size} flops_per_token; the two lists must match")
    if not (np.isfinite(sizes).all() and np.isfinite(flops).all() and sizes.min() > 0 and flops.min() > 0):
        raise LawError("cost holds a value that is not a positive number")
    sizes, first = np.unique(sizes, return_index=True)
    flops = flops[first]
    if np.any(np.diff(flops) <= 0):
        row = int(np.argmax(np.diff(flops) <= 0))
        raise LawError(f"cost: flops_per_token does not grow between params {sizes[row]:g} and {sizes[row + 1]:g}")
    return {"rule": "table", "params": sizes.tolist(), "flops_per_token": flops.tolist()}


def log_flops_per_token(cost: Mapping[str, Any], log_params: Floats) -> Floats:
    """ln of the training FLOPs for each token at ln N; beyond the table's ends by its slope there.

    A table of one member keeps that member's ratio to N.
    """
    log_params = np.asarray(log_params, dtype=np.float64)
    if cost["rule"] == "6N":
        return np.log(6.0) + log_params
    if len(cost["params"]) == 1:
        return np.log(cost["flops_per_token"][0]) + log_params - np.log(cost["params"][0])
    curve = _curve(tuple(cost["params"]), tuple(cost["flops_per_token"]))
    first, last = float(curve.x[0]), float(curve.x[-1])
    inside = curve(np.clip(log_params, first, last))
    below, above = np.minimum(log_params - first, 0.0), np.maximum(log_params - last, 0.0)
    return inside + curve(first, 1) * below + curve(last, 1) * above


@functools.lru_cache(maxsize=64)
def _curve(params: tuple[float, ...], flops_per_token: tuple[float, ...]) -> PchipInterpolator:
    """ln of the cost in ln N, smooth: straight pieces would have corners, at which N* sticks."""
    return PchipInterpolator(np.log(params), np.log(flops_per_token))
