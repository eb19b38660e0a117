"""Forms in one input: the contract, their limits, an independent solver."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import brentq, least_squares

from scaling import laws
from scaling.laws import solver
from scaling.laws.forms import form_named
from scaling.laws.forms.single import saturating
from scaling.laws.objective import Objective
from tests.laws.forms.contract import Example, check_contract

ONE_BREAK = {"a": 0.3, "b": 20.0, "c0": 0.1, "c1": 0.35, "d1": 3e8, "f1": 0.4}
DESCENT = {"a": 0.05, "b": 30.0, "c0": 0.25, "c1": -0.45, "d1": 1e7, "f1": 0.3, "c2": 0.7, "d2": 1e9, "f2": 0.3}
"""Falls, rises between the breaks, falls again."""
M4 = {"E": 0.4, "L0": 4.2, "alpha": 1.7, "beta": 9e2, "c": 0.55}

EXAMPLES = [
    Example("m4", M4, {"tokens": np.geomspace(1e3, 1e9, 16)}, options={"x": "tokens"}),
    Example(
        "m4",
        {"E": 0.0, "L0": 1.0, "alpha": 0.4, "beta": 30.0, "c": 0.4},
        {"params": np.geomspace(1e2, 1e8, 16)},
        fit={"pin": {"E": 0.0, "L0": 1.0}},
    ),
    Example("bnsl", ONE_BREAK, {"tokens": np.geomspace(1e6, 1e11, 24)}, options={"x": "tokens"}),
    Example("bnsl", DESCENT, {"params": np.geomspace(1e5, 1e12, 30)}, options={"breaks": 2}),
]


@pytest.mark.parametrize(
    "example",
    [
        pytest.param(
            one,
            id=f"{one.form}-{len(one.truth)}",
            marks=[pytest.mark.full] if one.form == "bnsl" and "breaks" in one.options else [],
        )
        for one in EXAMPLES
    ],
)
def test_contract(example: Example) -> None:
    check_contract(example)


def problem(example: Example, noise: float = 0.0) -> solver.Problem:
    table = example.table(noise)
    objective = Objective("huber", 1e-3, "log")
    target = np.log(table[example.law.output])
    return solver.Problem(example.law, example.as_given(), target, np.ones(len(target)), objective)


HEIGHTS = np.array([-300.0, -30.0, -2.0, -1e-3, 0.0, 3.0, 30.0, 300.0])


@pytest.fixture(params=[1e-3, 0.3, 1.0, 4.0, 50.0])
def roots(request: pytest.FixtureRequest) -> tuple[float, np.ndarray]:
    """(alpha, t at each height) with t + (alpha - 1) ln(1 + e^t) = height, by Brent's method; u = 1 / (1 + e^-t)."""
    alpha = request.param
    reach = 20 + np.abs(HEIGHTS) * max(1.0, 1 / alpha)
    return alpha, np.array(
        [
            brentq(lambda t, h: t + (alpha - 1) * np.logaddexp(0, t) - h, -far, far, args=(height,), xtol=1e-13)
            for height, far in zip(HEIGHTS, reach, strict=True)
        ]
    )


def test_m4_solves_its_equation(roots: tuple[float, np.ndarray]) -> None:
    alpha, t = roots
    np.testing.assert_allclose(saturating(HEIGHTS, alpha, np), np.exp(-np.logaddexp(0, -t)), rtol=1e-12)


def test_m4_has_the_derivatives_of_the_implicit_function_theorem(roots: tuple[float, np.ndarray]) -> None:
    """ln u - alpha ln(1 - u) = height: du (1 / u + alpha / (1 - u)) = dheight + ln(1 - u) dalpha."""
    alpha, t = roots
    with jax.enable_x64(True):
        slopes = jax.vmap(jax.grad(lambda h, a: saturating(h, a, jnp), argnums=(0, 1)), in_axes=(0, None))
        by_height, by_alpha = slopes(jnp.asarray(HEIGHTS), alpha)
        values = saturating(jnp.asarray(HEIGHTS), alpha, jnp)
    np.testing.assert_allclose(values, np.exp(-np.logaddexp(0, -t)), rtol=1e-12)
    u, rest = np.exp(-np.logaddexp(0, -t)), np.exp(-np.logaddexp(0, t))
    rate = u * rest / (rest + alpha * u)
    np.testing.assert_allclose(by_height, rate, rtol=1e-9, atol=1e-300)
    np.testing.assert_allclose(by_alpha, -rate * np.logaddexp(0, t), rtol=1e-9, atol=1e-300)


