"""What makes a plan impossible or worthless, found before anything is trained: one line a problem."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

from scaling.config import Study
from scaling.records import BatchSizes, Horizon, Trajectory, shares


@dataclass(frozen=True)
class Cell:
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


def study_problems(study: Study, most_seeds: int, largest_seed: int) -> Iterator[str]:
    """What can be said of the sweep without counting anything."""
    sweep = study.sweep
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
    if study.seed > largest_seed:
        yield f"seed is {study.seed}; trajectory seeds are 1000 x seed + k, below 2^31: use at most {largest_seed}"
    for field, seeds in (("sweep.replicate_seeds", sweep.replicate_seeds), ("check.seeds", study.check.seeds)):
        if seeds > most_seeds:
            yield f"{field} is {seeds}; use at most {most_seeds}"


def cell_problems(
    study: Study, cells: Sequence[Cell], enough: Callable[[float], float], field: str = "sweep.budgets"
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
    if trajectories and trajectories[0].role == "fit":
        for width in study.sweep.replicate_widths:
            if width not in taking_part:
                yield (
                    f"sweep.replicate_widths has {width}, which is not among the {study.sweep.sizes_per_budget} sizes "
                    f"of any budget; use {sorted(taking_part)}"
                )


def text_problems(trajectories: Sequence[Trajectory]) -> Iterator[str]:
    """Texts, or domains of a mixture, with fewer training sequences than one batch takes of them."""
    told = set()
    for one in trajectories:
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


def mixture_problems(study: Study) -> Iterator[str]:
    """Mixtures that are one and the same."""
    known = {"data.mixture": shares(study.data.weights)}
    for number, mixture in enumerate(study.mixtures):
        mine = shares(mixture)
        for name, other in known.items():
            if mine == other:
                yield f"sweep.mixtures has {dict(study.sweep.mixtures[number])}, the shares of {name}; leave it out"
        known[f"sweep.mixtures.{number}"] = mine


def _warmup_problem(study: Study, long_enough: Sequence[tuple[Trajectory, Horizon]]) -> Iterator[str]:
    trajectory, shortest = min(long_enough, key=lambda pair: pair[1].tokens)
    if 10 * study.training.warmup_tokens > shortest.tokens:
        yield (
            f"training.warmup_tokens is {study.training.warmup_tokens}, more than a tenth of the shortest horizon of "
            f"{shortest.tokens} tokens (width {trajectory.model.width}); use at most {shortest.tokens // 10}"
        )


def _decay_problem(study: Study, long_enough: Sequence[tuple[Trajectory, Horizon]]) -> Iterator[str]:
    if study.training.schedule != "wsd":
        return
    for trajectory, horizon in long_enough:
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


def _batch_tokens(study: Study, cell: Cell) -> int:
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
