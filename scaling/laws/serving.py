"""The cheapest model to train and to serve: min over N and D of D f(N) + T g(N). Plain NumPy. No JAX.

f: training FLOPs per token under the fit's cost (6 N, or its table). T: tokens served. g: inference FLOPs per token, a
third of f unless another part or a table is given. Subject to L(N, D) = loss this is 6 N D + 2 N T of Sardana et al.
2024 (eq. 2); or, the same curve the other way round, the least loss for a total.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from scaling.laws import asymptote, costs, prediction
from scaling.laws.allocation import Answers, draws, estimates, planned, positive
from scaling.laws.errors import LawError
from scaling.laws.forms import Floats
from scaling.laws.inverse import open_above, reached
from scaling.laws.search import least
from scaling.laws.surface import LARGER, Surface
from scaling.laws.values import Diagnostic, Serving

if TYPE_CHECKING:
    from scaling.laws.results import LawFit

FORWARD = 1 / 3
"""Inference's part of the training cost per token: the forward pass, without the backward one, which costs two."""
SMALLER, BIGGER = float(np.log(1e6)), float(np.log(1e2))
"""The model is sought within these factors below and above the one that is cheapest to train."""


def cheapest(
    fit: "LawFit",
    loss: float,
    served_tokens: float,
    inference: float | costs.Cost = FORWARD,
    held: Mapping[str, float] | None = None,
) -> Serving:
    """min over N and D of D f(N) + T g(N) subject to L(N, D) = loss, each answer with its interval.

    Raises LawError where the fitted law, or most resampled ones, never reach `loss`. Where some do not, the interval of
    the total may be open above, the others are of those that do, and a diagnostic says how many do not.
    """
    demand = _demand(fit, served_tokens, inference, held or {})
    budget, drawn = reached(demand.surface, fit.params, loss), draws(fit)
    budgets = demand.surface.budget_for(drawn, loss, near=budget)
    reach = np.isfinite(budgets)
    if reach.mean() < 0.5:
        never = f"{1 - reach.mean():.0%} of the resampled laws never reach a loss of {loss:g}"
        raise LawError(f"{never}: the fit is too uncertain to say what it costs; ask for a higher loss")
    found = demand.for_loss(fit.params, loss, budget)
    some = demand.for_loss({name: values[reach] for name, values in drawn.items()}, loss, budgets[reach])
    sampled = {}
    for name, values in some.items():
        # What never reaches the loss costs more than anything; what model it would be, and what it saves, is not said.
        sampled[name] = np.full(len(reach), np.inf if name == "total_flops" else np.nan)
        sampled[name][reach] = values
    return demand.answer(found, sampled, open_above(budgets, loss))


def serving_optimum(
    fit: "LawFit",
    flops: float,
    served_tokens: float,
    inference: float | costs.Cost = FORWARD,
    held: Mapping[str, float] | None = None,
) -> Serving:
    """min over N and D of L(N, D) subject to D f(N) + T g(N) = flops, the total of training and serving."""
    demand = _demand(fit, served_tokens, inference, held or {})
    log_c = np.log(positive("flops", flops))
    return demand.answer(demand.for_total(fit.params, log_c), demand.for_total(draws(fit), log_c), ())


