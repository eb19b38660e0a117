"""Several fitted laws as one distribution: the mixture, by weight, of their resampled answers. No JAX.

An answer is the weighted mean over the laws; its interval the quantiles of the mixture, so that it holds what the
noise, the asymptote and the choice of the form leave open. All values are logarithms.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.special import ndtri

from scaling.laws import prediction
from scaling.laws.errors import LawError
from scaling.laws.forms import Floats
from scaling.laws.results import LawFit
from scaling.laws.surface import Surface

NORMAL = ndtri((np.arange(31) + 0.5) / 31)
"""A standard normal as 31 equally likely values."""


@dataclass(frozen=True)
class Member:
    """A law of the mixture.

    Attributes:
      label: names it.
      fit: with resamples.
      weight: of all members' 1.
      misfit: standard deviation of ln L by which the law errs beyond the fitted range, over the noise of a run.
    """

    label: str
    fit: LawFit
    weight: float
    misfit: float


@dataclass(frozen=True)
class Answer:
    """What one member says of one quantity, in logarithms: its value, that of its resamples, and how a run scatters."""

    value: float
    sampled: Floats
    noise: Floats


def losses(members: Sequence[Member], inputs: Mapping[str, float | None]) -> list[Answer | None]:
    """ln of each law's loss at one point; None where a law has no value there."""
    return [_loss(member.fit, inputs) for member in members]


def optima(members: Sequence[Member], flops: float) -> list[dict[str, Answer] | None]:
    """ln of each law's N*, D*, D*/N* and loss there; None where a law has no optimum near the fitted sizes."""
    return [_optimum(member.fit, flops) for member in members]


def answering(members: Sequence[Member], answers: Sequence[Any]) -> tuple[list[Member], list[Any], list[str]]:
    """(members that have an answer, weights adding up to 1; their answers; labels of the others)."""
    pairs = [(member, answer) for member, answer in zip(members, answers, strict=True) if answer is not None]
    others = [member.label for member, answer in zip(members, answers, strict=True) if answer is None]
    if not pairs:
        raise LawError(f"no form has an answer here ({', '.join(others)}): too far from the fitted runs")
    total = sum(member.weight for member, _ in pairs)
    return [replace(one, weight=one.weight / total) for one, _ in pairs], [answer for _, answer in pairs], others


def mixed(
    members: Sequence[Member], answers: Sequence[Answer], level: float, misfit: bool = False, runs: int | None = None
) -> tuple[float, float, float]:
    """(weighted mean, low, high) of one quantity.

    `misfit` adds how far each law errs beyond its range; `runs` the noise of the mean of so many new runs.
    """
    values, mass = [], []
    for member, answer in zip(members, answers, strict=True):
        noise = np.zeros(len(answer.sampled)) if runs is None else answer.noise / np.sqrt(runs)
        width = np.hypot(member.misfit if misfit else 0.0, noise)
        values.append((answer.sampled[:, None] + width[:, None] * NORMAL).ravel())
        mass.append(np.full(values[-1].size, member.weight / values[-1].size))
    centre = float(sum(member.weight * answer.value for member, answer in zip(members, answers, strict=True)))
    flat, weight = np.concatenate(values), np.concatenate(mass)
    order = np.argsort(flat, kind="stable")
    below = np.cumsum(weight[order]) - weight[order] / 2
    low, high = np.interp([(1 - level) / 2, (1 + level) / 2], below, flat[order])
    return centre, float(min(low, centre)), float(max(high, centre))


def _loss(fit: LawFit, inputs: Mapping[str, float | None]) -> Answer | None:
    value = float(prediction.output(fit, inputs))
    if not np.isfinite(value) or value <= 0:
        return None
    draws = prediction.resampled(fit)
    sampled = prediction.output(fit, {name: None if v is None else [v] for name, v in inputs.items()}, draws)[:, 0]
    noise = draws[prediction.RUN_NOISE][:, 0]
    return _answer(value, sampled, noise / value if fit.objective["space"] == "linear" else noise)


def _optimum(fit: LawFit, flops: float) -> dict[str, Answer] | None:
    if not fit.has_optimum:
        raise LawError(
            f"form {fit.form} in {' and '.join(fit.inputs)} has no compute-optimal size; select among forms in N and D"
        )
    surface = Surface.of(fit, {})
    best = surface.best(fit.params, np.log(flops))
    draws = {name: values[:, 0] for name, values in prediction.resampled(fit).items()}
    many = surface.best(draws, np.log(flops))
    if np.any(best.edge) or not np.isfinite(best.log_params + best.log_tokens + best.loss):
        return None
    pairs = {
        "params": (best.log_params, many.log_params),
        "tokens": (best.log_tokens, many.log_tokens),
        "tokens_per_param": (best.log_tokens - best.log_params, many.log_tokens - many.log_params),
        "loss": (np.log(best.loss), np.log(many.loss)),
    }
    found = {name: _answer(np.exp(one), np.exp(each), None) for name, (one, each) in pairs.items()}
    return {name: one for name, one in found.items() if one is not None} if all(found.values()) else None


def _answer(value: Any, sampled: Floats, noise: Floats | None) -> Answer | None:
    """In logarithms, without resamples that have no value; None where most have none."""
    with np.errstate(invalid="ignore", divide="ignore"):
        logs = np.log(sampled)
    noise = np.zeros(len(logs)) if noise is None else noise
    try:
        kept, beside = prediction.usable(logs, noise)
    except LawError:
        return None
    return Answer(float(np.log(value)), kept, beside)
