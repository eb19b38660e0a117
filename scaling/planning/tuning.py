"""What a tuned ladder trains beside its ladder: the bowls, runs that show the law's regret, and corners."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from scaling.accounting import Count
from scaling.config import Study, StudyError, TuningCell, TuningConfig
from scaling.planning.cells import Cell
from scaling.planning.feasibility import short_problems, text_problems, trajectory_problems
from scaling.planning.making import RATE_FACTOR, Maker, Placed
from scaling.planning.rates import Rule
from scaling.planning.sizes import BATCH_FACTOR
from scaling.records import DataRecord, Horizon, Role, Trajectory

SAME_WAY = 0.15
"""Spread of ln D about its trend in ln N, over cells, below which their exponents cannot be told apart (as in
laws/procedures/hyperparameters.py)."""


@dataclass(frozen=True)
class Run:
    """One horizon of one trajectory."""

    trajectory: Trajectory
    horizon: Horizon

    @property
    def key(self) -> tuple[str, str]:
        return self.trajectory.id, self.horizon.name


@dataclass(frozen=True)
class Bowl:
    """The runs of one cell.

    Attributes:
      tokens: D as the cell asks for it; each run's is the nearest whole number of its batches.
      held: whether the law does not see it.
    """

    cell: Cell
    width: int
    params: int
    tokens: float
    held: bool
    runs: tuple[Run, ...]


@dataclass(frozen=True)
class Corner:
    """A branch of a trunk, and a run of its own at the settings of exactly its N and D."""

    branch: Run
    own: Run


@dataclass(frozen=True)
class Beside:
    """What is trained beside the ladder once there is a law.

    Attributes:
      regrets: one run at each held-out bowl.
    """

    regrets: tuple[Run, ...] = ()
    corners: tuple[Corner, ...] = ()

    @property
    def trajectories(self) -> tuple[Trajectory, ...]:
        return merged([*(one.trajectory for one in self.regrets), *(one.own.trajectory for one in self.corners)])


@dataclass(frozen=True)
class Tuning:
    """The plan of everything but the ladder.

    Attributes:
      ratio: D / N at which the ladder's settings are read off the law.
      inputs: of the law of the learning rate: N and D where the cells can tell both.
      beside: None as long as there is no law, and the ladder is planned by the family's rules.
    """

    bowls: tuple[Bowl, ...]
    ratio: float
    inputs: tuple[str, ...]
    beside: Beside | None = None

    @property
    def trajectories(self) -> tuple[Trajectory, ...]:
        """Of the bowls."""
        return merged(run.trajectory for bowl in self.bowls for run in bowl.runs)


def tuning_of(study: Study, config: TuningConfig, data: DataRecord, count: Count) -> Tuning:
    """The bowls of `study`, exactly as they will be trained.

    Raises:
      StudyError: a bowl that cannot be trained, two that are one, or cells that no law can be fitted to.
    """
    maker = Maker(study, data, count)
    given = [*((one, False) for one in config.cells), *((one, True) for one in config.held_out)]
    placed = [list(map(maker.placed, _cells(config, one))) for one, _ in given]
    bowls = tuple(_bowl(maker, own, held) for own, (_, held) in zip(placed, given, strict=True))
    problems = [*_same(bowls), *_problems(study, placed, bowls)]
    if problems:
        raise StudyError("\n".join(problems))
    seen = [one for one in bowls if not one.held]
    ratio = config.tokens_per_param or math.exp(math.fsum(math.log(o.tokens / o.params) for o in seen) / len(seen))
    return Tuning(bowls, ratio, _inputs(seen))


def beside_of(
    study: Study, tuning: Tuning, data: DataRecord, rule: Rule, ladder: Sequence[tuple[Placed, Run]], count: Count
) -> Beside:
    """The runs that a law is judged by: `rule` at exactly their N and D; `ladder` is what the sweep trains."""
    maker = Maker(study, data, count, rule)
    regrets = [_run(maker, bowl.cell, "regret") for bowl in tuning.bowls if bowl.held]
    corners = []
    assert study.tuning is not None
    for placed, branch in _corners([pair for pair in ladder if pair[0].cell.role == "fit"])[: study.tuning.corners]:
        corners.append(Corner(branch, _run(maker, placed.cell, "corner")))
    return Beside(tuple(regrets), tuple(corners))


def too_short(study: Study, placed: Placed) -> str | None:
    """Why a cell of a tuned ladder leaves it, which the batch of the law decides; None where it stays."""
    training, horizon = study.training, placed.horizon
    batch = placed.value("batch_tokens")
    if horizon.steps < training.minimum_steps:
        return f"fewer than training.minimum_steps ({training.minimum_steps}) at the batch of {batch:,} tokens"
    if horizon.decay_steps and round(training.decay_fraction * horizon.steps) < training.minimum_decay_steps:
        least = training.minimum_decay_steps
        return f"a decay of fewer than training.minimum_decay_steps ({least}) at the batch of {batch:,} tokens"
    return None


def merged(trajectories: Iterable[Trajectory]) -> tuple[Trajectory, ...]:
    """Each trajectory once, with the horizons of all that are the same."""
    found: dict[str, Trajectory] = {}
    for one in trajectories:
        there = found.get(one.id)
        if there is None:
            found[one.id] = one
            continue
        horizons = {horizon.name: horizon for horizon in (*there.horizons, *one.horizons)}
        ordered = tuple(sorted(horizons.values(), key=lambda horizon: horizon.steps))
        found[one.id] = there.model_copy(update={"horizons": ordered})
    return tuple(found.values())


def _cells(config: TuningConfig, cell: TuningCell) -> Iterator[Cell]:
    """Every setting and seed of one bowl; a lone batch factor of 1 is none."""
    for batch in config.batch_factors:
        own = {} if batch == 1.0 else {BATCH_FACTOR: batch}
        for rate in config.learning_rate_factors:
            for k in range(config.seeds):
                yield Cell({**cell.values, RATE_FACTOR: rate, **own}, k, "tuning")


def _bowl(maker: Maker, placed: Sequence[Placed], held: bool) -> Bowl:
    first = placed[0]
    own = {name: value for name, value in first.cell.values.items() if name not in (RATE_FACTOR, BATCH_FACTOR)}
    runs = tuple(Run(maker.trajectory(one, [one.horizon], "tuning"), one.horizon) for one in placed)
    return Bowl(Cell(own), first.size.model.width, first.size.params, first.value("tokens"), held, runs)


def _run(maker: Maker, cell: Cell, role: Role) -> Run:
    placed = maker.placed(replace(cell, role=role))
    return Run(maker.trajectory(placed, [placed.horizon], role), placed.horizon)


def _corners(ladder: Sequence[tuple[Placed, Run]]) -> list[tuple[Placed, Run]]:
    """The smallest size's shortest, the largest's longest, the smallest's longest, the largest's shortest; each once,
    of the first seed."""
    if not ladder:
        return []
    first = [pair for pair in ladder if pair[0].cell.seed == 0] or list(ladder)
    by_size = sorted(first, key=lambda pair: (pair[0].size.params, pair[0].horizon.tokens))
    least, most = by_size[0][0].size.params, by_size[-1][0].size.params
    small = [pair for pair in by_size if pair[0].size.params == least]
    large = [pair for pair in by_size if pair[0].size.params == most]
    found = {pair[1].key: pair for pair in (small[0], large[-1], small[-1], large[0])}
    return list(found.values())


def _same(bowls: Sequence[Bowl]) -> Iterator[str]:
    seen: dict[object, Bowl] = {}
    for one in bowls:
        other = seen.setdefault(one.runs[0].key, one)
        if other is not one:
            yield (
                f"tuning has two cells that are the same, {other.cell} and {one.cell}, both width {one.width} for "
                f"{one.runs[0].horizon.tokens:,} tokens; leave one out, or move them apart"
            )


def _problems(study: Study, placed: Sequence[Sequence[Placed]], bowls: Sequence[Bowl]) -> Iterator[str]:
    trajectories = [run.trajectory for bowl in bowls for run in bowl.runs]
    yield from short_problems(study, [one for own in placed for one in own], "tuning")
    yield from (f"tuning: {line}" for line in (*trajectory_problems(study, trajectories), *text_problems(trajectories)))
    seen = [one for one in bowls if not one.held]
    if len(seen) <= len(_inputs(seen)) + 1:
        yield (
            f"tuning.cells has {len(seen)} cells of several D / N, for a law in N and D of 3 parameters; give at least "
            "4, or one tokens_per_param for all, for a law in N alone"
        )


def _inputs(bowls: Sequence[Bowl]) -> tuple[str, ...]:
    """Of the law: N and D where they go different ways over the cells, else whichever varies, N before D."""
    size, data = (np.log([getattr(one, name) for one in bowls]) for name in ("params", "tokens"))
    if np.ptp(size) < SAME_WAY:
        return ("tokens",)
    away = data - np.polyval(np.polyfit(size, data, 1), size)
    return ("params", "tokens") if float(np.std(away)) >= SAME_WAY else ("params",)
