"""Tuned ladders on planted losses: the law, the rates read off it, what it leaves out, and what it is judged by."""

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from scaling.accounting import counts
from scaling.config import Study, StudyError, dump_study, parse_study
from scaling.planning import Plan, Rate, plan
from scaling.records import DataRecord, RunDirectory
from scaling.studies import answers, regret, staged, tuned_law, tuning
from scaling.studies.preparing import Prepared
from scaling.studies.status import observations
from tests.planning.conftest import SMALL
from tests.studies import planted_runs
from tests.studies.planted_runs import best_rate, planted, train

DATA = DataRecord(fingerprint="0" * 64, tokenizer="bytes", train_tokens=10_000_000, validation_tokens=10_000)
LADDER = {"design": "ladder", "widths": [16, 24, 32], "tokens_per_param": [15, 30, 60]}
TUNING: dict[str, Any] = {
    "cells": [{"width": width, "tokens_per_param": ratio} for width in (16, 24, 32) for ratio in (15, 60)],
    "held_out": [{"width": 24, "tokens_per_param": 30}, {"width": 40, "tokens_per_param": 20}],
    "learning_rate_factors": [0.25, 0.5, 1, 2, 4],
}
RATE = 5e-3
"""Of the family, at width 16: within the bowls' reach of the planted best everywhere."""


def study_of(how: Mapping[str, Any] = TUNING, sweep: Mapping[str, Any] = LADDER, **training: Any) -> Study:
    recipe = {**SMALL["training"], "learning_rate": RATE, "warmup_tokens": 4096} | training
    laws = {"resamples": 60, "delta": 1e-2}
    return parse_study({**SMALL, "sweep": sweep, "tuning": how, "training": recipe, "laws": laws})


def planned(study: Study, directory: RunDirectory) -> Plan:
    return staged.planned(study, DATA, counts, directory)


def trained(study: Study, directory: RunDirectory, loss_of: planted_runs.LossOf) -> tuple[tuned_law.TunedLaw, Plan]:
    """Every stage of the study, as `scaling run` takes them."""
    bowls = planned(study, directory).tuning
    assert bowls is not None
    train(directory, bowls.trajectories, loss_of)
    law = tuned_law.fitted(study, directory, bowls)
    found = planned(study, directory)
    assert found.tuning is not None
    assert found.tuning.beside is not None
    train(directory, (*found.trajectories, *found.tuning.beside.trajectories), loss_of)
    return law, found


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunDirectory, tuned_law.TunedLaw, Plan]:
    directory = planted_runs.made(tmp_path_factory.mktemp("tuned") / "run")
    return directory, *trained(study_of(), directory, planted())


Tuned = tuple[RunDirectory, tuned_law.TunedLaw, Plan]


def test_the_planted_exponents_come_back(tuned: Tuned) -> None:
    law = tuned[1].laws["learning_rate"]
    assert law.inputs == ("params", "tokens")
    for name, truth in {"params_exponent": -0.6, "tokens_exponent": 0.3}.items():
        assert law.params[name] == pytest.approx(truth, abs=0.1)
        assert law.intervals[name].low <= truth <= law.intervals[name].high
    assert not tuned[1].left_out


def test_the_ladder_has_the_planted_rates_at_one_ratio(tuned: Tuned) -> None:
    _, law, found = tuned
    assert found.tuning is not None
    assert found.tuning.ratio == pytest.approx(30)
    assert {len(one.horizons) for one in found.trajectories} == {3}
    for one in found.trajectories:
        truth = best_rate(one.params, found.tuning.ratio * one.params)
        between = (
            law.laws["learning_rate"].predict(params=one.params, tokens=found.tuning.ratio * one.params).prediction
        )
        assert between.low <= truth <= between.high
        assert one.recipe.learning_rate == pytest.approx(truth, rel=0.05)
        assert one.recipe.learning_rate == float(f"{one.recipe.learning_rate:.4g}")


