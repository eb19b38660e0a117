"""Validation by extrapolation: scores worked out by hand, planted laws, and figures of published tables."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest

from scaling import laws
from scaling.laws.candidates import applicable, candidates_of
from scaling.laws.errors import LawError
from scaling.laws.scores import errors, frontier_line, interval_scores, last_value
from scaling.laws.table import Table
from scaling.laws.validation import Validation, validate
from tests.laws import planted

QUICK = {"starts": 32, "resamples": 40}
BARE = {"starts": 32, "resamples": 0}
CHINCHILLA = {"columns": {"params": "Model Size", "flops": "Training FLOP"}, "drop_highest_loss": 5}


def grid(noise: float = 0.0, seed: int = 0, sizes: int = 8, budgets: int = 8) -> dict[str, Any]:
    """`sizes` times `budgets` runs of the planted law, every size with every amount of data."""
    params, tokens = (
        axis.ravel() for axis in np.meshgrid(np.geomspace(1e4, 3e6, sizes), np.geomspace(1e6, 3e8, budgets))
    )
    scatter = noise * np.random.default_rng(seed).standard_normal(len(params))
    return {"params": params, "tokens": tokens, "loss": planted.loss(params, tokens) * np.exp(scatter)}


def test_errors_are_relative_to_what_was_measured() -> None:
    found = errors(np.array([1.1, 1.8]), np.array([1.0, 2.0]))
    assert found["error"] == pytest.approx(0.1)
    assert found["bias"] == pytest.approx(0.0)
    assert found["rms"] == pytest.approx(0.1)


def test_the_interval_score_is_gneiting_and_raftery_s() -> None:
    """Equation 43 by hand, at 90%: one value inside, one 0.5 below, one 0.2 above; measured values are 2, 1 and 4."""
    low, high = np.array([1.0, 1.5, 3.0]), np.array([3.0, 2.0, 3.8])
    found = interval_scores(low, high, np.array([2.0, 1.0, 4.0]), 0.9)
    assert found["coverage"] == pytest.approx(1 / 3)
    assert found["width"] == pytest.approx(np.mean([2 / 2, 0.5, 0.8 / 4]))
    assert found["interval_score"] == pytest.approx(np.mean([2 / 2, 0.5 + 20 * 0.5, (0.8 + 20 * 0.2) / 4]))


def test_the_interval_score_is_least_for_the_right_quantiles() -> None:
    """It is proper: of all central intervals of a normal sample, the one at its own quantiles scores best."""
    drawn = 10 + np.random.default_rng(0).standard_normal(200_000)
    scores = [
        interval_scores(np.full(drawn.shape, 10 - z), np.full(drawn.shape, 10 + z), drawn, 0.95)["interval_score"]
        for z in (1.6, 1.96, 2.3)
    ]
    assert np.argmin(scores) == 1


def test_baselines() -> None:
    x = np.geomspace(1e3, 1e6, 7)
    at = np.array([1e8])
    line = frontier_line(np.append(x, x), np.append(3 * x**-0.1, 4 * x**-0.1), at)
    assert line is not None
    assert line[0] == pytest.approx(3 * 1e8**-0.1, rel=1e-9)
    assert last_value(x, 3 * x**-0.1, at)[0] == pytest.approx(3 * 1e6**-0.1)
    assert frontier_line(np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 3.0]), at) is None


def test_a_noiseless_law_is_foretold_exactly() -> None:
    found = validate(grid(), ["chinchilla", {"form": "power", "x": "flops"}], above=1e13, **BARE)
    assert found.scores[0].label == "chinchilla"
    assert found.best.error == pytest.approx(0.0, abs=1e-6)
    others = [one.error for one in found.scores if one.label != "chinchilla"]
    assert min(error for error in others if error is not None) > 0.01
    assert found.best.coverage is None


def test_the_score_is_that_of_a_fit_made_by_hand() -> None:
    table = grid(noise=0.01)
    found = validate(table, "chinchilla", by="tokens", above=3e7, **BARE)
    frame = pl.DataFrame(table)
    fit = laws.fit(frame.filter(pl.col("tokens") < 3e7), "chinchilla", **BARE)
    held = frame.filter(pl.col("tokens") >= 3e7)
    predicted = fit.loss(params=held["params"].to_numpy(), tokens=held["tokens"].to_numpy())
    assert found.best.error == pytest.approx(float(np.mean(np.abs(predicted / held["loss"].to_numpy() - 1))), rel=1e-9)
    assert found.outcomes["chinchilla"][0].predicted == pytest.approx(predicted, rel=1e-9)
    assert found.cuts[0].held == held.height
    assert found.cuts[0].reach == pytest.approx(held["tokens"].max() / frame["tokens"].unique().sort()[4], rel=1e-9)


def test_intervals_hold_what_they_say() -> None:
    """Held-out runs of the right form: 95%, over twelve tables of 24 held-out runs that err together."""
    inside = [
        validate(grid(noise=0.01, seed=seed), "chinchilla", by="tokens", above=3e7, delta=1e-2, **QUICK).best.coverage
        for seed in range(12)
    ]
    assert 0.88 <= np.mean([one for one in inside if one is not None]) <= 0.99


def test_runs_of_one_budget_stay_together() -> None:
    table = planted.study(noise=0.01)
    found = validate(table, "chinchilla", share=0.3, **BARE)
    flops = np.array(table["flops"])
    assert found.cuts[0].held == np.sum(flops >= found.cuts[0].at)
    assert found.cuts[0].at in planted.BUDGETS


def test_trajectories_on_both_sides_are_noted() -> None:
    found = validate(planted.study(noise=0.01), "chinchilla", share=0.3, **BARE)
    assert "trajectories_on_both_sides" in [item.code for item in found.diagnostics]
    assert not validate(grid(), "chinchilla", share=0.3, **BARE).diagnostics


def test_rolling_cuts_count_alike() -> None:
    found = validate(grid(noise=0.01), ["chinchilla"], rolling=[0.5, 0.25], **BARE)
    assert [cut.held for cut in found.cuts] == sorted((cut.held for cut in found.cuts), reverse=True)
    assert found.best.error == pytest.approx(np.mean([error for error in found.best.cuts if error is not None]))
    assert found.best.rms is not None
    each = [one.against(np.array(m)) for one, m in zip(found.outcomes["chinchilla"], found.measured, strict=True)]
    assert found.best.rms == pytest.approx(np.sqrt(np.mean([one["rms"] ** 2 for one in each])))


@pytest.fixture(scope="module")
def judged() -> tuple[Table, Validation]:
    """Sixty-four planted runs, the largest 30% held out, and what select answers from the others."""
    table = laws.read(grid(noise=0.01))
    return table, validate(table, ["chinchilla", "kaplan"], share=0.3, selection=True, **QUICK)


def test_the_selection_is_scored_by_what_select_says_of_the_rows_below(judged: tuple[Table, Validation]) -> None:
    table, found = judged
    below = found.cuts[0].fits(table)
    own = laws.select(table.only(below, "held out"), ["chinchilla", "kaplan"], **QUICK)
    assert found.chosen == (own.chosen,) == ("chinchilla",)
    held = [{"params": n, "tokens": d} for n, d in zip(table.params[~below], table.tokens[~below], strict=True)]
    (form,), (mixture,) = found.outcomes["selected form"], found.outcomes["selected mixture"]
    assert form.predicted == pytest.approx([own.fit.loss(**point) for point in held], rel=1e-12)
    assert mixture.predicted == pytest.approx([own.loss(**point) for point in held], rel=1e-12)
    said = [own.predict(**point).prediction for point in held]
    assert mixture.low == pytest.approx([one.low for one in said], rel=1e-12)
    assert mixture.high == pytest.approx([one.high for one in said], rel=1e-12)
    score = found.score("selected mixture")
    inside = [loss in one for loss, one in zip(table.target[~below], said, strict=True)]
    assert score.kind == "selection"
    assert score.coverage == pytest.approx(np.mean(inside))
    assert score.interval_score is not None
    assert found.best.kind == "form"
    (judging,) = [item for item in found.diagnostics if item.code == "selection_judged"]
    assert judging.value == pytest.approx(found.score("selected form").error / found.best.error)
    assert "chinchilla where" in judging.message


def test_the_selection_sees_nothing_that_is_held_out(judged: tuple[Table, Validation]) -> None:
    """Losses above the cut are replaced by nonsense: neither the choice nor a prediction moves in the last bit."""
    table, found = judged
    below = found.cuts[0].fits(table)
    spoilt = replace(table, target=np.where(below, table.target, 1e-3 * table.target[::-1]))
    again = validate(spoilt, ["chinchilla", "kaplan"], share=0.3, selection=True, **QUICK)
    assert again.chosen == found.chosen
    for label in ("selected form", "selected mixture"):
        assert again.outcomes[label] == found.outcomes[label]
        assert again.score(label).error != found.score(label).error


def test_selections_in_text_and_json(judged: tuple[Table, Validation]) -> None:
    _, found = judged
    cells = {row[0]: row[-1] for row in found.rows()}
    assert cells["selected mixture"] == "ok"
    assert cells["last value"] == "baseline"
    assert found.as_json()["chosen"] == ["chinchilla"]
    with pytest.raises(LawError, match="resamples is 0; a selection mixes"):
        validate(grid(), ["chinchilla"], selection=True, **BARE)


def test_a_form_that_fails_says_why_and_comes_last() -> None:
    """A pinned exponent that leaves no finite value, beside one that works."""
    wrong = {"form": "power", "x": "tokens", "pin": {"alpha": 400.0}, "label": "wrong"}
    found = validate(grid(), [wrong, "chinchilla"], share=0.2, **BARE)
    assert found.scores[-1].label == "wrong"
    assert found.scores[-1].error is None
    assert found.scores[-1].status != "ok"
    assert found.best.label == "chinchilla"


def test_a_form_that_a_baseline_beats_is_an_error() -> None:
    wrong = {"form": "power", "x": "tokens", "pin": {"E": 0.0, "alpha": 1.0}}
    found = validate(grid(), [wrong], share=0.2, **BARE)
    assert [item.severity for item in found.diagnostics if item.code == "baseline_wins"] == ["error"]


def test_intervals_that_hold_too_few_are_named() -> None:
    clean = grid(noise=0.002)
    bent = dict(clean)
    flops = np.array(bent["params"]) * np.array(bent["tokens"])
    bent["loss"] = np.where(flops > np.quantile(flops, 0.8), 1.05, 1.0) * np.array(bent["loss"])
    for table, expected in ((clean, 0), (bent, 1)):
        found = [one for one in validate(table, ["chinchilla"], share=0.2, **QUICK).diagnostics if "hold" in one.code]
        assert [one.code for one in found] == ["intervals_hold_too_few"] * expected
        assert all(one.value < 0.85 and "chinchilla" in one.message for one in found)


def test_text_and_json() -> None:
    found = validate(grid(noise=0.01), ["chinchilla"], rolling=[0.5, 0.25], **QUICK)
    head, *rows = found.rows()
    assert len({len(row) for row in (head, *rows)}) == 1
    assert [row[0] for row in rows] == [one.label for one in found.scores]
    assert "chinchilla" in str(found)
    assert "2 cuts by flops" in str(found)
    plain = found.as_json()
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert plain["scores"][0]["error"] == found.scores[0].error
    assert found.score("last value").kind == "baseline"
    with pytest.raises(LawError, match="no form 'chinchila' was scored"):
        found.score("chinchila")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"by": "flop"}, "by is 'flop'; it is params, tokens, flops"),
        ({"above": 1e30}, "no run has flops of 1e[+]30 or more"),
        ({"above": 1.0}, r"0 run\(s\) have flops below 1; a law needs 4"),
        ({"share": 1.5}, "share is 1.5; it must lie between 0 and 1"),
        ({"share": 0.2, "above": 1e13}, "give one of above"),
        ({"forms": []}, "forms is empty"),
        ({"forms": [{"x": "flops"}]}, "names no form"),
        ({"forms": ["chinchilla", "chinchilla"]}, "'chinchilla' twice"),
        ({"forms": [{"form": "chinchilla", "pin": {"F": 1.0}}]}, "pin names 'F'"),
    ],
)
def test_what_cannot_be_validated(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(LawError, match=message):
        validate(grid(), **{"forms": ["chinchilla"], **BARE, **wrong})


def test_candidates() -> None:
    both = [one.label for one in applicable(grid(), {})]
    assert both[0] == "chinchilla"
    assert "overtraining" in both
    assert not [one for one in both if one.startswith(("power", "isoflop", "data_constrained"))]
    table = grid()
    alone = applicable({"flops": table["tokens"] * table["params"], "loss": table["loss"]}, {})
    assert "power x=flops" in [one.label for one in alone]
    assert {tuple(one.law.inputs) for one in alone} == {("flops",)}
    along = {"params": np.geomspace(1e5, 1e8, 9), "tokens": 20 * np.geomspace(1e5, 1e8, 9), "loss": np.arange(9, 0, -1)}
    assert {tuple(one.law.inputs) for one in applicable(along, {})} == {("flops",)}
    with pytest.raises(LawError, match="none of params, tokens and flops"):
        applicable({"loss": [1.0, 2.0, 3.0]}, {})
    (pinned,) = candidates_of({"form": "chinchilla", "pin": {"E": 1.5}, "tie": {"beta": "alpha"}})
    assert pinned.label == "chinchilla E=1.5 beta=alpha"
    assert pinned.free == 3


@pytest.mark.parametrize(("below", "error"), [(1e21, 0.0105), (1e20, 0.0089)])
def test_chinchilla_s_own_runs(below: float, error: float) -> None:
    """Epoch AI's reading of Hoffmann et al. 2022; computed also with an independent solver."""
    table = planted.published("chinchilla", "points.csv")
    found = validate(table, "chinchilla", above=below, **CHINCHILLA, **BARE)
    assert found.best.error == pytest.approx(error, abs=1e-4)
    assert found.scores[0].label == "chinchilla"


@pytest.mark.parametrize(("data", "error"), [("c4_original", 0.0182), ("rpj", 0.0076), ("rw_original", 0.0104)])
def test_gadre_s_runs(data: str, error: float) -> None:
    """Gadre et al. 2024, loss on C4's validation set, below 3e19 FLOP; also with an independent solver."""
    runs = pl.read_csv(planted.published("gadre", "runs.csv")).filter(pl.col("train_dataset") == data)
    columns = {"params": "N", "tokens": "D", "loss": "loss_c4_val"}
    found = validate(runs, "chinchilla", above=3e19, columns=columns, **BARE)
    assert found.best.error == pytest.approx(error, abs=1e-4)
    assert found.cuts[0].fitted == 25
