"""Where the compute-optimal size is expected before anything was measured: two numbers of the study, no result.

    N_expected(C_min): D / N = expected_tokens_per_param        N_expected(C) = N_expected(C_min) (C / C_min)^exponent

Designs other than isoflop expect the same D / N at every budget.
"""

import math
from bisect import bisect_left
from collections.abc import Sequence

from scaling.accounting import Count, counts
from scaling.config import CHINCHILLA, ChinchillaConfig, IsoflopConfig, Study
from scaling.planning.family import cost_table

Costs = tuple[Sequence[int], Sequence[int]]


def expected_optimum(study: Study, budget: float, count: Count = counts) -> float:
    """N_expected at `budget` FLOPs, under the study's conventions."""
    costs = cost_table(study, count)
    sweep = study.sweep
    if isinstance(sweep, IsoflopConfig):
        return grown_optimum(sweep, costs, budget, min(sweep.budgets))
    ratio = sweep.tokens_per_param if isinstance(sweep, ChinchillaConfig) else CHINCHILLA
    return math.exp(_log_optimum(ratio, costs, budget))


def grown_optimum(sweep: IsoflopConfig, costs: Costs, budget: float, smallest_budget: float) -> float:
    """N_expected at `budget` where `smallest_budget` is the sweep's."""
    first = _log_optimum(sweep.expected_tokens_per_param, costs, smallest_budget)
    return math.exp(first + sweep.expected_exponent * math.log(budget / smallest_budget))


def _log_optimum(ratio: float, costs: Costs, budget: float) -> float:
    """ln N that solves budget = ratio x N x flops_per_token(N), read off the family in logarithms."""
    params, flops = costs
    log_params = [math.log(value) for value in params]
    log_costs = [math.log(value * cost) for value, cost in zip(params, flops, strict=True)]
    target = math.log(budget / ratio)
    at = min(max(bisect_left(log_costs, target), 1), len(log_costs) - 1)
    slope = (log_params[at] - log_params[at - 1]) / (log_costs[at] - log_costs[at - 1])
    return log_params[at - 1] + slope * (target - log_costs[at - 1])
