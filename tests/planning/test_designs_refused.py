"""What is wrong with a design is found before anything is trained, and named."""

import pytest

from scaling.config import StudyError
from scaling.planning import plan
from tests.planning.test_designs import short, study

LADDER = {"design": "ladder", "widths": [8, 16], "tokens_per_param": [20, 40]}
DRAWN = {"samples": 8, "ranges": {"params": [5e3, 5e4], "tokens": [1e5, 1e6]}}


@pytest.mark.parametrize(
    ("sweep", "words"),
    [
        ({"design": "ladr"}, "sweep.design is 'ladr'; did you mean ladder?"),
        ({"design": "ladder"}, "sweep.widths and params say the sizes of design ladder, and neither is given"),
        (LADDER | {"tokens": [1e5]}, "tokens_per_param and tokens say the horizons of design ladder, and both are"),
        (LADDER | {"budgets": [1e9]}, "sweep.budgets is not a field of ladder; it is one of isoflop"),
        (LADDER | {"seds": 2}, "sweep.seds is not a field of ladder; did you mean seeds?"),
        (
            {"tokens_per_param": [20]},
            "sweep.tokens_per_param is not a field of isoflop; it is one of ladder",
        ),
        (LADDER | {"widths": [8, 12]}, "sweep.widths has 12, not divisible by family.head_width 8; use 8 or 16"),
        (LADDER | {"widths": [8, 8]}, "sweep.widths has 8 twice; leave one out"),
        (LADDER | {"widths": [], "params": {"first": 9, "last": 1}}, "sweep.params.last is 1, below first 9; swap"),
        (LADDER | {"factors": {"training.learnig_rate": [1]}}, "did you mean training.learning_rate?"),
        (LADDER | {"factors": {"weight_decay": [1]}}, "did you mean training.weight_decay?"),
        (
            LADDER | {"factors": {"training.beta1": [2]}},
            "sweep.factors has training.beta1 2; input should be less",
        ),
        (LADDER | {"factors": {"training.beta1": []}}, "sweep.factors has training.beta1 []; give a list of values"),
        (LADDER | {"factors": {"training.beta1": [0.5, 0.5]}}, "sweep.factors.training.beta1 has 0.5 twice"),
        (LADDER | {"factors": {"training.batch_ramp": [[]]}}, "has 'training.batch_ramp', which cannot vary"),
        (LADDER | {"factors": {"width": [8]}}, "factors has width, which the cells of design ladder give"),
        (LADDER | {"factors": {"mixture": [{"web": 1}]}}, "sweep.factors.mixture is set, but data.mixture names no"),
        (
            LADDER | {"zipped": [{"training.beta1": [0.8, 0.9], "training.beta2": [0.9]}]},
            "zipped.0 has lists of unequal length (training.beta1 2, training.beta2 1); give each as many values",
        ),
        (
            LADDER | {"factors": {"training.beta1": [0.8]}, "zipped": [{"training.beta1": [0.7]}]},
            "zipped.0 has training.beta1, which factors",
        ),
        (
            LADDER | {"skip": [{"when": {"widht": 8}, "because": "x"}]},
            "skip.0.when has 'widht', which cannot vary",
        ),
        (LADDER | {"skip": [{"when": {"width": {}}, "because": "x"}]}, "sweep.skip.0.when.width is empty; give equals"),
        (
            LADDER | {"skip": [{"when": {"width": {"abov": 1}}, "because": "x"}]},
            "abov is not a field; did you",
        ),
        (LADDER | {"skip": [{"when": {"width": 8}}]}, "sweep.skip.0.because is missing; give it a value"),
        ({"design": "grid", "factors": {"width": [8]}}, "design grid needs one horizon of each cell, and has none"),
        ({"design": "grid", "factors": {"tokens": [1e5]}}, "needs one size of each cell, and has none; give width or"),
        (
            {"design": "grid", "factors": {"width": [8, 12], "tokens": [1e5]}},
            "sweep.factors.width has 12, not",
        ),
        ({"design": "random", "ranges": DRAWN["ranges"]}, "sweep.samples is missing"),
        ({"design": "random"} | DRAWN | {"ranges": {"width": [8, 16], "tokens": [1, 2]}}, "'width', which cannot vary"),
        ({"design": "random"} | DRAWN | {"ranges": {"params": [5, 4], "tokens": [1, 2]}}, "give 0 < least < most"),
        ({"design": "list", "cells": [{"width": 8}]}, "design list needs one horizon of each cell, and has none"),
        (
            {"design": "list", "cells": [{"width": 8, "tokns": 1e5}]},
            "has at 0 'tokns', which cannot vary",
        ),
        ({"design": "list", "cells": []}, "sweep.cells is []; give a list of cells"),
        ({"design": "list", "cells": [{"width": 8, "tokens": 1e5}] * 2}, "twice, at 0 and 1; leave one out"),
    ],
)
def test_where_the_study_is_read(sweep, words):
    with pytest.raises(StudyError) as caught:
        short(sweep)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("sweep", "words"),
    [
        (
            LADDER | {"factors": {"batch_factor": [0.9, 1]}},
            "two cells that are the same: width 8, tokens_per_param 20, batch_factor 0.9 and width 8, tokens_per_param "
            "20, batch_factor 1 both are width 8 for 388 steps of 256 tokens at learning rate 0.00424264",
        ),
        (LADDER | {"tokens_per_param": [20, 20.001]}, "two cells that are the same: width 8, tokens_per_param 20 and"),
        (
            {"design": "chinchilla", "params": {"first": 1e4, "last": 1.2e4, "factor": 1.1}},
            "two cells that are the same: params 10000, tokens_per_param 20 and params 11000",
        ),
        (LADDER | {"skip": [{"when": {"width": {"above": 1}}, "because": "x"}]}, "sweep.skip leaves out all 4 cells"),
        (LADDER | {"factors": {"family.head_width": [6]}}, "width 8 is not in the family: widths are multiples of 6"),
        (
            LADDER | {"factors": {"training.optimizer": ["schedule_free"]}},
            "sweep, at training.optimizer schedule_free: schedule is wsd, but optimizer schedule_free",
        ),
        (LADDER | {"seeds": 501}, "sweep.seeds is 501; use at most 500"),
    ],
)
def test_where_it_is_planned(sweep, words, data):
    with pytest.raises(StudyError) as caught:
        plan(short(sweep), data)
    assert words in str(caught.value)


