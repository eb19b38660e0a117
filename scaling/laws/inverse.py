"""What a loss needs, and what another size than the best one costs. Plain NumPy. No JAX."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from scaling.laws import asymptote, prediction
from scaling.laws.allocation import Answers, draws, edges, estimates, planned, positive, sizes
from scaling.laws.errors import LawError
from scaling.laws.forms import Floats
from scaling.laws.surface import LARGER, SMALLER, Best, Surface
from scaling.laws.values import Budget, Deviation, Diagnostic, number

if TYPE_CHECKING:
    from scaling.laws.results import LawFit


def budget_for(
    fit: "LawFit", loss: float, params: float | None = None, held: Mapping[str, float] | None = None
) -> Budget:
    """min C such that L*(C) <= loss, or such that a model of `params` reaches it; with its interval.

    Raises LawError where the fitted law never reaches `loss`. Where only some resampled laws do, the interval is open
    above and a diagnostic says how many do not.
    """
    if not Surface(fit, {}).buys:
        have = " and ".join(fit.law.inputs)
        raise LawError(
            f"form {fit.form} in {have} does not say what a budget buys; fit chinchilla, or power with x=flops"
        )
    surface = Surface.of(fit, held or {})
    if params is not None and not surface.is_plane:
        raise LawError(f"form {fit.form} does not tell the loss of a given size; leave params out")
    log_n = None if params is None else float(np.log(positive("params", params)))
    drawn = draws(fit)
    found = reached(surface, fit.params, loss, log_n)
    sampled = surface.budget_for(drawn, loss, log_n, near=found)
    answers: Answers = {"flops": (float(np.exp(found)), np.exp(sampled))}
    notes: tuple[Diagnostic, ...] = ()
    if surface.has_optimum:
        never = np.isinf(sampled)
        model = _model(surface, fit.params, np.asarray(found), log_n)
        models = _model(surface, drawn, np.where(never, surface.budgets()[1] + LARGER, sampled), log_n)
        answers |= sizes(model, models)
        notes += edges(model, models)
        for name in ("params", "tokens") if log_n is None else ("tokens", "tokens_per_param"):
            answers[name][1][never] = np.inf
    said = estimates(answers, fit.level)
    moved = asymptote.sensitivity(fit, answers)
    given = dict(held or {}) | ({} if params is None else {"params": float(params)})
    point = {name: value for name, (value, _) in answers.items() if name != "tokens_per_param"} | given
    return Budget(
        loss=float(loss),
        flops=said["flops"],
        params=said.get("params"),
        tokens=said.get("tokens"),
        tokens_per_param=said.get("tokens_per_param"),
        held=given,
        diagnostics=prediction.extrapolation(fit, point) + notes + open_above(sampled, loss) + asymptote.note(moved),
        sensitivity_to_E=moved,
    )


def deviation(
    fit: "LawFit",
    flops: float,
    factor: float = 2.0,
    params: float | None = None,
    held: Mapping[str, float] | None = None,
) -> Deviation:
    """What N = factor x N*, or N = params, costs at a budget: as loss, and as compute.

    equivalent_flops: the C' with L*(C') = L(N, C). overhead: what N needs beyond C to reach L*(C), as a part of C
    (de Vries 2023, "Go smol or go home"). The factor is on each resampled law's own N*; `params` are the same for all.
    """
    surface = planned(fit, held or {})
    if not surface.is_plane:
        raise LawError(f"form {fit.form} says nothing away from the optimum; fit a law in N and D, such as chinchilla")
    log_c = float(np.log(positive("flops", flops)))
    log_n = float(np.log(positive("factor", factor) if params is None else positive("params", params)))

    def costs_of(values: Mapping[str, Any]) -> dict[str, Floats]:
        best = surface.best(values, log_c)
        size = best.log_params + log_n if params is None else np.full(best.loss.shape, log_n)
        data = log_c - surface.log_per_token(size)
        # Rounding can put N* itself a hair below the minimum.
        worse = np.maximum(surface.sign * (surface.loss(values, size, data) - best.loss), 0.0)
        loss = best.loss + surface.sign * worse
        equal = np.minimum(surface.budget_for(values, loss, near=log_c), log_c)
        needed = surface.tokens_for(values, best.loss, size, data - 1.0, data + LARGER) - data
        return {
            "factor": np.exp(size - best.log_params) if params is not None else np.full(size.shape, float(factor)),
            "params": np.exp(size),
            "tokens": np.exp(data),
            "loss": loss,
            "loss_increase": worse,
            "equivalent_flops": np.exp(equal),
            "wasted": -np.expm1(equal - log_c),
            "overhead": np.expm1(np.maximum(needed, 0.0)),
        }

    found, sampled = costs_of(fit.params), costs_of(draws(fit))
    answers: Answers = {name: (float(found[name]), sampled[name]) for name in found}
    moved = asymptote.sensitivity(fit, {name: answers[name] for name in ("loss", "equivalent_flops")})
    point = {"flops": flops, **(held or {})} | {name: answers[name][0] for name in ("params", "tokens")}
    return Deviation(
        flops=float(flops),
        **estimates(answers, fit.level),
        held=dict(held or {}),
        diagnostics=prediction.extrapolation(fit, point) + _too_small(answers["overhead"]) + asymptote.note(moved),
        sensitivity_to_E=moved,
    )


def reached(surface: Surface, values: Mapping[str, Any], loss: float, log_n: float | None = None) -> float:
    """ln of the least C with which the fitted law reaches `loss`; LawError where it does not."""
    if not np.isfinite(loss):
        raise LawError(f"loss is {loss}; it must be a number")
    found = float(surface.budget_for(values, loss, log_n))
    low, high = surface.budgets()
    what = surface.fit.output
    beyond, worse, better = ("below", "higher", "lower") if surface.sign > 0 else ("above", "lower", "higher")
    if found > high + LARGER:
        if log_n is None:
            floor = float(surface.best(values, high + LARGER).loss)
        else:
            floor = float(surface.loss(values, log_n, high + LARGER - surface.log_per_token(log_n)))
        level = asymptote.described(surface.fit)
        who = "the best model" if log_n is None else f"a model of {np.exp(log_n):.3g} parameters"
        raise LawError(
            f"{what} is {loss:g}, {beyond} the {floor:.4g} that {who} still has at {np.exp(LARGER):.0e} times the "
            f"largest fitted budget{level}; ask for a {worse} one"
        )
    if found <= low - SMALLER:
        raise LawError(
            f"{what} is {loss:g}, which the law reaches with less than {np.exp(-SMALLER):.0e} of the smallest fitted "
            f"budget; ask for a {better} one"
        )
    return found


def open_above(sampled: Floats, loss: float) -> tuple[Diagnostic, ...]:
    """A warning with the share of resampled laws that never reach the loss."""
    never = float(np.mean(np.isinf(sampled)))
    if never == 0:
        return ()
    what = f"{never:.1%} of the resampled laws never reach a loss of {number(loss)}"
    return (Diagnostic("loss_out_of_reach", never, f"{what}: the budget's interval may be open above"),)


def _model(surface: Surface, values: Mapping[str, Any], log_c: Floats, log_n: float | None) -> Best:
    """The model that ln C pays for."""
    if log_n is None:
        return surface.best(values, log_c)
    size = np.full(log_c.shape, log_n)
    data = log_c - surface.log_per_token(size)
    return Best(surface.loss(values, size, data), size, data, np.zeros(log_c.shape, dtype=bool))


def _too_small(overhead: tuple[float, Floats]) -> tuple[Diagnostic, ...]:
    value, sampled = overhead
    never = float(np.mean(np.isinf(sampled)))
    if np.isinf(value):
        message = "no amount of data takes this size to the loss of N*: it is below the critical size"
        return (Diagnostic("size_too_small", never, message),)
    if never == 0:
        return ()
    message = (
        f"under {never:.1%} of the resampled laws this size never reaches the loss of N*: its overhead may be open"
    )
    return (Diagnostic("size_too_small", never, message),)
