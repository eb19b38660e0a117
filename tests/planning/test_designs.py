"""Designs by hand: which sizes, which horizons, trained how. And that nothing depends on what else is in a sweep."""

import itertools
import math
from collections import Counter
from typing import Any

import numpy as np
import pytest

from scaling.config import parse_study
from scaling.planning import model_of, nearest_width, params_at, plan, recipe_of
from tests.planning.conftest import SMALL

PARAMS = {8: 4968, 16: 11216, 24: 19320, 32: 28320}
"""As in test_isoflop."""


def study(sweep: dict[str, Any], **changes: Any):
    """The small study with another sweep altogether."""
    raw = SMALL | {"sweep": sweep, "check": {"enabled": False}}
    for name, value in changes.items():
        raw[name] = raw.get(name, {}) | value if isinstance(value, dict) else value
    return parse_study(raw)


def short(sweep: dict[str, Any], **changes: Any):
    """With a warm-up and horizons that may be as short as they like."""
    training = {"minimum_steps": 1, "minimum_decay_steps": 1, "warmup_tokens": 0} | changes.pop("training", {})
    return study(sweep, training=training, **changes)


def trained(planned) -> set[tuple[str, str]]:
    """(trajectory, horizon) of all that a plan trains."""
    return {(one.id, horizon.name) for one in planned.trajectories for horizon in one.horizons}


def test_a_ladder_has_every_size_at_every_ratio(data):
    planned = plan(short({"design": "ladder", "widths": [8, 16, 32], "tokens_per_param": [20, 80]}), data)
    assert [one.model.width for one in planned.trajectories] == [8, 16, 32]
    for one in planned.trajectories:
        assert one.params == PARAMS[one.model.width]
        for horizon, ratio in zip(one.horizons, (20, 80), strict=True):
            assert abs(horizon.tokens - ratio * one.params) <= one.batch_tokens / 2
            assert horizon.budget == ratio * one.params * one.flops_per_token
    assert planned.observations == 6


def test_horizons_may_be_tokens(data):
    planned = plan(short({"design": "ladder", "widths": [8, 16], "tokens": [256_000, 128_000]}), data)
    for one in planned.trajectories:
        assert [horizon.tokens for horizon in one.horizons] == [128_000, 256_000]
        assert [horizon.budget for horizon in one.horizons] == [128_000 * 6 * one.params, 256_000 * 6 * one.params]


def test_sizes_by_factors_are_the_nearest_widths(data):
    sizes = {"first": 5e3, "last": 8.1e4, "factor": 2}
    asked = short({"design": "ladder", "params": sizes, "tokens": [256_000]})
    widths = [one.model.width for one in plan(asked, data).trajectories]
    assert widths == [nearest_width(5e3 * 2**rung, asked) for rung in range(5)]
    assert len(set(widths)) == 5


def test_chinchilla_is_one_ratio(data):
    planned = plan(short({"design": "chinchilla", "widths": [8, 16]}), data)
    assert [round(one.horizons[0].tokens / one.params) for one in planned.trajectories] == [20, 20]
    other = plan(short({"design": "chinchilla", "widths": [8, 16], "tokens_per_param": 35}), data)
    assert [round(one.horizons[0].tokens / one.params) for one in other.trajectories] == [35, 35]
    assert any("cannot tell alpha from beta" in note for note in planned.notes)


def test_overtraining_rises_by_factors_to_its_most(data):
    planned = plan(short({"design": "overtraining", "widths": [8, 16], "most": 161}), data)
    for one in planned.trajectories:
        assert [round(horizon.tokens / one.params) for horizon in one.horizons] == [20, 40, 80, 160]
    exact = plan(short({"design": "overtraining", "widths": [8], "least": 10, "most": 270, "factor": 3}), data)
    assert [round(one.tokens / 4968) for one in exact.trajectories[0].horizons] == [10, 30, 90, 270]