def test_m4_is_a_power_law_without_and_a_logistic_with_saturation() -> None:
    law, x = form_named("m4", {"x": "flops"}), np.log(np.geomspace(1e3, 1e12, 20))
    share = 50 * np.exp(-0.3 * x)
    logistic = law.evaluate(M4 | {"alpha": 1.0, "beta": 50.0, "c": 0.3}, {"flops": x})
    np.testing.assert_allclose(logistic, (M4["E"] + M4["L0"] * share) / (1 + share), rtol=1e-12)
    power = law.evaluate(M4 | {"alpha": 1e-9, "beta": 0.5, "c": 0.3}, {"flops": x})
    np.testing.assert_allclose(power, M4["E"] + 0.01 * share, rtol=1e-6)
    far = law.evaluate(M4, {"flops": np.array([-200.0, 300.0])})
    np.testing.assert_allclose(far, [M4["L0"], M4["E"]], rtol=1e-12)


def test_bnsl_is_a_power_law_on_each_side_of_a_break_and_without_one() -> None:
    law = form_named("bnsl", {"x": "tokens"})
    x = np.log(np.geomspace(1e-40, 1e60, 401))
    excess = np.log(law.evaluate(ONE_BREAK | {"a": 0.0}, {"tokens": x}))
    slopes = np.diff(excess) / np.diff(x)
    np.testing.assert_allclose(slopes[:10], -0.1, rtol=1e-9)
    np.testing.assert_allclose(slopes[-10:], -0.45, rtol=1e-9)
    at_break = law.evaluate(ONE_BREAK, {"tokens": np.log(ONE_BREAK["d1"])})
    assert at_break == pytest.approx(0.3 + 20.0 * 3e8**-0.1 * 2 ** (-0.35 * 0.4), rel=1e-12)
    straight = law.evaluate(ONE_BREAK | {"c1": 0.0}, {"tokens": x})
    power = form_named("power", {"x": "tokens"}).evaluate({"E": 0.3, "A": 20.0, "alpha": 0.1}, {"tokens": x})
    np.testing.assert_allclose(straight, power, rtol=1e-12)


def test_bnsl_agrees_with_scipy() -> None:
    example = EXAMPLES[2]
    table = example.table(noise=0.003)
    ours = laws.fit(table, "bnsl", x="tokens", objective="least_squares", resamples=0, starts=64)
    x, target = table["tokens"], np.log(table["loss"])

    def residuals(z: np.ndarray) -> Any:
        b, d, f = np.exp(z[[1, 4, 5]])
        return np.log(z[0] + b * x ** -z[2] * (1 + (x / d) ** (1 / f)) ** (-z[3] * f)) - target

    start = [0.3, np.log(20), 0.1, 0.35, np.log(3e8), np.log(0.4)]
    theirs = least_squares(residuals, start, x_scale="jac", xtol=1e-15, ftol=1e-15, gtol=1e-15, max_nfev=5000)
    assert ours.objective["value"] == pytest.approx(2 * theirs.cost, rel=1e-8)
    found = [ours.params[name] for name in ("a", "b", "c0", "c1", "d1", "f1")]
    expected = [np.exp(value) if index in (1, 4, 5) else value for index, value in enumerate(theirs.x)]
    assert found == pytest.approx(expected, rel=1e-3)


def test_breaks_are_in_order_and_inside_the_data_from_every_start() -> None:
    given = problem(EXAMPLES[3], noise=0.002)
    low, high = given.bounds
    generator = np.random.default_rng(0)
    anywhere = low + (high - low) * generator.random((200, len(low)))
    for z in (anywhere, solver.default_starts(given, 64, seed=0)):
        params = given.natural(z)
        assert np.all(params["d1"] <= params["d2"])
        assert params["d1"].min() >= 1e5 * (1 - 1e-9)
        assert params["d2"].max() <= 1e12 * 1.1


def test_a_good_share_of_starts_finds_the_breaks() -> None:
    for index, share in ((0, 0.9), (2, 0.9), (3, 0.3)):
        given = problem(EXAMPLES[index], noise=0.002)
        solution = solver.solve(given, solver.default_starts(given, 128, seed=1))
        best = solution.objective.min()
        assert np.mean(solution.objective <= best * (1 + 1e-6)) >= share, EXAMPLES[index].form
        assert best <= given.objective.value(given.fitted(given.coordinates(EXAMPLES[index].truth)) - given.target, 1.0)


@pytest.mark.parametrize("breaks", [0, -1, 1.0, True, "2"])
def test_impossible_breaks_are_refused(breaks: Any) -> None:
    with pytest.raises(laws.LawError, match=r"form bnsl: breaks is .*from 1; without breaks use form power"):
        form_named("bnsl", {"breaks": breaks})
