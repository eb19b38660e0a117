"""What makes a plan impossible or worthless, found before anything is trained: one line a problem."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

from scaling.accounting import Count, size_and_cost
from scaling.config import IsoflopConfig, Study
from scaling.planning.family import model_of, recipe_of
from scaling.planning.making import Placed
from scaling.records import BatchSizes, Horizon, Trajectory, shares

MOST_LINES = 8
"""Sizes that are named one by one."""


@dataclass(frozen=True)
class BudgetCell:
    """One size at one budget."""

    budget: float
    width: int
    params: int
    flops_per_token: int
    sequence_length: int
    batches: BatchSizes

    def flops(self, steps: int) -> int:
        """Training FLOPs of the first `steps` optimiser steps."""
        return self.batches.before(steps) * self.sequence_length * self.flops_per_token

    @property
    def steps(self) -> float:
        return float(self.batches.steps(Fraction(self.budget) / (self.flops_per_token * self.sequence_length)))

    @property
    def batch_tokens(self) -> int:
        """Mean tokens of a batch."""
        return round(self.budget / self.flops_per_token / self.steps)


def budget_cell(study: Study, width: int, budget: float, count: Count) -> BudgetCell:
    """The study's own model at `width`, for `budget` FLOPs."""
    model = model_of(width, study)
    params, cost = size_and_cost(model, study.accounting, count)
    recipe = recipe_of(model, study.training, seed=0)
    return BudgetCell(budget, width, params, cost, model.sequence_length, recipe.batches)


def window_problems(sweep: IsoflopConfig) -> Iterator[str]:
    """What can be said of the sizes of a budget without counting anything."""
    if sweep.sizes_per_budget < 2:
        yield (
            f"sweep.sizes_per_budget is {sweep.sizes_per_budget}: a single size cannot show how loss depends on size; "
            "use at least 3 (5 or more for intervals worth trusting)"
        )
    if len(sweep.widths) < sweep.sizes_per_budget:
        yield (
            f"sweep.sizes_per_budget is {sweep.sizes_per_budget}, but sweep.widths has {len(sweep.widths)} sizes "
            f"({list(sweep.widths)}); add sizes, or use {len(sweep.widths)} or fewer"
        )


def seed_problems(study: Study, most_seeds: int, largest_seed: int) -> Iterator[str]:
    """Seeds that would leave their range."""
    if study.seed > largest_seed:
        yield f"seed is {study.seed}; trajectory seeds are 1000 x seed + k, below 2^31: use at most {largest_seed}"
    sweep = study.sweep
    own = (
        ("sweep.replicate_seeds", sweep.replicate_seeds)
        if isinstance(sweep, IsoflopConfig)
        else ("sweep.seeds", sweep.seeds)
    )
    for field, seeds in (own, ("check.seeds", study.check.seeds)):
        if seeds > most_seeds:
            yield f"{field} is {seeds}; use at most {most_seeds}"


def cell_problems(
    study: Study, cells: Sequence[BudgetCell], enough: Callable[[float], float], field: str = "sweep.budgets"
) -> Iterator[str]:
    """Budgets that are too few optimiser steps at some of their sizes; `enough(budget)` is the budget that is not."""
    minimum = study.training.minimum_steps
    for budget in dict.fromkeys(cell.budget for cell in cells):
        short = [cell for cell in cells if cell.budget == budget and round(cell.steps) < minimum]
        if not short:
            continue
        worst = min(short, key=lambda cell: cell.steps)
        where = f"at width {worst.width} that is {round(worst.steps)} steps of {worst.batch_tokens} tokens"
        if len(short) > 1:
            where = f"at {len(short)} sizes that is too few steps; {where}"
        fixes = [f"raise it to at least {_round_up(enough(budget))}"]
        batch_tokens = _batch_tokens(study, worst)
        if batch_tokens:
            fixes.append(f"lower training.batch_tokens to {batch_tokens}")
        yield (
            f"{field} has {_number(budget)}: {where}, fewer than training.minimum_steps ({minimum}); "
            f"{', '.join(fixes)} or drop the width{'s' if len(short) > 1 else ''}"
        )


def trajectory_problems(study: Study, trajectories: Sequence[Trajectory]) -> Iterator[str]:
    """Warm-up, decay and spacing of each trajectory's horizons; too short ones are left to `cell_problems`."""
    minimum = study.training.minimum_steps
    long_enough = [
        (trajectory, horizon)
        for trajectory in trajectories
        for horizon in trajectory.horizons
        if horizon.steps >= minimum
    ]
    if long_enough:
        yield from _warmup_problem(study, long_enough)
        yield from _decay_problem(study, long_enough)
    yield from _spacing_problems(trajectories)
    taking_part = {trajectory.model.width for trajectory in trajectories}
    sweep = study.sweep
    if isinstance(sweep, IsoflopConfig) and trajectories and trajectories[0].role == "fit":
        for width in sweep.replicate_widths:
            if width not in taking_part:
                yield (
                    f"sweep.replicate_widths has {width}, which is not among the {sweep.sizes_per_budget} sizes "
                    f"of any budget; use {sorted(taking_part)}"
                )


