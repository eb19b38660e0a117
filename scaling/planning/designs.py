"""Designs: from a study to the trajectories that it needs. IsoFLOP: at each budget, several sizes.

Where a budget's sizes lie follows from two numbers of the study, so that no result enters a plan:

    N_expected(C_min): D / N = expected_tokens_per_param        N_expected(C) = N_expected(C_min) (C / C_min)^exponent

What a cell (width, budget) trains depends on nothing else in the sweep: a budget can be added later, and all that
was done stays as it is.
"""

import math
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction

from scaling.accounting import Count, counts, size_and_cost
from scaling.config import ModelConfig, Own, Schedule, Study, StudyError
from scaling.planning.family import cost_table, model_of, nearest_width, params_at, recipe_of
from scaling.planning.feasibility import (
    Cell,
    cell_problems,
    mixture_problems,
    study_problems,
    text_problems,
    trajectory_problems,
)
from scaling.planning.plans import Plan, repeated
from scaling.records import DataRecord, Horizon, Recipe, Role, Trajectory, shares

SEEDS_PER_STUDY = 1000
"""Trajectory seeds are 1000 x study.seed + k, so that two study seeds never share one."""
FALLING = ("cosine", "linear")
"""Schedules whose rate falls from the warm-up on, so that each horizon is a run of its own."""
FIRST_CHECK_SEED = 500
"""k of the first check seed; the fit's are below."""


def falls(schedule: Schedule) -> bool:
    """Whether the rate knows how long a run is, so that each horizon is a run of its own; one's own may."""
    return isinstance(schedule, Own) or schedule in FALLING


