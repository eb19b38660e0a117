"""From a study to its plan: every cell placed, skipped or refused, and those of one trajectory put together."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from scaling.accounting import Count, counts
from scaling.config import HORIZONS, CrossedConfig, DrawnConfig, IsoflopConfig, Study, StudyError, SweepConfig
from scaling.planning import isoflop
from scaling.planning.cells import FLOPS, Skipped
from scaling.planning.checks import FIRST_CHECK_SEED, expected_check
from scaling.planning.collection import no_collection
from scaling.planning.designs import cells
from scaling.planning.feasibility import (
    cell_problems,
    mixture_problems,
    seed_problems,
    short_problems,
    text_problems,
    trajectory_problems,
    window_problems,
)
from scaling.planning.making import SEEDS_PER_STUDY, Maker, Placed
from scaling.planning.plans import Plan, repeated
from scaling.planning.rates import Rule, at_ratio
from scaling.planning.skipping import never_held, rule_of
from scaling.planning.tuning import Run, beside_of, too_short, tuning_of
from scaling.records import DataRecord, Trajectory

SEEN_BY_LAWS = {"width", "params", *HORIZONS, "learning_rate_factor", "batch_factor", "mixture"}
SEEN_BY_LAWS |= {"training.learning_rate", "training.batch_tokens"}
"""What a law's rows tell apart: by N, D, learning rate and batch size; a mixture by its role."""


@dataclass
class _Group:
    """Cells of one trajectory, by their horizons."""

    first: Placed
    by_horizon: dict[object, Placed] = field(default_factory=dict)


def plan(study: Study, data: DataRecord, count: Count = counts, rule: Rule | None = None) -> Plan:
    """What `study` trains on `data`: one trajectory for each size, setting and seed, its budgets as horizons.

    `rule` is that of a tuned ladder, of whose bowls there is a law; without it the ladder is planned by the family's.

    Raises:
      StudyError: one line for each problem: field, value, fix.
    """
    with no_collection():
        return _planned(study, data, count, rule)