def test_a_grid_is_the_product(data):
    factors = {
        "width": [8, 16],
        "tokens": [128_000, 256_000],
        "training.learning_rate": [1e-3, 2e-3, 4e-3],
        "training.beta2": [0.95, 0.99],
    }
    planned = plan(short({"design": "grid", "factors": factors, "seeds": 2}), data)
    found = Counter(
        (one.model.width, horizon.tokens, one.recipe.learning_rate, one.recipe.beta2, one.recipe.seed)
        for one in planned.trajectories
        for horizon in one.horizons
    )
    rule = {8: 2**0.5, 16: 1.0}
    wanted = Counter(
        (width, tokens, rate * rule[width], beta2, seed)
        for width, tokens, rate, beta2, seed in itertools.product(*factors.values(), (0, 1))
    )
    assert np.allclose(sorted(found), sorted(wanted), rtol=1e-12)
    assert set(found.values()) == {1}
    assert len(planned.trajectories) == 2 * 3 * 2 * 2, "horizons of one setting are one trajectory"


def test_a_schedule_that_falls_has_a_trajectory_for_each_horizon(data):
    planned = plan(
        short({"design": "ladder", "widths": [8, 16], "tokens_per_param": [20, 40]}, training={"schedule": "cosine"}),
        data,
    )
    assert [one.recipe.total_steps for one in planned.trajectories] == [
        one.horizons[0].steps for one in planned.trajectories
    ]
    assert len(planned.trajectories) == 4


def test_zipped_values_vary_together_and_are_crossed_with_the_rest(data):
    zipped = [{"training.beta1": [0.8, 0.9], "training.weight_decay": [0.0, 0.1]}, {"training.gradient_clip": [1, 2]}]
    planned = plan(short({"design": "ladder", "widths": [8, 16], "tokens": [128_000], "zipped": zipped}), data)
    found = Counter(
        (one.model.width, one.recipe.beta1, one.recipe.weight_decay, one.recipe.gradient_clip)
        for one in planned.trajectories
    )
    pairs = [(0.8, 0.0), (0.9, 0.1)]
    assert found == Counter((width, *pair, clip) for width in (8, 16) for pair in pairs for clip in (1, 2))


def test_a_list_is_its_cells(data):
    cells = [
        {"width": 16, "tokens": 128_000},
        {"width": 8, "tokens_per_param": 30, "training.learning_rate": 1e-3},
        {"params": 28_000, "tokens": 64_000, "batch_factor": 2},
        {"width": 16, "tokens": 256_000},
    ]
    planned = plan(short({"design": "list", "cells": cells}), data)
    assert [(one.model.width, len(one.horizons)) for one in planned.trajectories] == [(16, 2), (8, 1), (32, 1)]
    assert planned.trajectories[1].recipe.learning_rate == pytest.approx(1e-3 * 2**0.5)
    assert planned.trajectories[2].recipe.sequences == 8
    assert planned.trajectories[0].id == plan(short({"design": "chinchilla", "widths": [16]}), data).trajectories[0].id


@pytest.mark.parametrize("design", ["random", "quasirandom"])
def test_draws_lie_in_their_ranges_and_more_of_them_keep_the_first(design, data):
    ranges = {"params": [5e3, 5e4], "tokens_per_param": [20, 200], "training.learning_rate": [1e-4, 1e-2]}

    def planned(samples, **changes):
        return plan(short({"design": design, "samples": samples, "ranges": ranges}, **changes), data)

    few, many = planned(16), planned(40)
    assert trained(few) < trained(many)
    assert trained(planned(16)) == trained(few)
    assert not trained(planned(16, seed=1)) & trained(few)
    for one in many.trajectories:
        assert 8 <= one.model.width <= 56
        assert 19 < one.horizons[0].tokens / one.params < 201
        assert 1e-4 <= one.recipe.learning_rate / (one.model.width / 16) ** -0.5 <= 1e-2
    reordered = {"design": design, "samples": 16, "ranges": dict(reversed(ranges.items()))}
    assert trained(plan(short(reordered), data)) == trained(few)


def test_a_quasirandom_design_has_one_draw_in_every_stratum(data):
    ranges = {"tokens": [1e5, 1e6], "training.learning_rate": [1e-4, 1e-2], "training.batch_tokens": [256, 4096]}
    sweep = {"design": "quasirandom", "samples": 64, "ranges": ranges, "factors": {"width": [16]}}
    planned = plan(short(sweep), data)
    places = np.sort([math.log(one.recipe.learning_rate / 1e-4) / math.log(100) for one in planned.trajectories])
    assert np.array_equal(np.floor(64 * places), np.arange(64))
    independent = plan(short(sweep | {"design": "random"}), data)
    places = np.sort([math.log(one.recipe.learning_rate / 1e-4) / math.log(100) for one in independent.trajectories])
    assert not np.array_equal(np.floor(64 * places), np.arange(64))
    assert all(one.batch_tokens % 64 == 0 for one in planned.trajectories)


