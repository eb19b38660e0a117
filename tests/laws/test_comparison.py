"""Two arms: planted multipliers come back, pairs are found and used, intervals hold the truth as often as they say."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy.optimize import brentq, least_squares
from scipy.special import stdtrit

from scaling import laws
from scaling.laws.comparison import Comparison, compare, pairs, power
from scaling.laws.forms import form_named
from tests.laws import planted
from tests.laws.planted import TRUTH, best_size, loss, study

ROOT = Path(__file__).parents[2]
AT = 2e12
QUICK: dict[str, Any] = {"resamples": 200, "starts": 16, "draws": 0}
OTHER = TRUTH | {"alpha": 0.5, "A": 0.8 * 6e4**0.5, "E": 1.15}
"""A law that is worse than TRUTH on few FLOPs and better on many."""


def two_arms(
    noise: float = 0.01,
    correlation: float = 0.6,
    seed: int = 0,
    on_n: float = 1.0,
    on_d: float = 1.0,
    share: float = 0.5,
    other: dict[str, float] = TRUTH,
    **design: Any,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Studies of two arms on one design; `correlation` of the noise of two runs that differ in nothing but the arm."""
    a = study(**design)
    size, data = np.array(a["params"]), np.array(a["tokens"])
    generator = np.random.default_rng(seed)
    names, place = np.unique(a["trajectory"], return_inverse=True)

    def drawn() -> Any:
        own = generator.standard_normal(len(names))[place], generator.standard_normal(len(place))
        return np.sqrt(share) * own[0] + np.sqrt(1 - share) * own[1]

    common, *own = drawn(), drawn(), drawn()
    noises = [noise * (np.sqrt(correlation) * common + np.sqrt(1 - correlation) * one) for one in own]
    b = a | {"loss": (loss(on_n * size, on_d * data, other) * np.exp(noises[1])).tolist()}
    return a | {"loss": (loss(size, data) * np.exp(noises[0])).tolist()}, b


def best_loss(flops: float, truth: dict[str, float]) -> float:
    size = best_size(flops, truth)
    return float(loss(size, flops / (6 * size), truth))


@pytest.mark.parametrize(("on_n", "on_d"), [(1.0, 0.7), (1.3, 1.1), (1.0, 1.0)])
def test_planted_multipliers_come_back(on_n: float, on_d: float) -> None:
    found = compare(*two_arms(noise=1e-7, on_n=on_n, on_d=on_d), at=AT, **QUICK)
    assert found.multipliers["params"].value == pytest.approx(on_n, rel=1e-4)
    assert found.multipliers["tokens"].value == pytest.approx(on_d, rel=1e-4)
    # Under C = 6 N D the frontier of L(m_N N, m_D D) is that of L at m_N m_D C.
    assert found.gain.value == pytest.approx(on_n * on_d, rel=1e-5)
    assert found.constant
    assert found.crossings == ()
    assert found.a.params == pytest.approx(TRUTH, rel=1e-3)
    assert found.b.loss(params=5e4, tokens=2e6) == pytest.approx(loss(on_n * 5e4, on_d * 2e6), rel=1e-6)
    best = found.b.optimum(flops=AT)
    assert best.params.value == pytest.approx(best_size(on_n * on_d * AT) / on_n, rel=1e-3)


def test_separate_laws_give_the_planted_gain_trend_and_crossing() -> None:
    found = compare(*two_arms(noise=1e-7, other=OTHER), at=AT, exponents="separate", **QUICK)
    assert found.b.params == pytest.approx(OTHER, rel=1e-3)

    def log_gain(flops: float) -> float:
        target = best_loss(flops, OTHER)
        return float(brentq(lambda x: best_loss(flops * np.exp(x), TRUTH) - target, -20, 20))

    assert np.log(found.gain.value) == pytest.approx(log_gain(AT), abs=1e-4)
    for flops, gain in found.gains:
        assert np.log(gain.value) == pytest.approx(log_gain(flops), abs=1e-3)
    assert found.trend is not None
    assert found.trend.value == pytest.approx(log_gain(AT * np.exp(0.5)) - log_gain(AT * np.exp(-0.5)), abs=1e-3)
    crossing = brentq(lambda x: best_loss(np.exp(x), OTHER) - best_loss(np.exp(x), TRUTH), np.log(1e9), np.log(1e13))
    assert [np.log(item.flops.value) for item in found.crossings] == pytest.approx([crossing], abs=0.01)
    assert found.crossings[0].better_above == "b"
    assert found.crossings[0].share == 1.0
    assert found.better > 0.99


