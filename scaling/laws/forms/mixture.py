"""Laws of the training mixture: loss as a function of the proportions h of the domains that a model is trained on."""

import functools
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np

from scaling.laws.errors import LawError
from scaling.laws.forms.base import Data, LawForm, Parameter, Values
from scaling.laws.forms.parameters import SMALLEST_START, WIDEST_TERM, asymptote, coefficient, exponent, real
from scaling.laws.forms.registry import register

SUM_TOLERANCE = 0.01
"""Proportions may add up to 1 within this, as rounded ones do."""
TRANSFER_STARTS, TRANSFER_BOUNDS = (-3.0, 3.0), (-30.0, 30.0)
POWER_STARTS, POWER_BOUNDS = (0.1, 2.0), (0.02, 20.0)
ABSENT = -1e30
"""Stands for ln 0: its exponential, and its slope, are exactly 0."""


@register
def mixture(domains: tuple[str, ...] = ()) -> LawForm:
    """L = c + k exp(sum_j t_j r_j): the loss on one validation set for proportions r_j of the training domains.

    t_j < 0 where domain j helps more than the last domain does, whose t is 0: proportions add up to 1, so that a
    constant added to every t_j is a factor of k and nothing else (Ye et al. 2024, eq. 7; eq. 6 with two domains).
    `domains` are the columns of the proportions.
    """
    checked_domains("mixture", domains)
    free = domains[:-1]

    def equation(p: Values, x: Values, xp: ModuleType) -> Any:
        check_proportions(x, domains, xp)
        return p["c"] + p["k"] * xp.exp(sum(p[f"t_{name}"] * x[name] for name in free))

    return LawForm(
        name="mixture",
        equation=equation,
        text=f"L = c + k exp({' + '.join(f't_{name} {name}' for name in free)}), {' + '.join(domains)} = 1",
        parameters=(
            asymptote("c"),
            coefficient("k", over=lambda p, c: sum(p[f"t_{name}"] * c[name] for name in free)),
            *(real(f"t_{name}", TRANSFER_STARTS, TRANSFER_BOUNDS) for name in free),
        ),
        inputs=domains,
        linear_inputs=domains,
        check=functools.partial(_check_rows, domains),
        source="Ye et al. 2024 (data mixing laws), eq. 7",
    )


@register
def mixture_additive(domains: tuple[str, ...] = ()) -> LawForm:
    """L = E + 1 / sum_i C_i h_i^gamma_i + A / N^alpha + B / D^beta: the best mixture is the same at every scale.

    h_i are the proportions of the training domains, the columns `domains` (Shukor et al. 2025, the additive law).
    """
    checked_domains("mixture_additive", domains)

    def equation(p: Values, x: Values, xp: ModuleType) -> Any:
        check_proportions(x, domains, xp)
        size = p["A"] * xp.exp(-p["alpha"] * x["params"])
        return p["E"] + _bias(p, x, domains, xp) + size + p["B"] * xp.exp(-p["beta"] * x["tokens"])

    return LawForm(
        name="mixture_additive",
        equation=equation,
        text=f"L = E + 1 / ({_bias_text(domains)}) + A / N^alpha + B / D^beta, {' + '.join(domains)} = 1",
        parameters=(
            asymptote("E"),
            *_bias_parameters(domains),
            coefficient("A", over=lambda p, c: -p["alpha"] * c["params"]),
            exponent("alpha"),
            coefficient("B", over=lambda p, c: -p["beta"] * c["tokens"]),
            exponent("beta"),
        ),
        inputs=("params", "tokens", *domains),
        linear_inputs=domains,
        check=functools.partial(_check_rows, domains),
        falling=("params", "tokens"),
        source="Shukor et al. 2025 (arXiv 2507.09404), additive law",
    )


@register
def mixture_joint(domains: tuple[str, ...] = ()) -> LawForm:
    """L = E + 1 / sum_i C_i h_i^gamma_i + A(h) / N^alpha + B(h) / D^beta: the best mixture moves with the scale.

    A(h) = (sum_i A_i^(1/gamma_A) h_i)^gamma_A and B(h) likewise, so that A_i is the A of a model trained on domain i
    alone; the paper's C_i^A is A_i^(1/gamma_A) (Shukor et al. 2025, the joint law). Equal A_i and equal B_i give the
    additive law.
    """
    checked_domains("mixture_joint", domains)

    def equation(p: Values, x: Values, xp: ModuleType) -> Any:
        check_proportions(x, domains, xp)
        size = _power_mean(p, x, domains, "A", xp) - p["alpha"] * x["params"]
        data = _power_mean(p, x, domains, "B", xp) - p["beta"] * x["tokens"]
        return p["E"] + _bias(p, x, domains, xp) + xp.exp(size) + xp.exp(data)

    def own(letter: str, power: str, x: str) -> tuple[Parameter, ...]:
        over = functools.partial(_at_centre, power, x)
        return tuple(coefficient(f"{letter}_{name}", over=over) for name in domains)

    return LawForm(
        name="mixture_joint",
        equation=equation,
        text=f"L = E + 1 / ({_bias_text(domains)}) + A(h) / N^alpha + B(h) / D^beta, "
        f"A(h) = ({' + '.join(f'A_{name}^(1/gamma_A) {name}' for name in domains)})^gamma_A, B(h) likewise",
        parameters=(
            asymptote("E"),
            *_bias_parameters(domains),
            *own("A", "alpha", "params"),
            exponent("gamma_A", POWER_STARTS, POWER_BOUNDS),
            exponent("alpha"),
            *own("B", "beta", "tokens"),
            exponent("gamma_B", POWER_STARTS, POWER_BOUNDS),
            exponent("beta"),
        ),
        inputs=("params", "tokens", *domains),
        linear_inputs=domains,
        check=functools.partial(_check_rows, domains),
        falling=("params", "tokens"),
        source="Shukor et al. 2025 (arXiv 2507.09404), joint law",
    )


