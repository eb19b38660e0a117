"""How an answer moves with the asymptote: the rows fitted again with E held at several values.

The exact version of what every answer carries as `sensitivity_to_E` (asymptote.py): a LawFit holds no rows, so here
the table is given.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from scaling.laws import fitting
from scaling.laws.errors import LawError, nearest
from scaling.laws.results import LawFit
from scaling.laws.surface import PLANE, Surface
from scaling.laws.values import Sensitivity


def sensitivity(
    table: Any,
    form: str = "chinchilla",
    *,
    at: Mapping[str, float],
    parameter: str | None = None,
    values: Sequence[float] | None = None,
    pin: Mapping[str, float] | None = None,
    **settings: Any,
) -> Sensitivity:
    """What the law says at `at` with its asymptote held at each of `values`, everything else fitted again.

    Args:
      table, form, pin, settings: as `laws.fit` takes them, the form's options included.
      at: the question: {"flops": C}, with the law's further inputs, for N*, D*, D*/N* and the loss of a law that has an
        optimum; else the inputs of the law, for what it predicts there.
      parameter: another parameter than the asymptote.
      values: to hold it at; the ends of its interval, its fitted value and the middles between when None.

    `objective` says what each value costs: one far above the smallest is no plausible one.
    """
    free = fitting.fit(table, form, pin=pin, **(settings if values is None else settings | {"resamples": 0}))
    name = _chosen(free, parameter)
    if values is None:
        if name not in free.intervals:
            raise LawError(
                f"{name} has no interval, so values to hold it at must be given, as in values=(1.6, 1.7, 1.8)"
            )
        low, middle, high = free.intervals[name].low, free.params[name], free.intervals[name].high
        values = (low, (low + middle) / 2, middle, (middle + high) / 2, high)
    held = sorted({*(float(value) for value in values), free.params[name]})
    refits = [
        free
        if value == free.params[name]
        else fitting.fit(table, form, pin={**(pin or {}), name: value}, **(settings | {"resamples": 0}))
        for value in held
    ]
    answers = [_asked(refit, at) for refit in refits]
    return Sensitivity(
        parameter=name,
        values=tuple(held),
        answers={what: tuple(answer[what] for answer in answers) for what in answers[0]},
        method="refits",
        objective=tuple(refit.objective["value"] for refit in refits),
    )


def _chosen(fit: LawFit, parameter: str | None) -> str:
    """The parameter to hold: the one asked for, else the first asymptote that was fitted."""
    free = [name for name in fit.law.names if name not in fit.pinned and name not in fit.tied]
    if parameter is not None:
        if parameter not in free:
            raise LawError(f"{parameter!r} is not fitted; {', '.join(free)} are{nearest(parameter, free)}")
        return parameter
    for name in free:
        if fit.law.parameter(name).role == "asymptote":
            return name
    raise LawError(f"form {fit.form} has no asymptote that is fitted; name a parameter: one of {', '.join(free)}")


def _asked(fit: LawFit, at: Mapping[str, float]) -> dict[str, float]:
    """What the law answers at `at`, without intervals."""
    held = {name: value for name, value in at.items() if name != "flops"}
    if not fit.has_optimum or set(at) & set(PLANE) != {"flops"}:
        return {fit.output: float(fit.loss(**at))}
    best = Surface.of(fit, held).best(fit.params, np.log(at["flops"]))
    found = {
        "params": best.log_params,
        "tokens": best.log_tokens,
        "tokens_per_param": best.log_tokens - best.log_params,
    }
    return {name: float(np.exp(value)) for name, value in found.items()} | {"loss": float(best.loss)}
