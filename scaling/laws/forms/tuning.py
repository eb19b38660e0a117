"""Laws of the best hyper-parameters: where the loss of a sweep is least, as a function of N and D."""

from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np

from scaling.laws.errors import LawError, nearest
from scaling.laws.forms.base import LawForm, Values
from scaling.laws.forms.inputs import symbol
from scaling.laws.forms.parameters import real
from scaling.laws.forms.registry import register

LETTERS = {"learning_rate": "eta", "batch_size": "B"}
SWEPT = ("learning_rate", "batch_size")
STEP_LAW = {"batch_size": ("tokens",)}
"""Inputs of each hyper-parameter's law in the source; N and D of any other."""
CELL = ("params", "tokens")
EDGES = ("leave_out", "keep")


@register
def hyperparameters(
    target: str = "learning_rate",
    over: Sequence[str] | str | None = None,
    inputs: Sequence[str] | str | None = None,
    edge: str = "leave_out",
) -> LawForm:
    """target* = coefficient N^params_exponent D^tokens_exponent, where a bowl of ln L in each (N, D) is least.

    Step Law (Li et al. 2025): eta* = 1.79 N^-0.713 D^0.307 and B* = 0.58 D^0.571, N without embeddings, B in tokens.

    Options:
      target: the hyper-parameter that is predicted: learning_rate, batch_size or any other column.
      over: the one or two that were swept; learning_rate and batch_size when None (the target alone if another).
      inputs: params, tokens or both; the source's when None: both for the learning rate, tokens for the batch size.
      edge: `leave_out` cells that are best at the edge of what was swept, or `keep` them.
    """
    swept = _names(over) or (SWEPT if target in SWEPT else (target,))
    columns = _names(inputs) or STEP_LAW.get(target, CELL)
    if target not in swept or not 1 <= len(swept) <= 2:
        raise LawError(f"over is {swept}; it names one or two swept hyper-parameters, target {target!r} among them")
    for name in columns:
        if name not in CELL:
            raise LawError(f"inputs names {name!r}; it may name {' and '.join(CELL)}{nearest(name, CELL)}")
    if edge not in EDGES:
        raise LawError(f"edge is {edge!r}; it is {' or '.join(EDGES)}{nearest(edge, EDGES)}")

    def equation(p: Values, x: Values, xp: ModuleType) -> Any:
        return p["coefficient"] * xp.exp(sum(p[f"{name}_exponent"] * x[name] for name in columns))

    powers = " ".join(f"{symbol(name)}^{name}_exponent" for name in columns)
    return LawForm(
        name="hyperparameters",
        equation=equation,
        text=f"{LETTERS.get(target, target)}* = coefficient {powers}, where ln L = bowl in ln {', ln '.join(swept)}",
        parameters=(
            real("coefficient", (0.0, 1.0), (0.0, np.inf)),
            *(real(f"{name}_exponent", (-1.0, 1.0), (-np.inf, np.inf)) for name in columns),
        ),
        inputs=columns,
        output=target,
        source="Li et al. 2025 (Step Law), arXiv 2503.04715",
        procedure="scaling.laws.procedures.hyperparameters:fit",
        needs=(*CELL, "loss", *swept),
    )


def _names(given: Sequence[str] | str | None) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given or ())
