"""Settings that come from a law of the best ones instead of the family's rules."""

from collections.abc import Callable
from typing import NamedTuple


class Rate(NamedTuple):
    """How a model is trained for so many tokens."""

    learning_rate: float
    """The peak, at the model's own width."""
    batch_tokens: float | None = None
    """Tokens a batch, before they are rounded to whole sequences; None where the family's rule gives them."""


Rule = Callable[[float, float], Rate]
"""(N, D) -> the settings there."""


def at_ratio(rule: Rule, tokens_per_param: float) -> Rule:
    """`rule` at one D / N whatever D is, so that a trunk does not depend on its horizons."""
    return lambda params, _: rule(params, tokens_per_param * params)
