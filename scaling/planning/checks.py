"""The check's trajectories: one horizon, a larger budget than any of the sweep, seeds of its own."""

from scaling.accounting import Count, counts
from scaling.config import Study, StudyError
from scaling.planning.cells import FLOPS, Cell
from scaling.planning.family import nearest_width
from scaling.planning.feasibility import budget_cell, cell_problems, short_problems, trajectory_problems
from scaling.planning.making import Maker, Placed
from scaling.planning.optimum import expected_optimum
from scaling.planning.rates import Rule
from scaling.records import DataRecord, Trajectory

FIRST_CHECK_SEED = 500
"""k of the first check seed; the fit's are below."""


def check_trajectories(
    study: Study, data: DataRecord, width: int, budget: float, count: Count = counts, rule: Rule | None = None
) -> tuple[Trajectory, ...]:
    """The check at `width`: one horizon, at which at least `budget` FLOPs are spent, with check.seeds seeds, trained by
    `rule` where there is one, else by the family's.

    Raises:
      StudyError: the family has no such width, or the budget is too few steps there.
    """
    placed, found = _made(study, data, width, budget, count, rule)
    cell = budget_cell(study, width, budget, count)
    too_few = (
        cell_problems(study, [cell], lambda _: cell.flops(study.training.minimum_steps))
        if rule is None
        else short_problems(study, placed, "the check")
    )
    problems = [*too_few, *trajectory_problems(study, found)]
    if problems:
        raise StudyError("\n".join(f"check: {problem}" for problem in problems))
    return found


def expected_check(
    study: Study, data: DataRecord, largest_budget: float, count: Count, rule: Rule | None = None
) -> tuple[Trajectory, ...]:
    """The check where the study expects it, before a fit has said where it belongs."""
    budget = study.check.budget_multiple * largest_budget
    width = nearest_width(expected_optimum(study, budget, count), study, count)
    return _made(study, data, width, budget, count, rule)[1]


def _made(
    study: Study, data: DataRecord, width: int, budget: float, count: Count, rule: Rule | None
) -> tuple[list[Placed], tuple[Trajectory, ...]]:
    maker = Maker(study, data, count, rule)
    seeds = range(FIRST_CHECK_SEED, FIRST_CHECK_SEED + study.check.seeds)
    placed = [maker.placed(Cell({"width": width, FLOPS: budget}, k), round_up=True) for k in seeds]
    return placed, tuple(maker.trajectory(one, [one.horizon], "check") for one in placed)