def test_the_check_has_the_rate_of_its_own_horizon(tuned: Tuned) -> None:
    _, law, found = tuned
    one = found.expected_check[0]
    assert one.recipe.learning_rate == law.rule(one.params, one.horizons[0].budget / one.flops_per_token).learning_rate
    assert one.recipe.learning_rate == pytest.approx(best_rate(one.params, one.horizons[0].tokens), rel=0.1)


def test_a_size_and_a_horizon_more_keep_every_id(tuned: Tuned) -> None:
    directory, _, found = tuned
    more = planned(
        study_of(sweep=LADDER | {"widths": [16, 24, 32, 40], "tokens_per_param": [15, 30, 60, 120]}), directory
    )
    assert {one.id for one in found.trajectories} < {one.id for one in more.trajectories}
    assert len(more.trajectories) == 4
    horizons = {one.id: {horizon.name for horizon in one.horizons} for one in more.trajectories}
    for one in found.trajectories:
        assert {horizon.name for horizon in one.horizons} < horizons[one.id]


def test_the_same_bowls_give_the_same_law(tuned: Tuned, tmp_path: Path) -> None:
    directory, law, found = tuned
    assert found.tuning is not None
    again = planted_runs.made(tmp_path / "run")
    train(again, found.tuning.trajectories, planted())
    other = tuned_law.fitted(study_of(), again, found.tuning)
    assert other.key == law.key
    assert other.laws["learning_rate"].params == law.laws["learning_rate"].params
    before = (law.folder / "law.json").read_bytes()
    assert tuned_law.fitted(study_of(), directory, found.tuning).key == law.key
    assert (law.folder / "law.json").read_bytes() == before
    assert tuned_law.commit_predictions(law, found) == tuned_law.commit_predictions(law, found)
    said = json.loads(tuned_law.commit_predictions(law, found).read_text())
    assert [row["of"] for row in said] == ["ladder"] * 3 + ["held out"] * 2


def test_held_out_bowls_move_nothing(tuned: Tuned) -> None:
    directory, law, _ = tuned
    fewer = study_of(TUNING | {"held_out": TUNING["held_out"][:1]})
    found = staged.law_of(fewer, DATA, counts, directory)
    assert found is not None
    assert found.key == law.key


def test_more_bowls_move_the_rates_and_earlier_trunks_are_named(tuned: Tuned) -> None:
    directory, law, before = tuned
    more = study_of(TUNING | {"cells": [*TUNING["cells"], {"width": 40, "tokens_per_param": 15}]})
    waiting = planned(more, directory)
    assert not waiting.rates_are_known
    assert any("will be read off the law of the bowls" in note for note in waiting.notes)
    # Noise of another size, so that the new cell pulls the law to another one.
    other, after = trained(more, directory, planted(noise=0.01))
    assert other.key != law.key
    gone = {one.id for one in before.trajectories} - {one.id for one in after.trajectories}
    assert gone
    assert set(staged.earlier(after, directory)) == gone
    note = next(note for note in after.notes if "no law sees them" in note)
    assert all(name in note for name in gone)
    rows, _ = observations(directory, after)
    assert {row.trajectory for row in rows if row.role == "fit"} == {one.id for one in after.trajectories}
    assert {row.trajectory for row in rows if row.role == "earlier"} == gone


def prepared(directory: RunDirectory, study: Study) -> Prepared:
    """What `prepare` makes, but for the text, of which nothing is said here."""
    return Prepared(directory, planned(study, directory), counts, (), tokens=None, said=())  # type: ignore[arg-type]