def test_a_gain_without_end_is_said_to_be_one() -> None:
    found = compare(*two_arms(noise=1e-6, other=TRUTH | {"E": 1.0}), at=1e16, exponents="separate", **QUICK)
    assert found.gain.value == np.inf
    assert "gain_unbounded" in {item.code for item in found.diagnostics}
    assert "never" in str(found)
    assert json.loads(json.dumps(found.as_json(), allow_nan=False))["gain"]["value"] is None
    with pytest.raises(laws.LawError, match="lower budget"):
        power(found)


def test_a_dearer_arm_pays_for_its_compute() -> None:
    a, b = two_arms(noise=1e-7)
    b = b | {"flops": (2 * np.array(b["flops"])).tolist()}
    found = compare(a, b, at=AT, **{**QUICK, "resamples": 20})
    assert found.multipliers["tokens"].value == pytest.approx(1.0, rel=1e-4)
    assert found.gain.value == pytest.approx(0.5, rel=1e-3)
    # The same where the costs are given beside the tables: 12 N a token against 6 N.
    sizes = np.geomspace(1e3, 1e7, 9)
    a, b = ({name: values for name, values in table.items() if name != "flops"} for table in two_arms(noise=1e-7))
    dear = compare(a, b, at=AT, cost=(sizes, 6 * sizes), cost_b=(sizes, 12 * sizes), **{**QUICK, "resamples": 20})
    assert dear.gain.value == pytest.approx(0.5, rel=1e-3)


def test_separate_laws_without_pairs_are_two_fits() -> None:
    tables = two_arms(noise=0.003, seed=3)
    found = compare(*tables, at=AT, exponents="separate", pair=False, **QUICK)
    assert found.pairs == 0
    for own, table in zip((found.a, found.b), tables, strict=True):
        alone = laws.fit(table, "chinchilla", objective="least_squares", resamples=0, starts=64)
        assert own.params == pytest.approx(alone.params, rel=1e-4)


def test_pairs_are_fitted_by_generalised_least_squares() -> None:
    """Against SciPy on the runs themselves, whitened by the Cholesky factor of their covariance."""
    a, b = two_arms(noise=0.005, seed=5, correlation=0.8, on_d=0.8)
    kept = [i for i in range(len(b["loss"])) if i % 3]
    b = {name: [values[i] for i in kept] for name, values in b.items()}
    found = compare(a, b, at=AT, **QUICK)
    assert found.pairs == len(kept)
    assert found.correlation is not None
    rows = len(a["loss"]) + len(kept)
    covariance = np.eye(rows)
    for place, index in enumerate(kept):
        covariance[index, len(a["loss"]) + place] = covariance[len(a["loss"]) + place, index] = found.correlation.value
    whiten = np.linalg.inv(np.linalg.cholesky(covariance))
    size, data, measured = (np.log(np.array(a[name] + b[name])) for name in ("params", "tokens", "loss"))
    arm = np.arange(rows) >= len(a["loss"])

    def residuals(z: np.ndarray) -> np.ndarray:
        own_size, own_data = size + arm * z[5] - np.log(6e4), data + arm * z[6] - np.log(1.2e6)
        terms = np.exp(z[1] - z[2] * own_size) + np.exp(z[3] - z[4] * own_data)
        return whiten @ (np.log(z[0] + terms) - measured)

    start = [1.2, np.log(0.8), 0.4, np.log(0.9), 0.45, 0.0, 0.0]
    theirs = least_squares(residuals, start, x_scale="jac", xtol=1e-15, ftol=1e-15, gtol=1e-15, max_nfev=5000)
    assert found.a.objective["value"] == pytest.approx(2 * theirs.cost, rel=1e-6)
    assert found.multipliers["params"].value == pytest.approx(np.exp(theirs.x[5]), rel=1e-4)
    assert found.multipliers["tokens"].value == pytest.approx(np.exp(theirs.x[6]), rel=1e-4)


def test_pairing_measures_what_two_runs_share_and_narrows_the_interval() -> None:
    found, widths = [], []
    for seed in range(4):
        tables = two_arms(correlation=0.9, seed=seed)
        paired, apart = (compare(*tables, at=AT, pair=pair, **QUICK) for pair in (True, False))
        assert paired.pairs == 28
        assert paired.correlation is not None
        assert apart.correlation is None
        found.append(paired.correlation.value)
        widths.append(np.log(paired.gain.high / paired.gain.low) / np.log(apart.gain.high / apart.gain.low))
    assert np.mean(found) == pytest.approx(0.9, abs=0.1)
    assert np.mean(widths) == pytest.approx(np.sqrt(0.1), abs=0.15)


