"""Loss curves of planted schedules: sums by their definition, every number to rounding, unseen schedules predicted."""

from typing import Any

import numpy as np
import pytest
from scipy.optimize import least_squares

from scaling import laws
from scaling.laws.forms.schedule import annealing_areas, rates_between, schedule_curve, warmup_steps
from scaling.laws.forms.schedule import schedule_loss as predicted
from tests.laws.procedures.simulated import CURVE, STEPS, loss_curves, schedule_loss, schedules

QUICK = {"starts": 32}


def codes(fit: laws.LawFit) -> set[str]:
    return {item.code for item in fit.diagnostics}


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.99, 0.9999])
def test_sums_are_those_of_the_definition(momentum: float) -> None:
    rates = np.random.default_rng(0).random(600)
    forward, annealed = annealing_areas(rates, momentum)
    before = np.concatenate([rates[:1], rates])
    for last in (1, 2, 255, 257, 600):
        double = sum(
            (before[k - 1] - before[k]) * momentum ** (i - k) for i in range(1, last + 1) for k in range(1, i + 1)
        )
        assert annealed[last - 1] == pytest.approx(double, rel=1e-9, abs=1e-12)
        assert forward[last - 1] == pytest.approx(rates[:last].sum())


def test_a_constant_rate_anneals_nothing_and_a_warm_up_counts_as_its_peak() -> None:
    rates = schedules()["constant"]
    assert warmup_steps(rates) == 199
    assert annealing_areas(rates, 0.99)[1][-1] < 0
    forward, annealed = annealing_areas(rates, 0.99, "peak")
    assert np.all(annealed == 0)
    np.testing.assert_allclose(forward, 1e-3 * np.arange(1, STEPS + 1))
    assert warmup_steps(np.array([3.0, 2.0, 4.0])) == 0
    assert warmup_steps(np.array([1.0, 1.0])) == 0


def test_rates_between_rows_are_straight_lines() -> None:
    np.testing.assert_allclose(rates_between([3, 5, 6], [1.0, 2.0, 0.0]), [1, 1, 1, 1.5, 2, 0])


def test_noiseless_curves_return_every_number() -> None:
    """The momentum too. Rates that are straight between the rows are known exactly; others to what rows leave out."""
    truth = CURVE | {"momentum": 0.997, "reference_momentum": 0.997}
    fit = laws.fit(loss_curves("linear", "decay"), "annealing", resamples=0, **QUICK)
    assert fit.params == pytest.approx(truth, rel=1e-8)
    assert fit.status == "ok"
    curved = laws.fit(loss_curves("cosine", "decay"), "annealing", resamples=0, **QUICK)
    assert curved.params == pytest.approx(truth, rel=1e-4)


def test_one_curve_predicts_other_schedules() -> None:
    fit = laws.fit(loss_curves("cosine", every=25), "annealing", resamples=0, **QUICK)
    for name in ("decay", "drop", "constant"):
        rates = schedules()[name]
        np.testing.assert_allclose(predicted(fit, rates)[200:], schedule_loss(rates, 0.997)[200:], rtol=2e-3)


def test_a_stated_momentum_is_held() -> None:
    table = loss_curves("linear", "decay", momentum=0.99)
    fit = laws.fit(table, "annealing", momentum=0.99, resamples=40, **QUICK)
    assert fit.params["momentum"] == 0.99
    assert fit.pinned == {"momentum": 0.99, "reference_momentum": 0.99}
    assert {name: fit.params[name] for name in CURVE} == pytest.approx(CURVE, rel=1e-3)
    assert "momentum" not in fit.intervals
    assert fit.details["profile"] == []
    other = laws.fit(table, "annealing", momentum=0.999, resamples=0, **QUICK)
    assert other.objective["value"] > 100 * fit.objective["value"]


def test_least_squares_agrees_with_scipy() -> None:
    """The same residuals with the sums made anew at each momentum."""
    table = loss_curves("cosine", "decay", noise=0.002, seed=4)
    ours = laws.fit(table, "annealing", resamples=0, objective="least_squares", **QUICK)
    steps, log_loss = np.array(table["step"]).reshape(2, -1), np.log(table["loss"]).reshape(2, -1)
    rates = [rates_between(s, r) for s, r in zip(steps, np.array(table["rate"]).reshape(2, -1), strict=True)]
    first = [warmup_steps(one) for one in rates]

    def residuals(z: np.ndarray) -> np.ndarray:
        found = []
        for own, at, target, skip in zip(rates, steps, log_loss, first, strict=True):
            forward, annealed = annealing_areas(own, 1 - np.exp(z[4]), "peak")
            value = z[0] + np.exp(z[1]) / forward ** z[2] - z[3] * annealed
            found.append((np.log(value[at - 1]) - target)[at > skip])
        return np.concatenate(found)

    theirs = least_squares(residuals, [2.6, np.log(0.5), 0.45, 0.3, np.log(0.003)], x_scale="jac", xtol=1e-14)
    assert ours.objective["value"] == pytest.approx(2 * theirs.cost, rel=1e-6)
    assert ours.params["momentum"] == pytest.approx(1 - np.exp(theirs.x[4]), abs=1e-5)
    assert ours.params["C"] == pytest.approx(theirs.x[3], rel=1e-3)
    profile = {point["momentum"]: point["objective"] for point in ours.details["profile"]}
    assert min(profile, key=lambda momentum: profile[momentum]) == pytest.approx(ours.params["momentum"])


