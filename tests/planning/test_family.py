"""From a width to a model and a recipe, and from N back to a width."""

import math
from itertools import pairwise

import pytest

from scaling.accounting import size_and_cost
from scaling.config import StudyError
from scaling.planning import cost_table, model_of, nearest_width, next_width, recipe_of

WHOLE_GROUPS = {"widths": [16, 32, 48], "replicate_widths": []}


def test_a_model_by_hand(study_of):
    model = model_of(32, study_of(family={"queries_per_kv_head": 2, "ffn_ratio": 2.6}, sweep=WHOLE_GROUPS))
    assert (model.heads, model.kv_heads, model.head_width) == (4, 2, 8)
    assert model.ffn_width == 88  # 2.6 x 32 = 83.2, up to a multiple of 8
    assert (model.layers, model.vocabulary, model.sequence_length) == (1, 257, 64)
    assert model_of(32, study_of(data={"tokenizer": "bpe", "bpe": {"vocabulary": 1000}})).vocabulary == 1000


@pytest.mark.parametrize(("ratio", "width", "ffn_width"), [(2.5, 16, 40), (2.75, 32, 88), (4, 24, 96), (0.1, 8, 8)])
def test_the_feed_forward_is_rounded_up_to_a_multiple_of_eight(study_of, ratio, width, ffn_width):
    assert model_of(width, study_of(family={"ffn_ratio": ratio})).ffn_width == ffn_width


@pytest.mark.parametrize(("exponent", "width", "layers"), [(0, 64, 4), (1, 64, 16), (0.5, 64, 8), (1, 8, 2), (2, 8, 1)])
def test_depth_follows_its_exponent_and_is_at_least_one(study_of, exponent, width, layers):
    study = study_of(family={"layers": 4, "depth_exponent": exponent})
    assert model_of(width, study).layers == layers


@pytest.mark.parametrize("width", [0, 4, 12, 8 * 3 + 1])
def test_a_width_outside_the_family_is_refused(study_of, width):
    with pytest.raises(StudyError, match=rf"width {width} is not in the family: widths are multiples of 8"):
        model_of(width, study_of())


def test_a_family_that_has_no_models_is_refused_by_name(study_of):
    study = study_of(family={"head_width": 1, "positions": "rotary"})
    with pytest.raises(StudyError, match=r"family, at width 8: .*rotary positions need an even one"):
        model_of(8, study)


def test_a_recipe_by_hand(study_of):
    study = study_of(training={"learning_rate": 1e-2, "learning_rate_exponent": -0.5, "batch_exponent": 1.0})
    recipe = recipe_of(model_of(64, study), study.training, seed=7)
    assert recipe.learning_rate == pytest.approx(5e-3)  # 1e-2 x (64 / 16)^-0.5
    assert recipe.sequences == 16  # 256 x (64 / 16) / 64
    assert (recipe.seed, recipe.warmup_tokens, recipe.beta2) == (7, 4096, 0.99)


def test_a_batch_is_whole_sequences_and_at_least_one(study_of):
    study = study_of(training={"batch_tokens": 150, "batch_exponent": 2.0})
    assert recipe_of(model_of(16, study), study.training, seed=0).sequences == 2  # 150 / 64 = 2.34
    assert recipe_of(model_of(8, study), study.training, seed=0).sequences == 1  # 37.5 / 64


@pytest.mark.parametrize("convention", ["with_embeddings", "without_embeddings"])
def test_the_nearest_width_is_the_nearest_of_all(study_of, convention):
    family = {"queries_per_kv_head": 2, "depth_exponent": 0.5}
    study = study_of(accounting={"params": convention}, family=family, sweep=WHOLE_GROUPS)
    sizes = {width: size_and_cost(model_of(width, study), study.accounting)[0] for width in range(16, 4000, 16)}
    for target in (1, 5e3, 2.2e4, 3.1e5, 1e6, 1.23e7):
        nearest = min(sizes, key=lambda width: abs(math.log(sizes[width] / target)))
        assert nearest_width(target, study) == nearest
    assert all(nearest_width(params, study) == width for width, params in sizes.items())


def test_nearest_is_meant_in_logarithms(study_of):
    # N is 4968 at width 8 and 11216 at 16: 7800 lies above their geometric mean (7465), below their mean (8092).
    assert nearest_width(7800, study_of()) == 16


def test_the_nearest_width_may_lie_outside_the_sweep(study_of):
    assert nearest_width(5e9, study_of()) > 1000


@pytest.mark.parametrize("params", [0, -1, float("nan"), float("inf")])
def test_no_width_for_what_is_no_size(study_of, params):
    with pytest.raises(StudyError, match="a model needs between 1 and 1e18"):
        nearest_width(params, study_of())


@pytest.mark.parametrize("flops", ["exact", "6N", "6N_non_embedding"])
def test_the_cost_table_is_a_ladder_of_real_models(study_of, flops):
    study = study_of(accounting={"flops": flops}, sweep={"widths": [8, 16, 24, 1016]})
    params, costs = cost_table(study)
    assert params[0] == size_and_cost(model_of(8, study), study.accounting)[0]
    assert params[-1] >= 1e12 > params[-2]
    assert all(a < b < 2 * a for a, b in pairwise(params[1:]))
    assert all(a < b for a, b in pairwise(costs))
    for width in study.sweep.widths:
        size, cost = size_and_cost(model_of(width, study), study.accounting)
        assert costs[params.index(size)] == cost


def test_the_next_width_is_the_first_that_is_larger(study_of):
    study = study_of(sweep=WHOLE_GROUPS, family={"queries_per_kv_head": 2})
    sizes = {width: size_and_cost(model_of(width, study), study.accounting)[0] for width in range(16, 400, 16)}
    for params in (1, sizes[16] - 1, sizes[16], sizes[16] + 1, sizes[160], 2e5):
        assert next_width(params, study) == min(width for width, own in sizes.items() if own > params)