def test_runs_pair_by_n_d_and_seed_alone() -> None:
    law = form_named("chinchilla")
    a, b = two_arms()
    shuffled = np.random.default_rng(0).permutation(len(b["loss"]))
    b = {name: [values[i] for i in shuffled] for name, values in b.items()}

    def matched(first: dict[str, Any], second: dict[str, Any]) -> list[tuple[int, int]]:
        read = (laws.read(first), laws.read(second))
        return pairs.matched(read, (pairs.seeds(first, None, read[0]), pairs.seeds(second, None, read[1])))

    def without(table: dict[str, Any], name: str) -> dict[str, Any]:
        return {key: values for key, values in table.items() if key != name}

    found = matched(a, b | {"seed": [float(seed) for seed in b["seed"]]})
    assert len(found) == 28
    assert all(a[name][i] == b[name][j] for i, j in found for name in ("params", "tokens", "seed"))
    assert matched(a, b | {"seed": [f"other {seed}" for seed in b["seed"]]}) == []
    # Without seeds only what is alone at its N and D can belong together: 28 runs less 4 cells of 3 seeds.
    assert len(matched(without(a, "seed"), b)) == 28 - 12
    assert matched(a, b | {"tokens": [1.01 * tokens for tokens in b["tokens"]]}) == []
    columns = {"seed": "run"}
    named = without(b, "seed") | {"run": b["seed"]}
    assert pairs.seeds(named, columns, laws.read(named, columns)) == [str(seed) for seed in b["seed"]]
    rows = pairs.rows_of((laws.read(a), laws.read(b)), law, ("A", "B"), (None, None))
    assert rows.pairs == 16
    assert sorted(np.unique(rows.kind)) == [-1, 0, 1]


def test_the_standard_error_agrees_with_the_resamples() -> None:
    """The delta method with Student's t, and the resampled law, are two ways to one interval."""
    ratios = []
    for seed, exponents in ((0, "shared"), (1, "shared"), (2, "separate"), (3, "separate")):
        found = compare(*two_arms(seed=seed, noise=0.005), at=AT, exponents=exponents, **{**QUICK, "resamples": 1000})
        assert 8 < found.freedom < 60
        width = 2 * stdtrit(found.freedom, 0.975) * found.standard_error
        ratios.append(np.log(found.gain.high / found.gain.low) / width)
    assert ratios == pytest.approx([1.0] * 4, abs=0.12)


def test_other_exponents_are_found_out_and_like_ones_are_not() -> None:
    settings = QUICK | {"draws": 99}
    apart = compare(*two_arms(noise=0.003, other=OTHER), at=AT, **settings)
    assert [test.parameters for test in apart.tests] == [3, 2]
    assert apart.tests[0].p == pytest.approx(0.01)
    assert "exponents_differ" in {item.code for item in apart.diagnostics}
    like = compare(*two_arms(noise=0.003, on_d=0.7), at=AT, **settings)
    assert like.tests[0].p > 0.05
    assert like.tests[1].p == pytest.approx(0.01), "but the arms are not one law"
    separate = compare(*two_arms(noise=0.003, on_d=0.7), at=AT, exponents="separate", **settings)
    assert separate.tests[0].p > 0.05
    assert "exponents_may_be_shared" in {item.code for item in separate.diagnostics}


def test_a_run_gone_wrong_is_named_and_huber_stands_it() -> None:
    a, b = two_arms(noise=0.002, on_d=0.7, seed=1)
    b["loss"][0] *= 1.3
    squares, huber = (compare(a, b, at=AT, objective=name, delta=0.003, **QUICK) for name in ("least_squares", "huber"))
    said = next(item.message for item in squares.diagnostics if item.code == "outlier")
    assert "B row 1 " in said
    assert abs(np.log(huber.gain.value / 0.7)) < 0.03 < abs(np.log(squares.gain.value / 0.7))


def test_many_trajectories_are_resampled_whole() -> None:
    single, paired = {"pair": False, "method": "auto"}, {"pair": True, "method": "pairs"}
    for arguments in (single, paired):
        a, b = two_arms(noise=0.005, share=0.0)
        found = compare(a | {"trajectory": range(28)}, b | {"trajectory": range(28)}, at=AT, **arguments, **QUICK)
        assert found.b.noise["resampling"] == "pairs"
        assert found.pairs == (28 if arguments["pair"] else 0)
        ratio = np.log(found.gain.high / found.gain.low) / (2 * 1.96 * found.standard_error)
        assert 0.6 < ratio < 1.6


