"""Cells that a sweep leaves out: which, for what reason, and which stay as they were."""

import pytest

from scaling.config import Condition
from scaling.planning import plan
from scaling.planning.skipping import holds
from tests.planning.test_designs import short, trained

GRID = {
    "design": "grid",
    "factors": {"width": [8, 16, 32], "tokens": [128_000, 256_000], "training.learning_rate": [1e-3, 4e-3, 1.6e-2]},
}


@pytest.mark.parametrize(
    ("condition", "value", "held"),
    [
        ({"above": 2}, 3, True),
        ({"above": 2}, 2, False),
        ({"below": 2}, 1.5, True),
        ({"above": 1, "below": 2}, 2.5, False),
        ({"equals": 0.1}, 0.1 + 1e-12, True),
        ({"equals": "lion"}, "lion", True),
        ({"equals": 1}, True, False),
        ({"any_of": [1, 2]}, 2, True),
        ({"any_of": ["a"]}, "b", False),
        ({"above": 1}, "lion", False),
        ({"below": 1}, None, False),
    ],
)
def test_a_condition(condition, value, held):
    assert holds(Condition(**condition), value) is held


def test_all_conditions_of_a_rule_must_hold(data):
    rule = {"when": {"width": {"above": 8}, "training.learning_rate": {"above": 1e-2}}, "because": "diverges"}
    whole, planned = plan(short(GRID), data), plan(short(GRID | {"skip": [rule]}), data)
    assert len(planned.skipped) == 2 * 2
    assert {one.because for one in planned.skipped} == {"diverges"}
    assert {(one.width, one.cell.values["training.learning_rate"]) for one in planned.skipped} == {
        (16, 1.6e-2),
        (32, 1.6e-2),
    }
    assert trained(planned) < trained(whole)
    assert len(trained(whole)) - len(trained(planned)) == 4
    told = planned.as_json()["skipped"]
    assert told[0] == {
        "cell": {"width": 16, "tokens": 128_000.0, "training.learning_rate": 1.6e-2},
        "seed": 0,
        "width": 16,
        "because": "diverges",
    }
    assert "skipped" not in whole.as_json()


@pytest.mark.parametrize(
    ("when", "left_out"),
    [
        ({"params": {"above": 2e4}}, 6),
        ({"tokens": {"above": 2e5}, "width": [8, 16]}, 6),
        ({"tokens_per_param": {"below": 5}}, 3),
        ({"flops": {"above": 2e10}}, 6),
        ({"learning_rate": {"above": 1.2e-2}}, 4),
        ({"batch_tokens": {"above": 255}}, 18),
        ({"seed": 1}, 18),
        ({"seed": 1, "width": 8}, 6),
    ],
)
def test_what_is_known_of_every_cell_may_be_a_condition(when, left_out, data):
    seeds = {"seeds": 2} if "seed" in when or "batch_tokens" in when else {}
    rule = {"when": when | ({"seed": 1} if "batch_tokens" in when else {}), "because": "asked"}
    assert len(plan(short(GRID | seeds | {"skip": [rule]}), data).skipped) == left_out


def test_a_rule_that_never_holds_is_noted(data):
    rules = [{"when": {"width": 64}, "because": "too large"}, {"when": {"width": 8}, "because": "small"}]
    planned = plan(short(GRID | {"skip": rules}), data)
    (note,) = planned.notes
    assert note.startswith("sweep.skip.0 (because: too large) leaves out no cell")


def test_isoflop_skips_too(study_of, data):
    rule = {"when": {"width": 16, "flops": {"above": 2e10}}, "because": "done elsewhere"}
    whole, planned = plan(study_of(), data), plan(study_of(sweep={"skip": [rule]}), data)
    assert len(planned.skipped) == 3  # its replicates too
    assert trained(whole) - trained(planned) == {
        (one.id, one.horizons[1].name) for one in whole.trajectories if one.model.width == 16
    }