def plan(study: Study, data: DataRecord, count: Count = counts) -> Plan:
    """The IsoFLOP sweep of `study` on `data`: one trajectory for each width and seed, its budgets as horizons.

    Raises:
      StudyError: one line for each problem: field, value, fix.
    """
    _refuse(study_problems(study, FIRST_CHECK_SEED, (2**31 - 1) // SEEDS_PER_STUDY - 1))
    _refuse(mixture_problems(study))
    windows = {budget: window(study, budget, count) for budget in study.sweep.budgets}
    trajectories: list[Trajectory] = []
    examples: list[Trajectory] = []
    """All that differ in more than the seed."""
    for width in study.sweep.widths:
        budgets = [budget for budget, widths in windows.items() if width in widths]
        if not budgets:
            continue
        found = _trajectories(study, data, width, _fit_seed(study, 0), "fit", budgets, count)
        replicates: list[Trajectory] = []
        if width in study.sweep.replicate_widths and study.sweep.replicate_seeds > 1:
            lowest = budgets[: study.sweep.replicate_budgets]
            alike = _trajectories(study, data, width, _fit_seed(study, 1), "fit", lowest, count)
            found += alike
            seeds = [_fit_seed(study, k) for k in range(2, study.sweep.replicate_seeds)]
            replicates = [_reseeded(one, seed) for seed in seeds for one in alike]
        mixed: list[Trajectory] = []
        if width in (study.sweep.mixture_widths or study.sweep.widths):
            lowest = budgets[: study.sweep.mixture_budgets]
            for mixture in study.mixtures:
                seed = _fit_seed(study, 0)
                mixed += _trajectories(study, data, width, seed, "mixture", lowest, count, mixture=mixture)
        trajectories += [*found, *replicates, *mixed]
        examples += [*found, *mixed]
    expected_check = _expected_check(study, data, count) if study.check.enabled else ()
    _refuse(
        [
            *cell_problems(study, _cells(study, windows, count), lambda budget: _cheapest_enough(study, budget, count)),
            *trajectory_problems(study, examples),
            *text_problems([*examples, *expected_check]),
        ]
    )
    return Plan(study, data, tuple(trajectories), expected_check, (*_notes(study, windows, count), *repeated(examples)))


def check_trajectories(
    study: Study, data: DataRecord, width: int, budget: float, count: Count = counts
) -> tuple[Trajectory, ...]:
    """The check at `width`: one horizon, at which at least `budget` FLOPs are spent, with check.seeds seeds.

    Raises:
      StudyError: the family has no such width, or the budget is too few steps there.
    """
    found = _check(study, data, width, budget, count)
    cell = _cell(study, width, budget, count)
    _refuse(
        f"check: {problem}"
        for problem in [
            *cell_problems(study, [cell], lambda _: cell.flops(study.training.minimum_steps)),
            *trajectory_problems(study, found),
        ]
    )
    return found


def expected_optimum(study: Study, budget: float, count: Count = counts) -> float:
    """N_expected at `budget` FLOPs, under the study's conventions."""
    return _expected_optimum(study, budget, min(study.sweep.budgets), count)


def window(study: Study, budget: float, count: Count = counts) -> tuple[int, ...]:
    """The sizes_per_budget widths of the sweep whose N is nearest, in logarithm, to the expected optimum."""
    return _nearest(study, expected_optimum(study, budget, count), count)


def _expected_optimum(study: Study, budget: float, smallest_budget: float, count: Count) -> float:
    """N solves C_min = expected_tokens_per_param x N x flops_per_token(N), read off the family in logarithms."""
    params, flops = cost_table(study, count)
    log_params = [math.log(value) for value in params]
    log_costs = [math.log(value * cost) for value, cost in zip(params, flops, strict=True)]
    target = math.log(smallest_budget / study.sweep.expected_tokens_per_param)
    at = min(max(bisect_left(log_costs, target), 1), len(log_costs) - 1)
    slope = (log_params[at] - log_params[at - 1]) / (log_costs[at] - log_costs[at - 1])
    first = log_params[at - 1] + slope * (target - log_costs[at - 1])
    return math.exp(first + study.sweep.expected_exponent * math.log(budget / smallest_budget))


def _nearest(study: Study, params: float, count: Count) -> tuple[int, ...]:
    """Nearest points on a line are neighbours: the window has no gap."""
    by_distance = sorted(study.sweep.widths, key=lambda width: abs(math.log(params_at(width, study, count) / params)))
    return tuple(sorted(by_distance[: study.sweep.sizes_per_budget]))


def _cells(study: Study, windows: dict[float, tuple[int, ...]], count: Count) -> list[Cell]:
    return [_cell(study, width, budget, count) for budget, widths in windows.items() for width in widths]


def _cell(study: Study, width: int, budget: float, count: Count) -> Cell:
    model = model_of(width, study)
    recipe = recipe_of(model, study.training, seed=0)
    size, cost = size_and_cost(model, study.accounting, count)
    return Cell(budget, width, size, cost, model.sequence_length, recipe.batches)


def _cheapest_enough(study: Study, budget: float, count: Count) -> float:
    """The least budget, at or above `budget`, that is minimum_steps at each size of its own window."""
    others = [other for other in study.sweep.budgets if other != budget]
    for _ in study.sweep.widths:
        widths = _nearest(study, _expected_optimum(study, budget, min([budget, *others]), count), count)
        needed = max(_cell(study, width, budget, count).flops(study.training.minimum_steps) for width in widths)
        if needed <= budget:
            break
        budget = float(needed)
    return budget


def _trajectories(
    study: Study,
    data: DataRecord,
    width: int,
    seed: int,
    role: Role,
    budgets: Sequence[float],
    count: Count,
    round_up: bool = False,
    mixture: Mapping[str, float] | None = None,
) -> list[Trajectory]:
    """One for all budgets, or, where the rate falls over a whole run, one for each."""
    apart = [[budget] for budget in budgets] if falls(study.training.schedule) else [budgets]
    mixed = shares(study.data.weights if mixture is None else mixture)
    return [_trajectory(study, data, width, seed, role, some, count, round_up, mixed) for some in apart]


def _reseeded(trajectory: Trajectory, seed: int) -> Trajectory:
    """The same at another seed, on which nothing else of a plan depends."""
    return trajectory.model_copy(update={"recipe": trajectory.recipe.model_copy(update={"seed": seed})})


def _trajectory(
    study: Study,
    data: DataRecord,
    width: int,
    seed: int,
    role: Role,
    budgets: Sequence[float],
    count: Count,
    round_up: bool,
    mixture: Mapping[str, float],
) -> Trajectory:
    model = model_of(width, study)
    recipe = recipe_of(model, study.training, seed, mixture=mixture)
    params, cost = size_and_cost(model, study.accounting, count)
    found = count(model)
    horizons = tuple(_horizon(study, model, recipe, cost, budget, round_up) for budget in budgets)
    if falls(study.training.schedule):
        recipe = recipe_of(model, study.training, seed, total_steps=horizons[0].steps, mixture=mixture)
    return Trajectory(
        model=model,
        recipe=recipe,
        data=data,
        accounting=study.accounting,
        role=role,
        params=params,
        flops_per_token=cost,
        params_with_embeddings=found.params,
        params_non_embedding=found.params_non_embedding,
        flops_per_token_exact=found.flops_per_token_exact,
        flops_per_token_causal=found.flops_per_token_causal,
        metrics=study.evaluation.metrics,
        horizons=horizons,
    )


def _horizon(study: Study, model: ModelConfig, recipe: Recipe, cost: int, budget: float, round_up: bool) -> Horizon:
    exact_steps = recipe.batches.steps(Fraction(budget) / (cost * model.sequence_length))
    steps = max(1, math.ceil(exact_steps) if round_up else round(exact_steps))
    decay_steps = max(study.training.minimum_decay_steps, _decay_steps(study, recipe, steps))
    return Horizon(
        tokens=recipe.batches.before(steps) * model.sequence_length,
        steps=steps,
        decay_steps=decay_steps if study.training.schedule == "wsd" else 0,
        decay_shape=study.training.decay_shape,
        budget=budget,
    )


def _decay_steps(study: Study, recipe: Recipe, steps: int) -> int:
    """The last steps that hold training.decay_fraction of a horizon's tokens."""
    fraction = study.training.decay_fraction
    if not recipe.batch_ramp:
        return round(fraction * steps)
    return steps - round(recipe.batches.steps((1 - Fraction(fraction)) * recipe.batches.before(steps)))


def _expected_check(study: Study, data: DataRecord, count: Count) -> tuple[Trajectory, ...]:
    """The check where the study expects it, before a fit has said where it belongs."""
    budget = study.check.budget_multiple * max(study.sweep.budgets)
    width = nearest_width(expected_optimum(study, budget, count), study, count)
    return _check(study, data, width, budget, count)


def _check(study: Study, data: DataRecord, width: int, budget: float, count: Count) -> tuple[Trajectory, ...]:
    first = SEEDS_PER_STUDY * study.seed + FIRST_CHECK_SEED
    return tuple(
        one
        for k in range(study.check.seeds)
        for one in _trajectories(study, data, width, first + k, "check", [budget], count, round_up=True)
    )


def _fit_seed(study: Study, k: int) -> int:
    return SEEDS_PER_STUDY * study.seed + k


def _notes(study: Study, windows: dict[float, tuple[int, ...]], count: Count) -> Iterable[str]:
    for field, part in study.own.items():
        yield f"{field} is {part}, source {part.source[:12]}"
    used = {width for widths in windows.values() for width in widths}
    unused = [width for width in study.sweep.widths if width not in used]
    if unused:
        yield f"sweep.widths has {unused}, not among the sizes of any budget: not trained"
    for budget, widths in windows.items():
        expected = expected_optimum(study, budget, count)
        smallest, largest = params_at(widths[0], study, count), params_at(widths[-1], study, count)
        if not smallest < expected < largest:
            yield (
                f"sweep.budgets has {budget:g}: the optimum is expected at N = {expected:,.0f}, outside its sizes "
                f"({smallest:,} to {largest:,}); its minimum may not be bracketed"
            )


def _refuse(problems: Iterable[str]) -> None:
    found = list(problems)
    if found:
        raise StudyError("\n".join(found))
