"""A plan by shape: sums and ranges of its trajectories, and what it costs."""

import pytest

from scaling.planning import device_hours, exact_flops, plan, shape_rows
from tests.planning.test_designs import short


def test_rows_are_sums_and_ranges(data):
    sweep = {"design": "bowls", "widths": [32, 8], "tokens_per_param": [20, 80], "seeds": 2}
    planned = plan(short(sweep, engine={"expected_flops_per_second": 1e9}), data)
    small, large = shape_rows(planned, done=lambda trajectory: trajectory.recipe.seed)
    assert (small.width, small.layers, small.params, small.trajectories, small.horizons) == (8, 1, 4968, 30, 60)
    own = [one for one in planned.trajectories if one.model.width == 8]
    assert (small.least_tokens, small.most_tokens) == (
        min(one.horizons[0].tokens for one in own),
        max(one.horizons[1].tokens for one in own),
    )
    assert small.steps == sum(one.training_steps for one in own)
    assert small.expected_seconds == pytest.approx(sum(map(exact_flops, own)) / 1e9)
    assert small.done == 15
    assert small.training_flops + large.training_flops == pytest.approx(planned.flops)


def test_one_shape_is_one_program(data):
    factors = {"family.tied_head": [True, False], "training.optimizer": ["adamw", "lion"]}
    sweep = {"design": "ladder", "widths": [8, 16], "tokens": [128_000], "factors": factors}
    rows = shape_rows(plan(short(sweep), data))
    assert [(row.width, row.trajectories) for row in rows] == [(8, 1)] * 4 + [(16, 1)] * 4
    assert all(row.done is None for row in rows)


def test_device_hours_count_every_device_of_a_job(data):
    sweep = {"design": "chinchilla", "widths": [8, 16]}
    one = plan(short(sweep, engine={"expected_flops_per_second": 1e9}, check={"enabled": True}), data)
    busy = sum(map(exact_flops, (*one.trajectories, *one.expected_check))) / 1e9
    assert device_hours(one) == pytest.approx(busy / 3600)
    mesh = {"mesh": {"data": 4, "tensor": 2}, "expected_flops_per_second": 1e9}
    assert device_hours(plan(short(sweep, engine=mesh, check={"enabled": True}), data)) == pytest.approx(
        8 * busy / 3600
    )