def short_problems(study: Study, placed: Sequence[Placed], part: str = "sweep") -> Iterator[str]:
    """Cells of too few optimiser steps, a line for each size: the shortest of them, and what is enough there. `part` of
    the study names them."""
    others = ", a smaller batch, or leave such cells out by sweep.skip" if part == "sweep" else " or a smaller batch"
    minimum = study.training.minimum_steps
    short: dict[int, list[Placed]] = {}
    for one in placed:
        if one.horizon.steps < minimum:
            short.setdefault(one.size.model.width, []).append(one)
    for width in sorted(short)[:MOST_LINES]:
        worst = min(short[width], key=lambda one: one.horizon.steps)
        batch = worst.recipe.sequences * worst.size.model.sequence_length
        enough = worst.recipe.batches.before(minimum) * worst.size.model.sequence_length
        yield (
            f"{part} has {len(short[width])} cells at width {width} of too few steps: {worst.cell} is "
            f"{worst.horizon.steps} steps of {batch} tokens, fewer than training.minimum_steps ({minimum}); give it at "
            f"least {enough:,} tokens ({enough / worst.size.params:.3g} a parameter){others}"
        )
    if len(short) > MOST_LINES:
        yield f"and {len(short) - MOST_LINES} more sizes have cells of too few steps"


def text_problems(trajectories: Sequence[Trajectory]) -> Iterator[str]:
    """Texts, or domains of a mixture, with fewer training sequences than one batch takes of them; where a command of
    the user's own trains, what it reads and how is its own affair."""
    told = set()
    for one in (one for one in trajectories if one.command is None):
        domains = {f"data.mixture.{domain.name}": domain for domain in one.data.domains}
        texts = [
            (name, domain.train_tokens, one.recipe.mixture.get(domain.name, 0.0)) for name, domain in domains.items()
        ]
        length, most = one.model.sequence_length, max(one.recipe.batches.sizes)
        for name, tokens, share in texts or [("data.corpus", one.data.train_tokens, 1.0)]:
            if (tokens - 1) // length < most * share and name not in told:
                told.add(name)
                yield (
                    f"{name} has {tokens} training tokens, {max(0, tokens - 1) // length} sequences of "
                    f"family.sequence_length {length}: less than one batch of {most} sequences takes"
                    f"{f' at a share of {share:.3g}' if share < 1 else ''}; give it more text, or use a smaller "
                    "training.batch_tokens"
                )


def mixture_problems(study: Study, sweep: IsoflopConfig) -> Iterator[str]:
    """Mixtures that are one and the same."""
    known = {"data.mixture": shares(study.data.weights)}
    for number, mixture in enumerate(study.mixtures):
        mine = shares(mixture)
        for name, other in known.items():
            if mine == other:
                yield f"sweep.mixtures has {dict(sweep.mixtures[number])}, the shares of {name}; leave it out"
        known[f"sweep.mixtures.{number}"] = mine


def _warmup_problem(study: Study, long_enough: Sequence[tuple[Trajectory, Horizon]]) -> Iterator[str]:
    short = [pair for pair in long_enough if 10 * pair[0].recipe.warmup_tokens > pair[1].tokens]
    if short:
        trajectory, shortest = min(short, key=lambda pair: pair[1].tokens)
        yield (
            f"training.warmup_tokens is {trajectory.recipe.warmup_tokens}, more than a tenth of the shortest horizon "
            f"of {shortest.tokens} tokens (width {trajectory.model.width}); use at most {shortest.tokens // 10}"
        )


def _decay_problem(study: Study, long_enough: Sequence[tuple[Trajectory, Horizon]]) -> Iterator[str]:
    for trajectory, horizon in long_enough:
        if trajectory.recipe.schedule != "wsd":
            continue
        room = horizon.steps - math.ceil(trajectory.recipe.warmup_steps(trajectory.model.sequence_length))
        if horizon.decay_steps <= room:
            continue
        by_minimum = horizon.decay_steps == study.training.minimum_decay_steps
        name = "minimum_decay_steps" if by_minimum else "decay_fraction"
        value = study.training.minimum_decay_steps if by_minimum else study.training.decay_fraction
        yield (
            f"training.{name} is {value}: at width {trajectory.model.width} the decay of {horizon.decay_steps} steps "
            f"does not fit into the {room} steps that {_number(horizon.budget)} FLOPs leave after the warm-up; "
            "lower it or training.batch_tokens, or raise the budget"
        )
        return


def _spacing_problems(trajectories: Sequence[Trajectory]) -> Iterator[str]:
    told = set()
    for trajectory in trajectories:
        horizons = sorted(trajectory.horizons, key=lambda horizon: (horizon.steps, horizon.budget))
        for below, above in pairwise(horizons):
            pair = (below.budget, above.budget)
            if below.steps == above.steps and pair not in told:
                told.add(pair)
                yield (
                    f"sweep.budgets has {_number(below.budget)} and {_number(above.budget)}: at width "
                    f"{trajectory.model.width} both are {below.steps} steps; drop one or move them apart"
                )


def _batch_tokens(study: Study, cell: BudgetCell) -> int:
    """The largest training.batch_tokens that gives minimum_steps at `cell`, in whole sequences; 0 where none does."""
    sequence = study.family.sequence_length
    allowed = int(cell.budget / (cell.flops_per_token * study.training.minimum_steps)) // sequence * sequence
    return int(study.training.batch_tokens * allowed / cell.batch_tokens) // sequence * sequence


def _round_up(value: float) -> str:
    """Two significant digits, never below `value`."""
    unit = 10.0 ** (math.floor(math.log10(value)) - 1)
    return _number(math.ceil(value / unit * (1 - 1e-12)) * unit)


def _number(value: float) -> str:
    """3e9 as a person writes it in a study."""
    mantissa, exponent = f"{value:.6e}".split("e")
    return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"