def test_the_stage_between_bowls_and_ladder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What `scaling run` and `scaling launch` do when the bowls are done: from the records alone, and once."""
    directory = planted_runs.made(tmp_path / "run")
    first = prepared(directory, study_of())
    assert str(staged.current_stage(first.planned, directory)) == "stage 1, the bowls"
    assert first.planned.tuning is not None
    train(directory, first.planned.tuning.trajectories, planted())
    assert str(staged.current_stage(first.planned, directory)) == "stage 2, the law of the bowls"
    before = tuning.with_law(study_of(), first)
    again = tuning.with_law(study_of(), prepared(directory, study_of()))
    assert before.law == again.law
    assert before.planned == again.planned
    assert str(staged.current_stage(again.planned, directory)).startswith("stage 3, the ladder")
    assert "moved" not in capsys.readouterr().err
    train(directory, again.planned.trajectories, planted())
    more = study_of(TUNING | {"cells": [*TUNING["cells"], {"width": 40, "tokens_per_param": 15}]})
    second = prepared(directory, more)
    assert second.planned.tuning is not None
    train(directory, second.planned.tuning.trajectories, planted(noise=0.01))
    tuning.with_law(more, second)
    said = capsys.readouterr().err
    assert "the ladder's rates moved" in said
    assert all(one.id in said for one in staged_out(again.planned, planned(more, directory)))


def staged_out(before: Plan, after: Plan) -> list[Any]:
    return [one for one in before.trajectories if one.id not in {other.id for other in after.trajectories}]


def test_regret_of_the_law_is_next_to_nothing_and_that_of_a_wrong_one_is_found(tmp_path: Path) -> None:
    directory = planted_runs.made(tmp_path / "run")
    law, found = trained(study_of(), directory, planted())
    assert found.tuning is not None
    right = regret.judged(directory, found.tuning, law)
    assert len(right.regrets) == 2
    assert all(abs(one.value or 0) < 3 * one.se < 0.005 for one in right.regrets)

    def doubled(params: float, tokens: float) -> Rate:
        return Rate(3 * law.rule(params, tokens).learning_rate)

    wrong = plan(study_of(), DATA, rule=doubled)
    assert wrong.tuning is not None
    assert wrong.tuning.beside is not None
    train(directory, (*wrong.trajectories, *wrong.tuning.beside.trajectories), planted())
    cost = planted_runs.CURVATURE * math.log(3) ** 2 / 2
    found_out = regret.judged(directory, wrong.tuning, law)
    assert [one.value for one in found_out.regrets] == pytest.approx([cost, cost], abs=0.003)
    assert found_out.beyond[0] == pytest.approx(cost, abs=0.003)


def test_corners_are_what_one_rate_for_all_horizons_costs(tuned: Tuned) -> None:
    directory, law, found = tuned
    assert found.tuning is not None
    judged = regret.judged(directory, found.tuning, law)
    assert [(one.params, round(one.tokens / one.params)) for one in judged.corners] == [
        (found.trajectories[0].params, 15),
        (found.trajectories[-1].params, 60),
    ]
    cost = planted_runs.CURVATURE * (0.3 * math.log(2)) ** 2 / 2
    for one in judged.corners:
        assert one.value == pytest.approx(cost, abs=3 * one.se)
        assert one.other_rate == pytest.approx(best_rate(one.params, one.tokens), rel=0.05)
    none = planned(study_of(TUNING | {"corners": 0}), directory)
    assert none.tuning is not None
    assert none.tuning.beside is not None
    assert not none.tuning.beside.corners


def test_what_diverged_beside_the_ladder_is_told_and_does_not_count(tmp_path: Path) -> None:
    directory = planted_runs.made(tmp_path / "run")

    def loss(trajectory: Any, horizon: Any) -> float:
        lost = trajectory.role == "corner" or (trajectory.role == "regret" and trajectory.model.width == 40)
        return math.inf if lost else planted()(trajectory, horizon)

    law, found = trained(study_of(), directory, loss)
    assert found.tuning is not None
    judged = regret.judged(directory, found.tuning, law)
    assert [one.why for one in judged.regrets] == ["", "the run at the law's settings diverged"]
    assert [one.why for one in judged.corners] == ["one of the two diverged"] * 2
    assert judged.beyond[0] > 0 == judged.beyond[1]


def test_a_study_that_is_no_longer_tuned_mixes_no_trunks(tuned: Tuned, study_without: Callable[[], Study]) -> None:
    directory, _, before = tuned
    plain = planned(study_without(), directory)
    rows, _ = observations(directory, plain)
    mine = {one.id for one in plain.trajectories}
    assert {row.trajectory for row in rows if row.role == "fit"} <= mine
    assert {one.id for one in before.trajectories} - mine <= {row.trajectory for row in rows if row.role == "earlier"}


def test_what_was_measured_widens_the_intervals_and_is_told(tuned: Tuned, tmp_path: Path) -> None:
    directory, law, found = tuned
    assert found.tuning is not None
    rows, _ = observations(directory, found)
    judged = regret.judged(directory, found.tuning, law)
    assert all(size > 0 for size in judged.beyond)
    sure = answers.tuned(regret.Judged((), ()), law)
    plain = answers.fit_all(study_of(), planted_runs.made(tmp_path / "plain"), rows, measured=sure).laws["chinchilla"]
    assert plain.details["tuning"]["widened"] == pytest.approx(
        {"loss_of_largest": 1.0, "loss_at_10x": 1.0, "params_at_10x": 1.0}
    )
    bad = [regret.Difference(24, 20_000, 6e5, 1e-2, 256, 5e-3, 256, 0.02, 0.001)]
    measured = answers.tuned(regret.Judged(tuple(bad), judged.corners), law)
    wide = answers.fit_all(study_of(), planted_runs.made(tmp_path / "wide"), rows, measured=measured).laws["chinchilla"]
    assert wide.params == plain.params
    assert all(times > 2 for times in wide.details["tuning"]["widened"].values())
    assert wide.noise["beyond"] == list(regret.Judged(tuple(bad), judged.corners).beyond)
    assert wide.noise["run"] == plain.noise["run"]


def test_an_edge_is_named_and_left_out(tmp_path: Path) -> None:
    directory = planted_runs.made(tmp_path / "run")

    def far(trajectory: Any, horizon: Any) -> float:
        """At width 32 and the longest horizon only ever higher rates are better."""
        if trajectory.model.width == 32 and horizon.tokens > 50 * trajectory.params:
            return planted_runs.loss_at(trajectory.params, horizon.tokens) * trajectory.recipe.learning_rate**-0.01
        return planted()(trajectory, horizon)

    law, found = trained(study_of(), directory, far)
    assert len(law.left_out) == 1
    assert "is at the edge of what was swept" in law.left_out[0]
    assert any(note == f"tuning leaves out {law.left_out[0]}" for note in found.notes)
    assert json.loads((law.folder / "law.json").read_text())["left_out"] == list(law.left_out)


def test_a_diverged_rate_closes_its_bowl_and_a_dead_cell_leaves(tmp_path: Path) -> None:
    directory = planted_runs.made(tmp_path / "run")

    def loss(trajectory: Any, horizon: Any) -> float:
        alone = trajectory.model.width == 32
        high = trajectory.recipe.learning_rate > 2 * best_rate(trajectory.params, 30 * trajectory.params)
        return math.inf if alone or high else planted()(trajectory, horizon)

    law, _ = trained(study_of(sweep=LADDER | {"widths": [16, 24]}), directory, loss)
    assert len([line for line in law.left_out if "every run diverged" in line]) == 2
    assert not any("edge" in line for line in law.left_out)
    assert law.laws["learning_rate"].params["params_exponent"] == pytest.approx(-0.6, abs=0.2)


def test_too_few_cells_say_what_to_sweep(tmp_path: Path) -> None:
    directory = planted_runs.made(tmp_path / "run")
    bowls = planned(study_of(), directory).tuning
    assert bowls is not None
    train(directory, bowls.trajectories, lambda one, _: 3 * one.recipe.learning_rate**-0.01)
    with pytest.raises(StudyError, match=r"tuning: no law of the learning rate.*widen tuning.learning_rate_factors"):
        tuned_law.fitted(study_of(), directory, bowls)


def test_cells_of_one_ratio_give_a_law_of_the_size_alone(tmp_path: Path) -> None:
    directory = planted_runs.made(tmp_path / "run")
    cells = [{"width": width, "tokens_per_param": 30} for width in (16, 24, 32)]
    held = [{"width": 40, "tokens_per_param": 30}]
    law, found = trained(study_of({"cells": cells, "held_out": held}), directory, planted())
    assert law.laws["learning_rate"].params["params_exponent"] == pytest.approx(-0.3, abs=0.1)
    assert found.tuning is not None
    assert regret.judged(directory, found.tuning, law).same == 2


def test_batch_sizes_are_read_off_a_law_too_and_short_cells_leave(tmp_path: Path) -> None:
    directory = planted_runs.made(tmp_path / "run")
    several = TUNING | {"batch_factors": [0.5, 1, 2]}
    sweep = LADDER | {"tokens_per_param": [1, 15, 30, 60]}
    law, found = trained(study_of(several, sweep), directory, planted(batch=True))
    assert law.laws["batch_size"].params["tokens_exponent"] == pytest.approx(0.5, abs=0.1)
    assert found.tuning is not None
    for one in found.trajectories:
        truth = planted_runs.best_batch(found.tuning.ratio * one.params)
        assert abs(one.batch_tokens - truth) <= 0.05 * truth + one.model.sequence_length / 2
        assert one.recipe.learning_rate == pytest.approx(
            best_rate(one.params, found.tuning.ratio * one.params), rel=0.06
        )
    assert {one.cell.values["tokens_per_param"] for one in found.skipped} == {1}
    assert all("fewer than training.minimum_steps" in one.because for one in found.skipped)


def test_a_study_without_tuning_says_nothing_of_it(study_without: Callable[[], Study]) -> None:
    study = study_without()
    assert "tuning" not in dump_study(study)
    found = plan(study, DATA)
    assert found.tuning is None
    assert found.stages == (found,)
    assert "tuning" not in found.as_json()
    with_bowls = plan(study_of(), DATA)
    assert [one.id for one in with_bowls.trajectories] == [one.id for one in found.trajectories]


@pytest.fixture
def study_without() -> Callable[[], Study]:
    def make() -> Study:
        raw = study_of().model_dump(mode="json")
        del raw["tuning"]
        return parse_study(raw)

    return make


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"cells": TUNING["cells"][:3]}, "4, or one tokens_per_param for all"),
        ({"cells": [*TUNING["cells"], {"params": 1.4e4, "tokens": 3}]}, "tuning has 5 cells at width"),
        ({"cells": [*TUNING["cells"], {"width": 24, "tokens_per_param": 15.0001}]}, "two cells that are the same"),
        ({"held_out": [TUNING["cells"][0]]}, "held_out has .*, which cells has too"),
        ({"batch_factors": [1, 2]}, "two batch sizes show no least"),
        ({"learning_rate_factors": [0.5, 1, 2]}, "give a fourth, or seeds 2"),
        ({"cells": [{"width": 16}, *TUNING["cells"]]}, "needs one horizon of each cell"),
    ],
)
def test_what_cannot_be_tuned_is_refused(how: dict[str, Any], said: str) -> None:
    with pytest.raises(StudyError, match=said):
        plan(study_of(TUNING | how), DATA)


def test_a_sweep_may_not_vary_what_the_law_gives() -> None:
    with pytest.raises(StudyError, match=r"sweep varies training.learning_rate, which tuning reads off its law"):
        study_of(sweep=LADDER | {"factors": {"training.learning_rate": [1e-3, 2e-3]}})
