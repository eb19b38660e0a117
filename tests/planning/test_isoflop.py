"""The IsoFLOP design: by hand, and what holds for any study."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling.accounting import size_and_cost
from scaling.config import StudyError
from scaling.planning import check_trajectories, expected_optimum, model_of, plan

PARAMS = {8: 4968, 16: 11216, 24: 19320, 32: 28320}
"""2 x 257 w + w (4 w + 3 ffn) + 3 w, with ffn = 24, 40, 64, 80."""


def cells(planned):
    return {
        (trajectory.model.width, trajectory.recipe.seed, horizon.budget): (trajectory.id, horizon.name)
        for trajectory in planned.trajectories
        for horizon in trajectory.horizons
    }


def test_a_plan_by_hand(study_of, data):
    planned = plan(study_of(), data)
    assert {t.model.width: t.params for t in planned.trajectories} == PARAMS
    found = {(t.model.width, t.recipe.seed): [h.budget for h in t.horizons] for t in planned.trajectories}
    # N expected at 1e10: sqrt(1e10 / (6 x 13)) = 11323, at 4e10 twice that.
    assert found == {
        (8, 0): [1e10],
        (16, 0): [1e10, 4e10],
        (16, 1): [1e10, 4e10],
        (16, 2): [1e10, 4e10],
        (24, 0): [1e10, 4e10],
        (32, 0): [4e10],
    }
    first = planned.trajectories[1].horizons[0]
    assert first.steps == 580  # 1e10 / (6 x 11216 x 256) = 580.46
    assert (first.tokens, first.decay_steps, first.fork_step) == (580 * 256, 116, 464)
    assert planned.notes == ()


def test_the_expected_optimum_has_the_stated_ratio_and_grows_as_stated(study_of):
    study = study_of(sweep={"expected_exponent": 0.4})
    assert expected_optimum(study, 1e10) == pytest.approx(math.sqrt(1e10 / (6 * 13)))
    assert expected_optimum(study, 4e10) == pytest.approx(math.sqrt(1e10 / (6 * 13)) * 4**0.4)
    tiny = study_of(sweep={"expected_tokens_per_param": 1e5})
    assert expected_optimum(tiny, 1e10) == pytest.approx(math.sqrt(1e10 / 6e5))  # below the smallest model


def test_the_expected_optimum_under_the_exact_count(study_of):
    study = study_of(accounting={"flops": "exact", "params": "without_embeddings"}, sweep={"widths": [8, 16]})
    params, cost = size_and_cost(model_of(96, study), study.accounting)
    budget = 30 * params * cost
    study = study_of(
        accounting={"flops": "exact", "params": "without_embeddings"},
        sweep={"expected_tokens_per_param": 30, "budgets": [budget, 2 * budget]},
    )
    assert expected_optimum(study, budget) == pytest.approx(params, rel=1e-6)


def test_replicates_cover_their_lowest_budgets_only(study_of, data):
    study = study_of(sweep={"budgets": [1e10, 2e10, 4e10], "replicate_budgets": 1, "replicate_seeds": 4})
    of_16 = [t for t in plan(study, data).trajectories if t.model.width == 16]
    assert [t.recipe.seed for t in of_16] == [0, 1, 2, 3]
    assert [len(t.horizons) for t in of_16] == [3, 1, 1, 1]
    assert {t.horizons[0].name for t in of_16} == {of_16[0].horizons[0].name}


def test_two_study_seeds_share_no_trajectory_seed(study_of, data):
    def seeds(seed):
        planned = plan(study_of(seed=seed, check={"seeds": 3}), data)
        return {t.recipe.seed for t in (*planned.trajectories, *planned.expected_check)}

    assert seeds(3) == {3000, 3001, 3002, 3500, 3501, 3502}
    assert not seeds(0) & seeds(1)


def test_the_decay_has_its_minimum(study_of, data):
    planned = plan(study_of(training={"decay_fraction": 0.1, "minimum_decay_steps": 90}), data)
    for trajectory in planned.trajectories:
        for horizon in trajectory.horizons:
            assert horizon.decay_steps == max(90, round(0.1 * horizon.steps))


def test_the_check_spends_at_least_its_budget(study_of, data):
    study = study_of()
    first, second = check_trajectories(study, data, 48, 1.6e11)
    (horizon,) = first.horizons
    step = first.flops_per_token * first.batch_tokens
    assert 1.6e11 <= horizon.steps * step < 1.6e11 + step
    assert (first.role, first.model.width, horizon.budget) == ("check", 48, 1.6e11)
    assert (first.recipe.seed, second.recipe.seed) == (500, 501)
    exact = check_trajectories(study, data, 48, 5000 * step)
    assert exact[0].horizons[0].steps == 5000


def test_a_check_that_is_too_short_is_refused(study_of, data):
    with pytest.raises(StudyError, match=r"^check: .*fewer than training.minimum_steps \(300\)"):
        check_trajectories(study_of(), data, 512, 4e10)


def test_the_plan_says_where_the_check_is_expected(study_of, data):
    planned = plan(study_of(), data)
    (first, _) = planned.expected_check
    assert first.horizons[0].budget == 1.6e11
    assert first.params == pytest.approx(expected_optimum(study_of(), 1.6e11), rel=0.2)
    assert plan(study_of(check={"enabled": False}), data).expected_check == ()


def test_notes_name_sizes_that_no_budget_uses_and_minima_that_may_not_be_bracketed(study_of, data):
    study = study_of(
        sweep={"widths": [8, 16, 24, 32, 40], "expected_tokens_per_param": 200, "replicate_widths": []},
        check={"enabled": False},
    )
    notes = plan(study, data).notes
    assert notes[0] == "sweep.widths has [32, 40], not among the sizes of any budget: not trained"
    assert "sweep.budgets has 1e+10: the optimum is expected at N = 2,887, outside its sizes (4,968 to" in notes[1]


budgets = st.lists(st.floats(2e10, 1e12), min_size=2, max_size=5, unique=True).map(sorted)


@settings(max_examples=40, deadline=None)
@given(budgets=budgets, exponent=st.floats(0, 1), ratio=st.floats(2, 200), sizes=st.integers(2, 4))
def test_every_horizon_of_a_plan_is_long_enough(study_of, data, budgets, exponent, ratio, sizes):
    sweep = {"budgets": budgets, "expected_exponent": exponent, "expected_tokens_per_param": ratio}
    study = study_of(sweep={**sweep, "sizes_per_budget": sizes, "replicate_widths": []}, check={"enabled": False})
    try:
        planned = plan(study, data)
    except StudyError:
        return
    assert planned.observations == len(budgets) * sizes
    for trajectory in planned.trajectories:
        assert len({h.name for h in trajectory.horizons}) == len(trajectory.horizons)
        for horizon in trajectory.horizons:
            assert horizon.steps >= 300
            assert horizon.decay_steps >= 50
            assert trajectory.recipe.warmup_tokens <= horizon.tokens / 10
            assert horizon.tokens == horizon.steps * trajectory.batch_tokens
            spent = horizon.tokens * trajectory.flops_per_token
            assert abs(spent / horizon.budget - 1) <= 0.5 / (horizon.steps - 1)


def test_batches_that_grow_with_the_tokens_seen_spend_the_same_budgets(study_of, data):
    """The stages are the same at every budget, so that a budget can be added; D and the decay's share stay."""
    stages = [{"tokens": 50_000, "factor": 2}, {"tokens": 400_000, "factor": 4}]
    sweep = {"budgets": [2e10, 8e10]}
    plain = plan(study_of(sweep=sweep), data)
    growing = plan(study_of(sweep=sweep, training={"batch_ramp": stages}), data)
    assert not {one.id for one in plain.trajectories} & {one.id for one in growing.trajectories}
    for one, grown in zip(plain.trajectories, growing.trajectories, strict=True):
        assert [stage.sequences for stage in grown.recipe.batch_ramp] == [
            2 * one.recipe.sequences,
            4 * one.recipe.sequences,
        ]
        first = grown.recipe.batch_ramp[0].step
        assert grown.tokens_at(first - 1) < 50_000 <= grown.tokens_at(first)
        for horizon, other in zip(one.horizons, grown.horizons, strict=True):
            largest = 4 * one.batch_tokens
            assert abs(horizon.tokens - other.tokens) <= largest
            assert other.tokens == grown.tokens_at(other.steps)
            assert other.steps < horizon.steps
            assert abs(grown.decay_tokens(other) - 0.2 * other.tokens) <= max(largest, 50 * largest)


@settings(max_examples=25, deadline=None)
@given(budgets=budgets, factor=st.floats(1.2, 10))
def test_a_larger_budget_leaves_every_cell_as_it_was(study_of, data, budgets, factor):
    def planned(some):
        try:
            return cells(plan(study_of(sweep={"budgets": some}, check={"enabled": False}), data))
        except StudyError:
            return None

    before, after = planned(budgets), planned([*budgets, factor * budgets[-1]])
    if before is not None and after is not None:
        assert before.items() <= after.items()


@settings(max_examples=25, deadline=None)
@given(budgets=budgets, extra=st.floats(2e10, 1e12))
def test_any_added_budget_leaves_what_both_plans_train_as_it_was(study_of, data, budgets, extra):
    def planned(some):
        try:
            return cells(plan(study_of(sweep={"budgets": some, "replicate_widths": []}), data))
        except StudyError:
            return {}

    before, after = planned(budgets), planned(sorted({*budgets, extra}))
    for cell in before.keys() & after.keys():
        assert before[cell] == after[cell]
