"""Experts, parallel streams, vocabulary: the contract, what each becomes without them, and published answers."""

import numpy as np
import pytest

from scaling import laws
from scaling.laws.forms import form_named
from tests.laws.forms.contract import Example, check_contract

S_BASE = {"a": -0.082, "b": -0.108, "c": 0.009, "d": 1.104, "E_start": 1.847, "E_max": 314.478}
"""Clark et al. 2022, table 3."""
STREAMS = {"E": 1.3, "A": 1.6e8, "alpha": 0.3, "k": 0.35}
DATA = {"B": 410.0, "beta": 0.28}
TAO = {"E": 5.533, "A1": 1.831, "alpha1": 0.447, "A2": 0.196, "alpha2": 0.671, "B": 2.124, "beta": 0.447}
"""Tao et al. 2024, section 4.3: parameters in millions, tokens in billions."""
WORDS = TAO | {"A1": 1.831 * 1e6**0.447, "A2": 0.196 * 1e6**0.671, "B": 2.124 * 1e9**0.447}


def grid(**axes: list[float]) -> dict[str, np.ndarray]:
    meshed = np.meshgrid(*axes.values(), indexing="ij")
    return {name: values.ravel() for name, values in zip(axes, meshed, strict=True)}


SIZES = [5e8, 1e9, 2e9, 4e9]
EXAMPLES = {
    "moe": Example("moe", S_BASE, grid(params=[1e7, 3e7, 1e8, 3e8, 1e9], experts=[1, 2, 4, 8, 32, 128, 512])),
    "moe without saturation": Example(
        "moe",
        {name: S_BASE[name] for name in "abcd"},
        grid(params=[1e7, 3e7, 1e8, 3e8, 1e9], experts=[1, 2, 4, 8, 32]),
        options={"saturation": False},
    ),
    "parallel": Example("parallel", STREAMS, grid(params=[*SIZES, 8e9], streams=[1, 2, 4, 8])),
    "parallel with tokens": Example(
        "parallel",
        STREAMS | DATA,
        grid(params=SIZES, streams=[1, 2, 4], tokens=[1e10, 4e10, 2e11]),
        options={"tokens": True},
    ),
    "vocabulary": Example(
        "vocabulary",
        WORDS,
        grid(params_non_vocabulary=[3e7, 1e8, 3e8, 1e9], params_vocabulary=[2e6, 1e7, 5e7], tokens=[5e8, 2e9, 1e10]),
    ),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_contract(name: str) -> None:
    check_contract(EXAMPLES[name])


def moe_loss(params: float, experts: float, truth: dict[str, float] = S_BASE, **options: bool) -> float:
    given = {"params": np.log(params), "experts": np.log(experts)}
    return float(form_named("moe", options).evaluate(truth, given))


def test_experts_run_from_their_start_to_their_most() -> None:
    for experts, counted in ((1.0, S_BASE["E_start"]), (1e15, S_BASE["E_max"])):
        plain = moe_loss(1e8, counted, saturation=False)
        assert moe_loss(1e8, experts) == pytest.approx(plain, rel=1e-9)


def test_one_expert_is_a_power_law_in_size() -> None:
    start = np.log10(S_BASE["E_start"])
    slope, level = S_BASE["a"] + S_BASE["c"] * start, S_BASE["d"] + S_BASE["b"] * start
    for params in (1e7, 1e9):
        assert moe_loss(params, 1) == pytest.approx(10 ** (level + slope * np.log10(params)), rel=1e-12)
    dense = S_BASE | {"E_start": 1.0}
    assert moe_loss(1e8, 1, dense) == pytest.approx(10 ** (S_BASE["d"] + S_BASE["a"] * 8), rel=1e-12)


def test_published_effective_parameter_count() -> None:
    """Clark et al. 2022: 5M parameters with 128 experts do what 55M dense ones do, from table 3's rounded values."""
    sizes = np.geomspace(1e7, 2e8, 4001)
    dense = np.array([moe_loss(size, 1) for size in sizes])
    assert sizes[np.argmin(np.abs(dense - moe_loss(5e6, 128)))] == pytest.approx(55e6, rel=0.1)


def test_experts_stop_helping_where_the_published_law_says() -> None:
    """At log10 N = -b / c: 937 billion parameters in Clark et al. 2022, whose c the table rounds to one digit."""
    stop = 10 ** (-S_BASE["b"] / S_BASE["c"])
    assert moe_loss(stop / 10, 64) < moe_loss(stop / 10, 1)
    assert moe_loss(stop, 64) == pytest.approx(moe_loss(stop, 1), rel=1e-9)
    assert stop == pytest.approx(937e9, rel=0.1)


def test_one_stream_is_a_law_of_size_and_with_tokens_chinchilla() -> None:
    size, tokens = np.log(SIZES), np.log(4e10)
    power = STREAMS["A"] ** STREAMS["alpha"]
    alone = form_named("parallel").evaluate(STREAMS, {"params": size, "streams": np.zeros(4)})
    plain = form_named("power").evaluate({"E": 1.3, "A": power, "alpha": 0.3}, {"params": size})
    np.testing.assert_allclose(alone, plain, rtol=1e-12)
    both = form_named("parallel", {"tokens": True}).evaluate(
        STREAMS | DATA, {"params": size, "streams": np.zeros(4), "tokens": tokens}
    )
    whole = {"E": 1.3, "A": power, "alpha": 0.3, **DATA}
    chinchilla = form_named("chinchilla").evaluate(whole, {"params": size, "tokens": tokens})
    np.testing.assert_allclose(both, chinchilla, rtol=1e-12)


def test_streams_multiply_the_parameters() -> None:
    law = form_named("parallel")
    factor = 1 + STREAMS["k"] * np.log(8)
    eight = law.evaluate(STREAMS, {"params": np.log(1e9), "streams": np.log(8)})
    assert eight == pytest.approx(float(law.evaluate(STREAMS, {"params": np.log(factor * 1e9), "streams": 0.0})))


def test_a_stream_s_best_size_is_found_with_the_streams_held() -> None:
    fit = laws.fit(
        EXAMPLES["parallel with tokens"].table(noise=0.001), "parallel", tokens=True, starts=16, resamples=20
    )
    one, eight = (fit.optimum(flops=1e21, streams=count) for count in (1, 8))
    assert eight.params.value < one.params.value
    assert eight.loss.value < one.loss.value


@pytest.mark.parametrize(
    ("body", "width", "flops", "best"),
    [(3e9, 3200, 1.3e21, 37e3), (7e9, 4096, 7.1e21, 60e3), (13e9, 5120, 2.4e22, 81e3), (70e9, 8192, 7.1e23, 218e3)],
)
def test_published_best_vocabulary(body: float, width: float, flops: float, best: float) -> None:
    """Tao et al. 2024, table 1, approach 3: the V of least loss at a budget of 6 (N_nv + V d) D."""
    sizes = np.geomspace(5e3, 1e6, 20_001)
    given = {
        "params_non_vocabulary": np.log(body),
        "params_vocabulary": np.log(sizes * width),
        "tokens": np.log(flops / (6 * (body + sizes * width))),
    }
    assert sizes[np.argmin(form_named("vocabulary").evaluate(WORDS, given))] == pytest.approx(best, rel=0.05)


def test_the_normalised_loss_levels_off_below_zero() -> None:
    endless = dict.fromkeys(("params_non_vocabulary", "params_vocabulary", "tokens"), np.log(1e60))
    assert form_named("vocabulary").evaluate(WORDS, endless) == pytest.approx(-TAO["E"], abs=1e-9)


def test_published_constraint_of_the_vocabulary_law_is_a_tie() -> None:
    fit = laws.fit(EXAMPLES["vocabulary"].table(), "vocabulary", tie={"alpha1": "beta"}, starts=16, resamples=0)
    assert fit.params == pytest.approx(WORDS, rel=1e-5)


def test_what_the_data_are_counted_in_is_one_of_two() -> None:
    assert form_named("vocabulary", {"data": "characters"}).inputs[-1] == "characters"
    with pytest.raises(laws.LawError, match="did you mean 'characters'"):
        form_named("vocabulary", {"data": "character"})