@dataclass(frozen=True)
class _Demand:
    """A law's surface and what serving adds to the cost. `inference`: a part of the training cost, or a cost table."""

    surface: Surface
    held: Mapping[str, float]
    served_tokens: float
    inference: float | Mapping[str, Any]

    def log_serving(self, log_n: Any) -> Floats:
        """ln of T g(N); minus infinity where nothing is served."""
        if isinstance(self.inference, Mapping):
            per_token = costs.log_flops_per_token(self.inference, log_n)
        else:
            per_token = self.surface.log_per_token(log_n) + np.log(self.inference)
        with np.errstate(divide="ignore"):
            return per_token + np.log(self.served_tokens)

    def for_loss(self, values: Mapping[str, Any], loss: Any, budget: Any) -> dict[str, Any]:
        """The cheapest model of `loss`, which `budget` (ln C) reaches with the least training."""
        trained = self.surface.best(values, budget)
        low, high = trained.log_params - SMALLER, trained.log_params + BIGGER

        def tokens(log_n: Floats) -> Floats:
            start = trained.log_tokens - 2 * BIGGER
            return self.surface.tokens_for(values, loss, log_n, start, start + LARGER)

        def total(log_n: Floats) -> Floats:
            return np.logaddexp(tokens(log_n) + self.surface.log_per_token(log_n), self.log_serving(log_n))

        log_n, _ = least(total, low, high)
        return self._costs(log_n, tokens(log_n), np.broadcast_to(loss, log_n.shape), budget, trained.log_params) | {
            "edge": log_n - low < 1e-3
        }

    def for_total(self, values: Mapping[str, Any], log_c: Any) -> dict[str, Any]:
        """The best model that ln C pays for, training and serving together."""
        trained = self.surface.best(values, log_c)
        low, high = trained.log_params - SMALLER, trained.log_params + BIGGER

        def tokens(log_n: Floats) -> Floats:
            left = -np.expm1(np.minimum(self.log_serving(log_n) - log_c, 0.0))
            with np.errstate(divide="ignore"):
                return log_c + np.log(left) - self.surface.log_per_token(log_n)

        def spent(log_n: Floats) -> Floats:
            log_d = tokens(log_n)
            loss = self.surface.sign * self.surface.loss(values, log_n, np.maximum(log_d, 0.0))
            return np.where(np.isfinite(log_d), loss, np.inf)

        log_n, loss = least(spent, low, high)
        loss = self.surface.sign * loss
        if np.all(self.log_serving(log_n) >= log_c):
            raise LawError(
                f"flops is {np.exp(log_c):.3g}, less than serving {self.served_tokens:.3g} tokens costs with any model "
                "near the fitted sizes; ask for more"
            )
        budget = self.surface.budget_for(values, loss)
        least_trained = self.surface.best(values, budget).log_params
        return self._costs(log_n, tokens(log_n), loss, budget, least_trained) | {"edge": log_n - low < 1e-3}

    def _costs(self, log_n: Floats, log_d: Floats, loss: Floats, budget: Any, trained: Floats) -> dict[str, Any]:
        training, serving = log_d + self.surface.log_per_token(log_n), self.log_serving(log_n)
        total = np.logaddexp(training, serving)
        without = np.logaddexp(budget, self.log_serving(trained))
        logarithms = {"params": log_n, "tokens": log_d, "tokens_per_param": log_d - log_n}
        logarithms |= {"training_flops": training, "serving_flops": serving, "total_flops": total}
        return {name: np.exp(values) for name, values in logarithms.items()} | {
            "loss": loss,
            "saved": np.maximum(-np.expm1(total - without), 0.0),
        }

    def answer(
        self, found: Mapping[str, Floats], sampled: Mapping[str, Floats], notes: tuple[Diagnostic, ...]
    ) -> Serving:
        fit = self.surface.fit
        answers: Answers = {name: (float(found[name]), sampled[name]) for name in found if name != "edge"}
        moved = asymptote.sensitivity(fit, {n: answers[n] for n in ("params", "tokens", "loss", "total_flops")})
        point = {name: answers[name][0] for name in ("params", "tokens", "tokens_per_param")} | dict(self.held)
        point["flops"] = answers["training_flops"][0]
        if found["edge"]:
            message = "no model is too small to serve under this law: it has no critical size; do not use this"
            notes += (Diagnostic("serving_unbounded", 1.0, message, "error"),)
        return Serving(
            served_tokens=float(self.served_tokens),
            inference=self.inference if isinstance(self.inference, float) else "table",
            **estimates(answers, fit.level),
            held=dict(self.held),
            diagnostics=prediction.extrapolation(fit, point) + notes + asymptote.note(moved),
            sensitivity_to_E=moved,
        )


def _demand(fit: "LawFit", served_tokens: float, inference: float | costs.Cost, held: Mapping[str, float]) -> _Demand:
    surface = planned(fit, held)
    if not surface.is_plane:
        raise LawError(f"form {fit.form} says nothing away from the optimum; fit a law in N and D, such as chinchilla")
    if not np.isfinite(served_tokens) or served_tokens < 0:
        raise LawError(f"served_tokens is {served_tokens}; it must be 0 or more")
    if isinstance(inference, int | float):
        return _Demand(surface, dict(held), served_tokens, positive("inference", inference))
    return _Demand(surface, dict(held), served_tokens, costs.checked(inference))