def test_power_follows_from_the_standard_error() -> None:
    found = compare(*two_arms(seed=2), at=AT, **QUICK)
    easy, hard = power(found, gain=0.5), power(found, gain=0.01)
    assert easy.more == 0
    assert easy.now > 0.99
    # Many runs: (1.960 + 0.842)^2 s^2 / ln(1.01)^2 times the present ones.
    times = ((1.959964 + 0.841621) * found.standard_error / np.log(1.01)) ** 2
    assert hard.more == pytest.approx((times - 1) * 56, rel=0.02)
    assert hard.now < 0.5
    at_edge = power(found, gain=hard.detectable)
    assert at_edge.now == pytest.approx(0.8, abs=1e-6)
    assert at_edge.more == 0
    assert "delta method" in str(hard)
    assert json.loads(json.dumps(hard.as_json()))["more"] == hard.more
    with pytest.raises(laws.LawError, match="gain is 0"):
        power(found, gain=0.0)


def held(seed: int, truth: float, **settings: Any) -> tuple[bool, bool, bool, bool, float, float]:
    """One simulated pair of studies, arm b's D worth `truth` of arm a's.

    (gain's interval holds it, m_D's does, m_N's holds 1, the gain's leaves out 1, ln of the gain found, half width).
    """
    found = compare(*two_arms(seed=seed, on_d=truth), at=AT, **{**QUICK, "seed": seed, **settings})
    return (
        truth in found.gain,
        truth in found.multipliers["tokens"],
        1.0 in found.multipliers["params"],
        1.0 not in found.gain,
        float(np.log(found.gain.value / truth)),
        float(np.log(found.gain.high / found.gain.low) / 2),
    )


@pytest.mark.parametrize("truth", [1.0, 0.7])
def test_intervals_hold_the_truth_about_as_often_as_they_say(truth: float) -> None:
    outcomes = np.array([held(seed, truth) for seed in range(12)], dtype=float)
    assert np.all(outcomes[:, :3].sum(axis=0) >= 8), "12 studies at 95%: 7 or fewer has a chance of 1.8e-4"
    assert outcomes[:, 3].sum() <= 4 if truth == 1 else outcomes[:, 3].all()
    # As wide as the estimates scatter, not wider: 0.02 of ln G in 400 simulations.
    assert 0.03 < np.median(outcomes[:, 5]) < 0.055


@pytest.mark.full
@pytest.mark.parametrize("truth", [1.0, 0.7])
def test_coverage_in_simulation(truth: float) -> None:
    """400 studies of 28 runs an arm, 1% noise, correlation 0.6 within a pair."""
    outcomes = np.array([held(seed, truth) for seed in range(400)], dtype=float)
    gain, on_d, on_n, apart = outcomes[:, :4].mean(axis=0)
    scatter, half = outcomes[:, 4].std(), np.median(outcomes[:, 5])
    print(
        f"\ntruth {truth}: holds gain {gain:.1%}, m_D {on_d:.1%}, m_N {on_n:.1%}; leaves out 1 in {apart:.1%}; "
        f"ln gain scatters {scatter:.4f}, half width {half:.4f}"
    )
    for share in (gain, on_d, on_n):
        assert 0.92 <= share <= 0.98


@pytest.mark.full
def test_power_in_simulation() -> None:
    """The share of studies that detect a gain is the mean of what they say their power is."""
    gain, said, detected = 0.065, [], []
    for seed in range(300):
        found = compare(*two_arms(seed=seed, on_d=1 + gain), at=AT, **{**QUICK, "seed": seed})
        said.append(power(found, gain=gain).now)
        detected.append(1.0 not in found.gain)
    print(f"\npower {np.mean(said):.1%} said, {np.mean(detected):.1%} detected")
    # Three and a half standard errors of a share of 300.
    assert np.mean(detected) == pytest.approx(np.mean(said), abs=0.085)


def p_value(seed: int) -> tuple[float, float]:
    """p of both tests where both nulls hold."""
    found = compare(*two_arms(seed=seed), at=AT, **{**QUICK, "draws": 99, "resamples": 20, "seed": seed})
    return found.tests[0].p, found.tests[1].p


@pytest.mark.full
def test_p_values_are_uniform_where_the_null_holds() -> None:
    values = np.array([p_value(seed) for seed in range(200)])
    below = {edge: np.mean(values <= edge, axis=0) for edge in (0.05, 0.2, 0.5, 0.8)}
    print("\n" + ", ".join(f"p <= {edge}: {share[0]:.1%}, {share[1]:.1%}" for edge, share in below.items()))
    for edge, share in below.items():
        # Four standard errors of a share of 200.
        assert np.all(np.abs(share - edge) <= 4 * np.sqrt(edge * (1 - edge) / 200)), edge


