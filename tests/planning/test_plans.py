"""What a plan says that it takes: rows, totals, disk."""

import json

import pytest

from scaling.planning import (
    checkpoint_bytes,
    exact_flops,
    plan,
    plan_checkpoint_bytes,
    process_count,
    retained_bytes,
    usable_cores,
)


def test_rows_by_hand(study_of, data):
    planned = plan(study_of(engine={"expected_flops_per_second": 1e9}), data)
    row = planned.rows()[1]
    assert (row.width, row.layers, row.seed, row.params) == (16, 1, 0, 11216)
    assert row.budgets == (1e10, 4e10)
    assert row.steps == (580, 2322)
    assert row.tokens == (580 * 256, 2322 * 256)
    assert row.flops == (580 * 256 * 6 * 11216, 2322 * 256 * 6 * 11216)
    assert row.tokens_per_param == pytest.approx((13.238, 52.998), rel=1e-4)
    assert row.epochs == pytest.approx((0.14848, 0.594432))
    steps = 2322 + 116  # the trunk up to 2322 - 464, and decays of 464 and 116 steps
    assert row.training_flops == steps * 256 * 6 * 11216
    trajectory = planned.trajectories[1]
    assert row.expected_seconds == pytest.approx(steps * 256 * trajectory.flops_per_token_exact / 1e9)
    assert planned.check_rows()[0].role == "check"


def test_totals(study_of, data):
    planned = plan(study_of(engine={"processes": 1, "expected_flops_per_second": 1e9}), data)
    assert planned.observations == 10
    assert planned.flops == sum(row.training_flops for row in planned.rows())
    assert planned.steps == sum(
        max(step - decay for step, decay in zip(row.steps, row.decay_steps, strict=True)) + sum(row.decay_steps)
        for row in planned.rows()
    )
    assert planned.expected_seconds == pytest.approx(sum(row.expected_seconds for row in planned.rows()))
    two = plan(study_of(engine={"processes": 2, "expected_flops_per_second": 1e9}), data)
    assert 0.5 <= two.expected_seconds / planned.expected_seconds < 0.6
    assert two.expected_check_seconds == pytest.approx(planned.expected_check_seconds / 2)


def test_the_expected_time_counts_exact_flops_under_any_convention(study_of, data):
    planned = plan(study_of(), data)
    for trajectory in planned.trajectories:
        ratio = trajectory.flops_per_token_exact / trajectory.flops_per_token
        assert exact_flops(trajectory) == pytest.approx(trajectory.training_flops * ratio)


def test_a_plan_is_plain_data(study_of, data):
    told = json.loads(json.dumps(plan(study_of(), data).as_json(), allow_nan=False))
    assert told["total"]["trajectories"] == len(told["trajectories"]) == 6
    assert told["accounting"] == {"params": "with_embeddings", "flops": "6N"}
    assert told["trajectories"][0]["id"].startswith("w8-l1-s0-")


def test_checkpoints_by_hand(study_of, data):
    one, two = plan(study_of(), data).trajectories[:2]
    assert checkpoint_bytes(one, "last") == 12 * 4968 * 4  # fork, trunk, decay, one being written
    assert checkpoint_bytes(two, "last") == 12 * 11216 * 5  # two forks while one takes over from the other
    assert checkpoint_bytes(two.model_copy(update={"horizons": two.horizons * 4}), "all") == 12 * 11216 * (8 + 3)
    assert retained_bytes(two, "last") == 12 * 11216
    assert retained_bytes(two, "all") == 12 * 11216 * 2


def test_what_a_sweep_needs_is_what_stays_and_the_fullest_that_run(study_of, data):
    planned = plan(study_of(engine={"processes": 1}), data)
    everything = [*planned.trajectories, *planned.expected_check]
    kept = sum(12 * t.params_with_embeddings for t in everything)
    largest = max(everything, key=lambda t: checkpoint_bytes(t, "last") - retained_bytes(t, "last"))
    assert plan_checkpoint_bytes(planned) == kept + checkpoint_bytes(largest, "last") - retained_bytes(largest, "last")
    more = plan(study_of(engine={"processes": 100}, checkpoints={"keep_forks": "all"}), data)
    assert plan_checkpoint_bytes(more) == sum(checkpoint_bytes(t, "all") for t in everything)


def test_one_process_a_usable_core_unless_told(study_of):
    assert process_count(study_of(engine={"processes": 7}).engine) == 7
    assert process_count(study_of().engine) == len(usable_cores())
