"""Training mixtures: the contract, what each law becomes in a known case, and proportions that cannot be."""

from typing import Any

import numpy as np
import pytest

from scaling import laws
from scaling.laws.forms import form_named
from scaling.laws.forms.mixture import check_proportions
from tests.laws.forms.contract import Example, check_contract

THREE = {"domains": ("web", "code", "books")}
TWO = {"domains": ("web", "code")}
YE = {"c": 1.8, "k": 1.1, "t_web": -1.2, "t_code": 0.6}
BIAS = {"E": 1.2, "C_web": 2.0, "C_code": 0.8, "gamma_web": 0.6, "gamma_code": 0.3}
SCALE = {"alpha": 0.34, "beta": 0.28}
ADDITIVE = BIAS | SCALE | {"A": 400.0, "B": 410.0}
JOINT = (
    BIAS | SCALE | {"A_web": 300.0, "A_code": 900.0, "gamma_A": 0.6, "B_web": 600.0, "B_code": 300.0, "gamma_B": 1.5}
)


def proportions(domains: int, count: int) -> np.ndarray:
    """(count, domains): anywhere on the simplex, every fifth without the first domain."""
    shares = np.random.default_rng(0).dirichlet(np.ones(domains), size=count)
    shares[::5, 0] = 0
    return shares / shares.sum(axis=1, keepdims=True)


def runs(mixtures: int = 8) -> dict[str, np.ndarray]:
    """Every mixture at three sizes on three amounts of data."""
    shares = proportions(2, mixtures)
    which, size, data = (
        axis.ravel() for axis in np.meshgrid(range(mixtures), [1e8, 4e8, 1.6e9], [2e9, 1e10, 5e10], indexing="ij")
    )
    return {"params": size, "tokens": data, "web": shares[which, 0], "code": shares[which, 1]}


WEB, CODE, BOOKS = proportions(3, 30).T
EXAMPLES = [
    Example("mixture", YE, {"web": WEB, "code": CODE, "books": BOOKS}, options=THREE),
    Example("mixture_additive", ADDITIVE, runs(), options=TWO, fit={"starts": 64}),
    Example("mixture_joint", JOINT, runs(), options=TWO, fit={"starts": 16}),
]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.form)
def test_contract(example: Example) -> None:
    check_contract(example)


def evaluate(form: str, truth: dict[str, float], **inputs: Any) -> Any:
    return form_named(form, TWO).evaluate(truth, inputs)


def test_two_domains_are_an_exponential_in_one_proportion() -> None:
    share = np.linspace(0, 1, 11)
    law = evaluate("mixture", {"c": 1.8, "k": 1.1, "t_web": -1.2}, web=share, code=1 - share)
    np.testing.assert_allclose(law, 1.8 + 1.1 * np.exp(-1.2 * share))


def test_which_domain_is_last_changes_no_prediction() -> None:
    table = EXAMPLES[0].table(noise=0.005)
    one = laws.fit(table, "mixture", **THREE, starts=16, resamples=0)
    other = laws.fit(table, "mixture", domains=("books", "web", "code"), starts=16, resamples=0)
    point = {"web": 0.2, "code": 0.3, "books": 0.5}
    assert one.loss(**point) == pytest.approx(other.loss(**point), rel=1e-6)
    assert other.params["t_books"] == pytest.approx(-one.params["t_code"], rel=1e-4)


def test_one_domain_alone_is_chinchilla() -> None:
    size, data = np.log(4e8), np.log(2e10)
    alone = {"params": size, "tokens": data, "web": 1.0, "code": 0.0}
    own = {"E": BIAS["E"] + 1 / BIAS["C_web"], **SCALE}
    for form, truth, letters in (
        ("mixture_additive", ADDITIVE, {"A": 400.0, "B": 410.0}),
        ("mixture_joint", JOINT, {"A": 300.0, "B": 600.0}),
    ):
        chinchilla = form_named("chinchilla").evaluate(own | letters, {"params": size, "tokens": data})
        assert evaluate(form, truth, **alone) == pytest.approx(float(chinchilla), rel=1e-12)


def test_equal_domains_make_the_joint_law_additive() -> None:
    table = runs()
    given = {
        "params": np.log(table["params"]),
        "tokens": np.log(table["tokens"]),
        "web": table["web"],
        "code": table["code"],
    }
    same = JOINT | {"A_web": 400.0, "A_code": 400.0, "B_web": 410.0, "B_code": 410.0}
    np.testing.assert_allclose(
        evaluate("mixture_joint", same, **given), evaluate("mixture_additive", ADDITIVE, **given), rtol=1e-12
    )