def test_a_comparison_is_plain_data_and_its_laws_answer_alone() -> None:
    found = compare(*two_arms(on_d=0.7, noise=0.005), at=AT, names=("AdamW", "Muon"), **QUICK)
    plain = json.loads(json.dumps(found.as_json(), allow_nan=False))
    assert plain["names"] == ["AdamW", "Muon"]
    assert plain["pairs"] == 28
    again = laws.LawFit.from_json(plain["b"])
    assert again == found.b
    assert again.predict(params=5e4, tokens=2e6) == found.b.predict(params=5e4, tokens=2e6)
    text = str(found)
    assert text.startswith("AdamW better than Muon at 2e12 FLOPs: 99.")
    assert "Muon's effective D" in text
    with pytest.raises(AttributeError):
        found.at = 1.0  # type: ignore[misc]


def test_equal_tables_and_seeds_give_equal_comparisons() -> None:
    first, second = (compare(*two_arms(), at=AT, **QUICK) for _ in range(2))
    assert first == second
    assert isinstance(first, Comparison)


def test_arms_are_named_by_their_files(tmp_path: Path) -> None:
    paths = []
    for name, table in zip(("adamw", "muon"), two_arms(), strict=True):
        paths.append(tmp_path / f"{name}.csv")
        pl.DataFrame(table).rename({"loss": "val"}).write_csv(paths[-1])
    found = compare(*paths, at=AT, columns={"loss": "val"}, **QUICK)
    assert found.names == ("adamw", "muon")
    assert found.pairs == 28


def test_what_cannot_be_compared_is_refused_by_name() -> None:
    a, b = two_arms()
    for arguments, words in (
        ({"exponents": "shred"}, "did you mean 'shared'"),
        ({"form": "isoflop"}, "isoflop"),
        ({"form": "power", "x": "flops"}, "power"),
        ({"at": -1.0}, "at is -1"),
        ({"draws": 3}, "draws is 3"),
        ({"resamples": 0}, "resamples is 0"),
        ({"method": "rows"}, "method is 'rows'"),
    ):
        with pytest.raises(laws.LawError, match=words):
            compare(a, b, **{**QUICK, **arguments})
    with pytest.raises(laws.LawError, match="the same rows"):
        compare(a, a, **QUICK)
    other = b | {"params_convention": ["without_embeddings"] * len(b["loss"])}
    with pytest.raises(laws.LawError, match="without_embeddings"):
        compare(a, other, **QUICK)


def test_arms_that_do_not_overlap_are_pointed_out() -> None:
    a, b = two_arms(noise=0.005, replicated=7)
    cheap = [i for i, flops in enumerate(a["flops"]) if flops < 1e11]
    dear = [i for i, flops in enumerate(b["flops"]) if flops > 1e11]
    low, high = ({k: [v[i] for i in rows] for k, v in table.items()} for table, rows in ((a, cheap), (b, dear)))
    found = compare(low, high, at=AT, **QUICK)
    assert {"arms_do_not_overlap", "no_pairs"} <= {item.code for item in found.diagnostics}


def test_a_few_runs_of_arm_b_suffice_for_two_multipliers_but_not_for_a_law() -> None:
    a, b = two_arms(noise=0.005, replicated=4)
    few = {name: values[:4] for name, values in b.items()}
    assert compare(a, few, at=AT, **QUICK).ok
    apart = compare(a, few, at=AT, exponents="separate", **QUICK)
    assert apart.status.startswith("not to be trusted: B: 4 different runs")


def test_reading_an_arm_s_law_needs_no_jax() -> None:
    code = (
        "import sys; from scaling.laws.forms import form_named; "
        "form_named('scaling.laws.comparison.arms:rescaled'); assert 'jax' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_published_training_sets_pair_up() -> None:
    """Gadre et al. 2024: three training sets at the same sizes and tokens, one loss. No figure of theirs to hold."""
    runs = pl.read_csv(planted.published("gadre", "runs.csv"))
    first, second = (runs.filter(pl.col("train_dataset") == name) for name in ("rpj", "rw_original"))
    columns = {"params": "N", "tokens": "D", "loss": "loss_c4_val"}
    paired, apart = (compare(first, second, at=1e21, columns=columns, pair=pair, **QUICK) for pair in (True, False))
    assert paired.pairs == 34
    assert paired.correlation is not None
    assert paired.correlation.low > 0.5
    assert paired.better > 0.99
    assert np.log(paired.gain.high / paired.gain.low) < 0.7 * np.log(apart.gain.high / apart.gain.low)


def test_the_page_s_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    page = ROOT / "docs" / "comparison.md"
    blocks = re.findall(r"^```python\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(block, str(page), "exec"), {})