def test_bowls_lie_around_what_the_rules_give(data):
    asked = short(
        {"design": "bowls", "widths": [8, 32], "tokens_per_param": [20, 40]},
        training={"batch_exponent": 0.5, "batch_tokens": 512},
    )
    planned = plan(asked, data)
    assert len(planned.trajectories) == 2 * 5 * 3
    for width in (8, 32):
        rule = recipe_of(model_of(width, asked), asked.training, seed=0)
        own = [one for one in planned.trajectories if one.model.width == width]
        rates = Counter(round(one.recipe.learning_rate / rule.learning_rate, 9) for one in own)
        assert rates == {0.25: 3, 0.5: 3, 1: 3, 2: 3, 4: 3}
        assert sorted({one.recipe.sequences / rule.sequences for one in own}) == pytest.approx([0.5, 1, 2], rel=0.1)
        assert all(len(one.horizons) == 2 for one in own)


@pytest.mark.parametrize(
    ("name", "value", "of"),
    [
        ("training.learning_rate", 7e-4, {"training": {"learning_rate": 7e-4}}),
        ("training.weight_decay", 0.3, {"training": {"weight_decay": 0.3}}),
        ("training.optimizer", "lion", {"training": {"optimizer": "lion"}}),
        ("training.batch_tokens", 512, {"training": {"batch_tokens": 512}}),
        ("training.schedule", "linear", {"training": {"schedule": "linear"}}),
        ("family.layers", 3, {"family": {"layers": 3}}),
        ("family.tied_head", True, {"family": {"tied_head": True}}),
    ],
)
def test_a_factor_trains_what_a_study_with_that_field_would(name, value, of, data):
    ladder = {"design": "ladder", "widths": [8, 16], "tokens_per_param": [20, 40]}
    varied = plan(short(ladder | {"factors": {name: [value]}}), data)
    assert varied.trajectories == plan(short(ladder, **of), data).trajectories


def test_what_a_cell_trains_depends_on_nothing_else_in_the_sweep(data):
    before = {
        "design": "ladder",
        "widths": [8, 16],
        "tokens_per_param": [20, 40],
        "factors": {"training.learning_rate": [1e-3, 2e-3]},
    }
    done = trained(plan(short(before), data))
    assert len(done) == 8
    for more in (
        {"widths": [8, 16, 24]},
        {"tokens_per_param": [10, 20, 30, 40, 80]},
        {"factors": {"training.learning_rate": [5e-4, 1e-3, 2e-3, 4e-3]}},
        {"factors": before["factors"] | {"training.beta2": [0.9, 0.99]}},
        {"seeds": 3},
        {"skip": [{"when": {"width": 8, "tokens_per_param": {"below": 5}}, "because": "none"}]},
    ):
        assert done <= trained(plan(short(before | more), data)), more
    both = trained(plan(short(before | {"widths": [8, 16, 24], "tokens_per_param": [20, 40, 80], "seeds": 2}), data))
    assert done < both


def test_the_check_is_expected_beyond_the_largest_cell(data):
    asked = short({"design": "ladder", "widths": [8, 16], "tokens_per_param": [20, 40]}, check={"enabled": True})
    planned = plan(asked, data)
    largest = max(horizon.budget for one in planned.trajectories for horizon in one.horizons)
    first, second = planned.expected_check
    assert first.horizons[0].budget == 4 * largest
    assert first.horizons[0].tokens / first.params == pytest.approx(20, rel=0.3)
    assert (first.recipe.seed, second.recipe.seed) == (500, 501)
    assert first.params >= params_at(16, asked)


def test_notes_say_what_no_law_can_tell(data):
    one_size = plan(short({"design": "grid", "factors": {"width": [16], "tokens": [64_000, 128_000]}}), data)
    assert one_size.notes == ("the sweep has one size, N = 11,216: no law of N can be fitted to it",)
    arms = {
        "design": "ladder",
        "widths": [8, 16],
        "tokens_per_param": [20, 40],
        "factors": {"training.beta1": [0.8, 0.9]},
    }
    (note,) = plan(short(arms), data).notes
    assert note.startswith("the sweep varies training.beta1, which the laws' rows do not tell apart")