def test_intervals_and_bands_hold_the_planted_curve() -> None:
    names = ("cosine", "decay", "drop", "constant")
    fit = laws.fit(loss_curves(*names, every=100, noise=0.003, seed=2), "annealing", resamples=100, **QUICK)
    for name, value in (CURVE | {"momentum": 0.997}).items():
        assert value in fit.intervals[name], name
    assert laws.LawFit.from_json(fit.to_json()) == fit
    linear = 1e-3 * (1 - np.arange(STEPS) / STEPS)
    band = schedule_curve(fit, linear, steps=[1000, 3000, 6000])
    truth = schedule_loss(linear, 0.997)[[999, 2999, 5999]]
    assert np.all((band.low < truth) & (truth < band.high))
    forward, annealed = annealing_areas(linear, fit.params["momentum"], "peak")
    said = fit.predict(forward_area=forward[-1], annealing_area=annealed[-1])
    assert said.loss == pytest.approx(band.loss[-1])
    assert said.confidence.high - said.confidence.low == pytest.approx(band.high[-1] - band.low[-1], rel=0.2)


def test_what_the_curves_cannot_tell_is_said() -> None:
    flat = laws.fit(loss_curves("cosine", every=25, noise=0.01, momentum=0.97), "annealing", resamples=60, **QUICK)
    assert codes(flat) & {"momentum_open", "momentum_at_edge"}
    assert "too_few_trajectories" in codes(flat)
    table = loss_curves("cosine", "decay", noise=0.0)
    wave = 0.003 * np.sin(np.arange(len(table["loss"])) / 6)
    table["loss"] = (np.array(table["loss"]) * np.exp(wave)).tolist()
    fit = laws.fit(table, "annealing", momentum=0.997, resamples=0, **QUICK)
    (found,) = [item for item in fit.diagnostics if item.code == "residuals_correlated"]
    assert found.value > 0.8
    assert "row" in found.message


def test_warm_up_and_step_0_are_left_out_by_name() -> None:
    table = loss_curves("cosine", "decay", every=50)
    for name, value in (("trajectory", "cosine-0"), ("step", 0), ("rate", 0.0), ("loss", 9.0)):
        table[name].append(value)
    fit = laws.fit(table, "annealing", momentum=0.997, resamples=0, **QUICK)
    assert {name: fit.params[name] for name in CURVE} == pytest.approx(CURVE, rel=0.02)
    assert fit.rows == 2 * 120 - 2 * 3
    assert fit.excluded[0] == "row 241: step 0: not trained yet"
    assert fit.excluded[1] == "row 1: in the warm-up"
    assert fit.details["curves"][0]["warmup_steps"] == 199
    whole = laws.fit(table, "annealing", momentum=0.997, warmup="as_it_is", resamples=0, **QUICK)
    assert whole.rows == 240


def changed(**columns: Any) -> dict[str, Any]:
    table = loss_curves("cosine", "decay", every=200)
    for name, (row, value) in columns.items():
        table[name][row] = value
    return table


@pytest.mark.parametrize(
    ("table", "options", "words"),
    [
        (changed(step=(3, 200)), {}, "row 1 and row 4 are both step 200"),
        (changed(step=(3, 200.5)), {}, "row 4: step is 200.5"),
        (changed(rate=(3, -1.0)), {}, "row 4: rate is -1"),
        ({k: v for k, v in changed().items() if k != "trajectory"}, {}, "name the runs"),
        ({k: v for k, v in changed().items() if k != "rate"}, {}, "no column 'rate'"),
        (loss_curves("constant", "constant"), {}, "no run's rate falls"),
        (changed(), {"momentum": 1.0}, "momentum is 1.0"),
        (changed(), {"warmup": "peek"}, "did you mean 'peak'"),
    ],
)
def test_impossible_tables_and_options_are_named(table: dict[str, Any], options: dict[str, Any], words: str) -> None:
    with pytest.raises(laws.LawError, match=words):
        laws.fit(table, "annealing", resamples=0, **QUICK, **options)


def test_impossible_questions_are_named() -> None:
    fit = laws.fit(loss_curves("cosine", "decay"), "annealing", momentum=0.997, resamples=20, **QUICK)
    with pytest.raises(laws.LawError, match="0 or more"):
        predicted(fit, [1e-3, -1e-3])
    with pytest.raises(laws.LawError, match="between 1 and the schedule's 2"):
        schedule_curve(fit, [1e-3, 1e-3], steps=[3])
    with pytest.raises(laws.LawError, match="step 1 is 0"):
        predicted(fit, [0.0, 0.0])
    other = laws.fit({"params": [1.0, 2.0, 4.0], "loss": [3.0, 2.0, 1.5]}, "power", pin={"E": 0}, resamples=0)
    with pytest.raises(laws.LawError, match="no law of a schedule"):
        predicted(other, [1e-3])


@pytest.mark.full
@pytest.mark.parametrize("stated", [None, 0.997])
def test_intervals_hold_the_truth_about_as_often_as_they_say(stated: float | None) -> None:
    held = []
    linear = 1e-3 * (1 - np.arange(STEPS) / STEPS)
    truth = schedule_loss(linear, 0.997)[-1]
    for seed in range(30):
        table = loss_curves("cosine", "decay", "drop", "constant", every=100, noise=0.003, common=0.001, seed=seed)
        fit = laws.fit(table, "annealing", momentum=stated, resamples=200, delta=1e-2, starts=16)
        band = schedule_curve(fit, linear, steps=[STEPS])
        shares = [CURVE[name] in fit.intervals[name] for name in CURVE] + [bool(band.low[0] < truth < band.high[0])]
        held.append(shares + ([] if stated else [0.997 in fit.intervals["momentum"]]))
    assert np.all(np.mean(held, axis=0) >= 0.8), np.mean(held, axis=0)