def test_cells_of_too_few_steps_are_named_by_size_with_what_is_enough(data):
    asked = {"design": "bowls", "widths": [8, 16, 32], "tokens_per_param": [20, 80], "learning_rate_factors": [1, 2]}
    with pytest.raises(StudyError) as caught:
        plan(study(asked, training={"warmup_tokens": 1000}), data)
    (first,) = str(caught.value).splitlines()
    assert first == (
        "sweep has 2 cells at width 8 of too few steps: width 8, tokens_per_param 20, learning_rate_factor 1, "
        "batch_factor 2 is 194 steps of 512 tokens, fewer than training.minimum_steps (300); give it at least 153,600 "
        "tokens (30.9 a parameter), a smaller batch, or leave such cells out by sweep.skip"
    )
    enough = asked | {"tokens_per_param": [31, 80]}
    plan(study(enough, training={"warmup_tokens": 1000}), data)


def test_draws_that_coincide_are_trained_once_and_told(data):
    ranges = {"params": [4.9e3, 5.1e3], "tokens": [1.27e5, 1.29e5]}
    planned = plan(short({"design": "random", "samples": 40, "ranges": ranges}), data)
    assert planned.observations == len({one.name for one in planned.trajectories[0].horizons}) < 40
    assert f"{40 - planned.observations} of sweep.samples fall on cells that were drawn before" in planned.notes[0]