def _planned(study: Study, data: DataRecord, count: Count, rule: Rule | None) -> Plan:
    sweep = study.sweep
    tuning = None if study.tuning is None else tuning_of(study, study.tuning, data, count)
    _refuse(seed_problems(study, FIRST_CHECK_SEED, (2**31 - 1) // SEEDS_PER_STUDY - 1))
    if isinstance(sweep, IsoflopConfig):
        _refuse(window_problems(sweep))
        _refuse(mixture_problems(study, sweep))
    maker = Maker(study, data, count, None if rule is None or tuning is None else at_ratio(rule, tuning.ratio))
    skipped, kept, held = [], [], Counter[int]()
    for cell in cells(study, count):
        placed = maker.placed(cell)
        skip = rule_of(sweep.skip, placed.value) if sweep.skip else None
        short = too_short(study, placed) if tuning is not None and skip is None else None
        if skip is not None:
            held[skip] += 1
            skipped.append(Skipped(cell, placed.size.model.width, sweep.skip[skip].because))
        elif short is not None:
            skipped.append(Skipped(cell, placed.size.model.width, short))
        else:
            kept.append(placed)
    if not kept:
        why = "sweep.skip leaves out" if tuning is None else "sweep.skip, or too few steps, leave out"
        raise StudyError(f"{why} all {len(skipped)} cells; nothing is left to train")
    groups, doubled = _grouped(kept, sweep)
    trajectories = tuple(_made(maker, groups))
    largest = max(placed.horizon.budget for placed in kept)
    checks = expected_check(study, data, largest, count, rule) if study.check.enabled else ()
    examples = _examples(groups, trajectories)
    if isinstance(sweep, IsoflopConfig):
        windows = isoflop.windows(study, sweep, count)
        trained = {(one.size.model.width, one.cell.values[FLOPS]) for one in kept}
        asked = [one for one in isoflop.budget_cells(study, windows, count) if (one.width, one.budget) in trained]
        too_few = cell_problems(study, asked, lambda budget: isoflop.cheapest_enough(study, sweep, budget, count))
        own_notes = isoflop.notes(study, sweep, windows, count)
    else:
        too_few, own_notes = short_problems(study, kept), _notes(sweep, kept, doubled)
    _refuse([*([] if tuning else too_few), *trajectory_problems(study, examples), *text_problems([*examples, *checks])])
    notes = (*_own(study), *own_notes, *never_held(sweep.skip, held), *repeated(trajectories))
    if tuning is not None and rule is not None:
        ladder = list(_ladder(groups, trajectories))
        tuning = replace(tuning, beside=beside_of(study, tuning, data, rule, ladder, count))
    return Plan(study, data, trajectories, checks, notes, tuple(skipped), tuning)


def _ladder(groups: Sequence[_Group], trajectories: Sequence[Trajectory]) -> Iterator[tuple[Placed, Run]]:
    for group, trajectory in zip(groups, trajectories, strict=True):
        for placed in group.by_horizon.values():
            yield placed, Run(trajectory, placed.horizon)


def _grouped(kept: Sequence[Placed], sweep: SweepConfig) -> tuple[list[_Group], int]:
    """(cells by trajectory, how many draws fall on one that was drawn before).

    Raises:
      StudyError: two cells that are not drawn train the same.
    """
    groups: dict[object, _Group] = {}
    apart, doubled = isinstance(sweep, IsoflopConfig), 0
    for placed in kept:
        group = groups.setdefault(placed.identity, _Group(placed))
        steps = placed.horizon.steps
        # Two budgets of the same steps are kept, for `trajectory_problems` tells what to do about them.
        key = (steps, placed.horizon.budget) if apart else steps
        other = group.by_horizon.setdefault(key, placed)
        if other is placed:
            continue
        if not isinstance(sweep, DrawnConfig):
            raise StudyError(
                f"sweep has two cells that are the same: {other.cell} and {placed.cell} both are {_told(placed)}; "
                "leave one out, or move them apart"
            )
        doubled += 1
    return list(groups.values()), doubled


def _made(maker: Maker, groups: Iterable[_Group]) -> Iterator[Trajectory]:
    for group in groups:
        horizons = sorted((one.horizon for one in group.by_horizon.values()), key=lambda one: (one.steps, one.budget))
        yield maker.trajectory(group.first, horizons, group.first.cell.role)


def _examples(groups: Sequence[_Group], trajectories: Sequence[Trajectory]) -> list[Trajectory]:
    """One trajectory of each size, mixture and set of horizons: all that makes one impossible."""
    found: dict[object, Trajectory] = {}
    for group, trajectory in zip(groups, trajectories, strict=True):
        placed = group.first
        key = (id(placed.size), tuple(placed.recipe.mixture.items()), *map(id, trajectory.horizons))
        found.setdefault(key, trajectory)
    return list(found.values())


def _own(study: Study) -> Iterator[str]:
    if study.command is not None:
        files = "".join(f", {word} of source {hashed[:12]}" for word, hashed in study.command.sources.items())
        yield (
            f"command {study.command} trains{files}; N and C are those of the family, models and checkpoints its own, "
            "so that checkpoints.* say nothing"
        )
    for name, part in study.own.items():
        yield f"{name} is {part}, source {part.source[:12]}"


def _notes(sweep: CrossedConfig, kept: Sequence[Placed], doubled: int) -> Iterator[str]:
    """What a person should know of a sweep that is no IsoFLOP."""
    if doubled:
        yield f"{doubled} of sweep.samples fall on cells that were drawn before: trained once"
    sizes = {one.size.params for one in kept}
    if len(sizes) == 1:
        yield f"the sweep has one size, N = {sizes.pop():,}: no law of N can be fitted to it"
    elif len({float(f"{one.value('tokens_per_param'):.2g}") for one in kept}) == 1:
        yield (
            "every cell has the same D / N: such rows cannot tell alpha from beta, and say little of other ratios; add "
            "another"
        )
    unseen = sorted(name for name in sweep.names - SEEN_BY_LAWS)
    if unseen:
        yield (
            f"the sweep varies {', '.join(unseen)}, which the laws' rows do not tell apart: the study's own fits take "
            "them together"
        )


def _told(placed: Placed) -> str:
    batch = placed.recipe.sequences * placed.size.model.sequence_length
    return (
        f"width {placed.size.model.width} for {placed.horizon.steps} steps of {batch} tokens at learning rate "
        f"{placed.recipe.learning_rate:.6g}"
    )


def _refuse(problems: Iterable[str]) -> None:
    found = list(problems)
    if found:
        raise StudyError("\n".join(found))