def checked_domains(form: str, domains: Sequence[str]) -> None:
    """LawError unless `domains` are two or more different names."""
    if isinstance(domains, str) or len(domains) < 2 or len(set(domains)) != len(domains):
        raise LawError(
            f"form {form} has domains={domains!r}; it takes two or more different columns, the proportions of the "
            'training domains: domains=("web", "code")'
        )


def check_proportions(inputs: Values, domains: Sequence[str], xp: ModuleType = np, labels: Sequence[str] = ()) -> None:
    """LawError, with the row, where a proportion lies outside of 0 to 1 or a row's do not add up to 1.

    Traced values, which nobody can look at, pass: the same rows are seen as numbers before and after.
    """
    if xp is not np:
        return
    shares = np.stack(np.broadcast_arrays(*(np.asarray(inputs[name], dtype=np.float64) for name in domains)), axis=-1)
    shares = shares.reshape(-1, len(domains))
    total = shares.sum(axis=1)
    outside = np.any((shares < 0) | (shares > 1), axis=1)
    wrong = np.flatnonzero(outside | ~(np.abs(total - 1) <= SUM_TOLERANCE))
    if len(wrong):
        row = int(wrong[0])
        where = labels[row] if labels else f"row {row + 1}"
        have = ", ".join(f"{name} {share:g}" for name, share in zip(domains, shares[row], strict=True))
        hundred = abs(total[row] - 100) < 100 * SUM_TOLERANCE
        fix = "divide them by 100" if hundred else "name every domain, 0 where unused"
        raise LawError(
            f"{where}: the proportions ({have}) add up to {total[row]:g}; each must lie between 0 and 1 and all of "
            f"them add up to 1: {fix}"
        )


def _check_rows(domains: Sequence[str], inputs: Values, labels: Sequence[str]) -> None:
    check_proportions(inputs, domains, labels=labels)


def _bias(p: Values, x: Values, domains: Sequence[str], xp: ModuleType) -> Any:
    """1 / sum_i C_i h_i^gamma_i; 0^gamma is 0."""
    powers = (p[f"gamma_{name}"] * _log(x[name], xp) + xp.log(p[f"C_{name}"]) for name in domains)
    return xp.exp(-functools.reduce(xp.logaddexp, powers))


def _power_mean(p: Values, x: Values, domains: Sequence[str], letter: str, xp: ModuleType) -> Any:
    """ln (sum_i A_i^(1/gamma_A) h_i)^gamma_A."""
    power = p[f"gamma_{letter}"]
    terms = (xp.log(p[f"{letter}_{name}"]) / power + _log(x[name], xp) for name in domains)
    return power * functools.reduce(xp.logaddexp, terms)


def _log(share: Any, xp: ModuleType) -> Any:
    return xp.where(share > 0, xp.log(xp.where(share > 0, share, 1.0)), ABSENT)


def _at_centre(power: str, x: str, p: Values, c: Values) -> Any:
    return -p[power] * c[x]


def _bias_text(domains: Sequence[str]) -> str:
    return " + ".join(f"C_{name} {name}^gamma_{name}" for name in domains)


def _bias_parameters(domains: Sequence[str]) -> tuple[Parameter, ...]:
    return (
        *(_inverse_coefficient(f"C_{name}") for name in domains),
        *(exponent(f"gamma_{name}") for name in domains),
    )


def _inverse_coefficient(name: str) -> Parameter:
    """A positive number in the unit of 1 / output: its coordinate is ln of its inverse."""

    def between(data: Data, below: float, above: float) -> tuple[float, float]:
        return data.level + below, data.level + above

    return Parameter(
        name,
        "coefficient",
        lambda data: between(data, -WIDEST_TERM, WIDEST_TERM),
        lambda data: between(data, float(np.log(SMALLEST_START)), 1.0),
        natural=lambda z, p, c, xp: xp.exp(-z),
        coordinate=lambda value, p, c: -np.log(value),
        positive=True,
    )
