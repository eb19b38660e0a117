"""The IsoFLOP design: at each budget, the sizes nearest to where the optimum is expected."""

import math
from collections.abc import Iterator, Mapping

from scaling.accounting import Count, counts
from scaling.config import MIXTURE, IsoflopConfig, Study
from scaling.planning.cells import FLOPS, Cell
from scaling.planning.family import cost_table, params_at
from scaling.planning.feasibility import BudgetCell, budget_cell
from scaling.planning.optimum import grown_optimum

Windows = Mapping[float, tuple[int, ...]]
"""Budget -> its widths."""


def cells(study: Study, sweep: IsoflopConfig, count: Count) -> Iterator[Cell]:
    """By width: every budget, then the replicates' lowest budgets, then those at other mixtures."""
    windows_of = windows(study, sweep, count)
    for width in sweep.widths:
        budgets = [budget for budget, widths in windows_of.items() if width in widths]
        yield from (Cell({"width": width, FLOPS: budget}) for budget in budgets)
        if width in sweep.replicate_widths:
            for k in range(1, sweep.replicate_seeds):
                lowest = budgets[: sweep.replicate_budgets]
                yield from (Cell({"width": width, FLOPS: budget}, k) for budget in lowest)
        if width in (sweep.mixture_widths or sweep.widths):
            for mixture in study.mixtures:
                for budget in budgets[: sweep.mixture_budgets]:
                    yield Cell({"width": width, FLOPS: budget, MIXTURE: mixture}, role="mixture")


def windows(study: Study, sweep: IsoflopConfig, count: Count = counts) -> Windows:
    """Of each budget, the sizes_per_budget widths whose N is nearest, in logarithm, to the expected optimum."""
    costs, sizes = cost_table(study, count), _sizes(study, sweep, count)
    smallest = min(sweep.budgets)
    return {budget: _nearest(sizes, sweep, grown_optimum(sweep, costs, budget, smallest)) for budget in sweep.budgets}


def cheapest_enough(study: Study, sweep: IsoflopConfig, budget: float, count: Count) -> float:
    """The least budget, at or above `budget`, that is minimum_steps at each size of its own window."""
    costs, sizes = cost_table(study, count), _sizes(study, sweep, count)
    others = [other for other in sweep.budgets if other != budget]
    for _ in sweep.widths:
        optimum = grown_optimum(sweep, costs, budget, min([budget, *others]))
        found = [budget_cell(study, width, budget, count) for width in _nearest(sizes, sweep, optimum)]
        needed = max(cell.flops(study.training.minimum_steps) for cell in found)
        if needed <= budget:
            break
        budget = float(needed)
    return budget


def budget_cells(study: Study, windows_of: Windows, count: Count) -> list[BudgetCell]:
    return [budget_cell(study, width, budget, count) for budget, widths in windows_of.items() for width in widths]


def notes(study: Study, sweep: IsoflopConfig, windows_of: Windows, count: Count) -> Iterator[str]:
    """Sizes that no budget uses, and budgets whose minimum may not be bracketed."""
    used = {width for widths in windows_of.values() for width in widths}
    unused = [width for width in sweep.widths if width not in used]
    if unused:
        yield f"sweep.widths has {unused}, not among the sizes of any budget: not trained"
    costs, smallest_budget = cost_table(study, count), min(sweep.budgets)
    for budget, widths in windows_of.items():
        expected = grown_optimum(sweep, costs, budget, smallest_budget)
        smallest, largest = params_at(widths[0], study, count), params_at(widths[-1], study, count)
        if not smallest < expected < largest:
            yield (
                f"sweep.budgets has {budget:g}: the optimum is expected at N = {expected:,.0f}, outside its sizes "
                f"({smallest:,} to {largest:,}); its minimum may not be bracketed"
            )


def _sizes(study: Study, sweep: IsoflopConfig, count: Count) -> dict[int, int]:
    return {width: params_at(width, study, count) for width in sweep.widths}


def _nearest(sizes: Mapping[int, int], sweep: IsoflopConfig, params: float) -> tuple[int, ...]:
    """Nearest points on a line are neighbours: the window has no gap."""
    by_distance = sorted(sizes, key=lambda width: abs(math.log(sizes[width] / params)))
    return tuple(sorted(by_distance[: sweep.sizes_per_budget]))
