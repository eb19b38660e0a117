"""Every problem is found before anything is trained, and says which field, what value and what to do."""

import re

import pytest

from scaling.config import StudyError
from scaling.planning import plan


def refusal(study, data):
    with pytest.raises(StudyError) as caught:
        plan(study, data)
    return str(caught.value).splitlines()


def test_a_budget_too_small_for_its_steps(study_of, data):
    study = study_of(sweep={"budgets": [3e9, 4e10]})
    (line,) = refusal(study, data)
    assert line == (
        "sweep.budgets has 3e9: at 2 sizes that is too few steps; at width 24 that is 101 steps of 256 tokens, fewer "
        "than training.minimum_steps (300); raise it to at least 9e9, lower training.batch_tokens to 64 or drop the "
        "widths"
    )


@pytest.mark.parametrize(("exponent", "ratio", "sizes"), [(0.5, 13, 3), (0.0, 13, 3), (0.0, 3, 2)])
def test_raising_the_budget_as_told_is_enough(study_of, data, exponent, ratio, sizes):
    def raised(budget):  # the smallest one, which moves the windows too
        sweep = {"budgets": [budget, 4e10], "expected_exponent": exponent, "replicate_widths": []}
        sweep |= {"expected_tokens_per_param": ratio, "sizes_per_budget": sizes}
        return study_of(sweep=sweep, training={"warmup_tokens": 1000}, check={"enabled": False})

    (line,) = refusal(raised(1e9), data)
    told = float(re.search(r"at least (\S+?)(,| or)", line)[1])
    plan(raised(told), data)
    (line,) = refusal(raised(0.9 * told), data)  # told is rounded up to two digits
    assert "fewer than training.minimum_steps (300)" in line


def test_lowering_the_batch_as_told_is_enough(study_of, data):
    (line,) = refusal(study_of(sweep={"budgets": [3e9, 4e10]}), data)
    batch = int(re.search(r"batch_tokens to (\d+)", line)[1])
    plan(study_of(sweep={"budgets": [3e9, 4e10]}, training={"batch_tokens": batch, "warmup_tokens": 1000}), data)


def test_no_batch_is_advised_where_none_is_small_enough(study_of, data):
    (line,) = refusal(study_of(sweep={"budgets": [2e8, 4e10], "expected_tokens_per_param": 1}), data)
    assert "lower training.batch_tokens" not in line
    assert "raise it to at least" in line


def test_a_warm_up_longer_than_a_tenth(study_of, data):
    (line,) = refusal(study_of(training={"warmup_tokens": 8628}), data)
    assert line == (
        "training.warmup_tokens is 8628, more than a tenth of the shortest horizon of 86272 tokens (width 24); "
        "use at most 8627"
    )
    plan(study_of(training={"warmup_tokens": 8627}), data)


def test_a_decay_that_does_not_fit(study_of, data):
    (line,) = refusal(study_of(training={"minimum_decay_steps": 400}), data)
    assert line.startswith("training.minimum_decay_steps is 400: at width 24 the decay of 400 steps does not fit into")
    assert "the 321 steps that 1e10 FLOPs leave after the warm-up" in line
    (line,) = refusal(study_of(training={"decay_fraction": 0.97}), data)
    assert line.startswith("training.decay_fraction is 0.97: at width 24 the decay of 327 steps does not fit into")


def test_fewer_sizes_than_a_budget_wants(study_of, data):
    lines = refusal(study_of(sweep={"sizes_per_budget": 6}), data)
    assert lines == [
        "sweep.sizes_per_budget is 6, but sweep.widths has 4 sizes ([8, 16, 24, 32]); add sizes, or use 4 or fewer"
    ]


def test_a_single_size_a_budget(study_of, data):
    (line,) = refusal(study_of(sweep={"sizes_per_budget": 1}), data)
    assert line.startswith("sweep.sizes_per_budget is 1: a single size cannot show how loss depends on size; use at")


def test_a_single_size_and_duplicated_budgets_are_refused_where_the_study_is_read(study_of):
    with pytest.raises(StudyError, match="a design with a single size"):
        study_of(sweep={"widths": [16]})
    with pytest.raises(StudyError, match=r"budgets is .*; an entry appears twice"):
        study_of(sweep={"budgets": [1e10, 1e10]})


def test_two_budgets_that_are_the_same_steps(study_of, data):
    (line,) = refusal(study_of(sweep={"budgets": [1e10, 1.0001e10, 4e10]}), data)
    assert line == ("sweep.budgets has 1e10 and 1.0001e10: at width 24 both are 337 steps; drop one or move them apart")


def test_a_replicated_size_that_no_budget_uses(study_of, data):
    study = study_of(sweep={"widths": [8, 16, 24, 32, 64], "replicate_widths": [16, 64]})
    assert refusal(study, data) == [
        "sweep.replicate_widths has 64, which is not among the 3 sizes of any budget; use [8, 16, 24, 32]"
    ]


def test_seeds_that_would_leave_their_range(study_of, data):
    lines = refusal(study_of(seed=2_147_000_000, check={"seeds": 501}, sweep={"replicate_seeds": 900}), data)
    assert lines == [
        "seed is 2147000000; trajectory seeds are 1000 x seed + k, below 2^31: use at most 2147482",
        "sweep.replicate_seeds is 900; use at most 500",
        "check.seeds is 501; use at most 500",
    ]
    planned = plan(study_of(seed=2_147_482, check={"seeds": 500}), data)
    assert max(t.recipe.seed for t in planned.expected_check) < 2**31


def test_all_problems_come_at_once(study_of, data):
    study = study_of(
        sweep={"budgets": [3e9, 4e10, 4.0001e10]}, training={"warmup_tokens": 10**6, "minimum_decay_steps": 10**4}
    )
    lines = refusal(study, data)
    assert [line.split()[0] for line in lines] == [
        "sweep.budgets",
        "training.warmup_tokens",
        "training.minimum_decay_steps",
        "sweep.budgets",
    ]