def test_the_joint_law_is_the_paper_s() -> None:
    """A(h) = (sum_i C_i^A h_i)^gamma_A with C_i^A = A_i^(1/gamma_A)."""
    share = 0.3
    own = {name: JOINT[f"A_{name}"] ** (1 / JOINT["gamma_A"]) for name in TWO["domains"]}
    ours = evaluate("mixture_joint", JOINT, params=np.log(1e8), tokens=np.log(1e30), web=share, code=1 - share)
    bias = 1 / (BIAS["C_web"] * share ** BIAS["gamma_web"] + BIAS["C_code"] * (1 - share) ** BIAS["gamma_code"])
    size = (own["web"] * share + own["code"] * (1 - share)) ** JOINT["gamma_A"] / 1e8 ** JOINT["alpha"]
    assert ours == pytest.approx(BIAS["E"] + bias + size, abs=1e-5)


def best_share(form: str, truth: dict[str, float], params: float, tokens: float) -> float:
    share = np.linspace(0.001, 0.999, 2001)
    law = evaluate(form, truth, params=np.log(params), tokens=np.log(tokens), web=share, code=1 - share)
    return float(share[np.argmin(law)])


def test_the_best_mixture_moves_with_scale_in_the_joint_law_alone() -> None:
    small, large = (1e7, 2e8), (1e11, 2e13)
    assert best_share("mixture_additive", ADDITIVE, *small) == best_share("mixture_additive", ADDITIVE, *large)
    assert abs(best_share("mixture_joint", JOINT, *small) - best_share("mixture_joint", JOINT, *large)) > 0.05


def test_the_best_size_is_found_with_the_mixture_held() -> None:
    fit = laws.fit(EXAMPLES[1].table(noise=0.001), "mixture_additive", **TWO, starts=16, resamples=20)
    best = fit.optimum(flops=1e20, web=0.5, code=0.5)
    optimum = form_named("chinchilla").optimum_6nd
    assert optimum is not None
    planted = np.exp(optimum({name: ADDITIVE[name] for name in ("A", "alpha", "B", "beta")}, np.log(1e20))[0])
    assert best.params.value == pytest.approx(float(planted), rel=0.05)
    with pytest.raises(laws.LawError, match=r"add up to 1\.4"):
        fit.optimum(flops=1e20, web=0.5, code=0.9)


@pytest.mark.parametrize(
    ("web", "code", "words"),
    [
        (0.5, 0.4, r"row 3: .*web 0\.5, code 0\.4.* add up to 0\.9.*name every domain"),
        (50.0, 50.0, r"row 3: .* add up to 100.*divide them by 100"),
        (1.2, -0.2, r"row 3: .*code -0\.2.*between 0 and 1"),
    ],
)
def test_proportions_that_cannot_be_are_named(web: float, code: float, words: str) -> None:
    table = EXAMPLES[0].table()
    shares = {"web": table["web"] + table["books"], "code": table["code"].copy()}
    shares["web"][2], shares["code"][2] = web, code
    with pytest.raises(laws.LawError, match=words):
        laws.fit(shares | {"loss": table["loss"]}, "mixture", **TWO, starts=8, resamples=0)
    with pytest.raises(laws.LawError, match=words):
        check_proportions(shares, TWO["domains"])


def test_rounded_proportions_pass() -> None:
    check_proportions({"web": np.array([0.333, 0.667]), "code": np.array([0.667, 0.333])}, TWO["domains"])


def test_predictions_ask_for_every_domain() -> None:
    fit = laws.fit(EXAMPLES[0].table(), "mixture", **THREE, starts=8, resamples=0)
    with pytest.raises(laws.LawError, match=r"add up to 0\.5"):
        fit.loss(web=0.2, code=0.3, books=0.0)
    with pytest.raises(laws.LawError, match="books is not given"):
        fit.loss(web=0.2, code=0.8)


@pytest.mark.parametrize("domains", [(), ("web",), ("web", "web"), "web"])
def test_domains_are_two_or_more_columns(domains: Any) -> None:
    with pytest.raises(laws.LawError, match="two or more different columns"):
        form_named("mixture_additive", {"domains": domains})
