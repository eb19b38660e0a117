"""A plan by shape: the cells that become jobs of one compiled program, and what they take together."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from scaling.planning.plans import Plan, exact_flops
from scaling.records import Trajectory


@dataclass(frozen=True)
class ShapeRow:
    """The trajectories of one model; ranges are of their horizons."""

    width: int
    layers: int
    params: int
    """N, under the study's convention."""
    trajectories: int
    horizons: int
    least_tokens: int
    """D."""
    most_tokens: int
    training_flops: float
    """C of trunks and decays, under the study's convention."""
    steps: int
    expected_seconds: float
    """On one process, at engine.expected_flops_per_second."""
    done: int | None
    """Horizons that are committed; None where no run directory was asked."""


Done = Callable[[Trajectory], int]
"""How many horizons of a trajectory are committed."""


def shape_rows(plan: Plan, done: Done | None = None) -> tuple[ShapeRow, ...]:
    """The plan's shapes, smallest first."""
    groups: dict[object, list[tuple[Trajectory, int]]] = {}
    for trajectory, tokens in zip(plan.trajectories, plan.training_tokens, strict=True):
        groups.setdefault(trajectory.shape, []).append((trajectory, tokens))
    rows = (_row(plan, group, done) for group in groups.values())
    return tuple(sorted(rows, key=lambda row: (row.width, row.layers, row.params)))


def device_hours(plan: Plan) -> float:
    """Expected, of the sweep and the expected check: hours of a process times the devices of its mesh."""
    flops = sum(exact_flops(one) for one in (*plan.trajectories, *plan.expected_check))
    engine = plan.study.engine
    return flops / engine.expected_flops_per_second / 3600 * engine.mesh.devices


def _row(plan: Plan, group: Sequence[tuple[Trajectory, int]], done: Done | None) -> ShapeRow:
    first = group[0][0]
    tokens = [horizon.tokens for one, _ in group for horizon in one.horizons]
    training_tokens = float(sum(taken for _, taken in group))
    return ShapeRow(
        width=first.model.width,
        layers=first.model.layers,
        params=first.params,
        trajectories=len(group),
        horizons=len(tokens),
        least_tokens=min(tokens),
        most_tokens=max(tokens),
        training_flops=training_tokens * first.flops_per_token,
        steps=sum(one.training_steps for one, _ in group),
        expected_seconds=training_tokens * first.flops_per_token_exact / plan.study.engine.expected_flops_per_second,
        done=None if done is None else sum(done(one) for one, _ in group),
    )
