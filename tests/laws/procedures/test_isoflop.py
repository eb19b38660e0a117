"""Approach 2: planted parabolas, and losses measured with known errors."""

import numpy as np
import pytest

from scaling import laws

BUDGETS = np.geomspace(1e17, 1e20, 6)
SIZES = np.exp(np.linspace(-1.0, 1.0, 7))
EXPONENT = 0.48


def best(flops: np.ndarray) -> np.ndarray:
    return 2e7 * (flops / 1e17) ** EXPONENT


def parabolas(noise: float = 0.0, seed: int = 0, errors: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """ln L = ln L*(C) + 0.05 ln(N / N*)^2 with noise, and errors of measurement of known size."""
    generator = np.random.default_rng(seed)
    flops, off = np.repeat(BUDGETS, len(SIZES)), np.tile(SIZES, len(BUDGETS))
    log_loss = np.log(3 * (flops / 1e17) ** -0.05) + 0.05 * np.log(off) ** 2
    log_loss += noise * generator.standard_normal(len(off))
    table = {"params": best(flops) * off, "flops": flops}
    if errors is None:
        return table | {"loss": np.exp(log_loss)}
    loss = np.exp(log_loss + errors * generator.standard_normal(len(off)))
    return table | {"loss": loss, "loss_se": errors * loss}


def test_planted_parabolas_are_recovered() -> None:
    fit = laws.fit(parabolas(), "isoflop", resamples=40)
    assert fit.params["N_exponent"] == pytest.approx(EXPONENT, abs=1e-9)
    assert fit.params["D_exponent"] == pytest.approx(1 - EXPONENT, abs=1e-9)
    assert fit.params["L_exponent"] == pytest.approx(-0.05, abs=1e-9)
    assert fit.optimum(flops=1e21).params.value == pytest.approx(float(best(np.array(1e21))), rel=1e-8)


def test_equal_errors_change_nothing_and_unequal_ones_weigh_the_rows() -> None:
    named = {"loss_se": "loss_se"}
    equal = parabolas(0.001, 1, np.full(42, 0.001))
    plain, weighed = laws.fit(equal, "isoflop"), laws.fit(equal, "isoflop", columns=named)
    assert weighed.params == pytest.approx(plain.params, rel=1e-9)
    assert weighed.noise["evaluation"] == pytest.approx(0.001, rel=1e-3)
    misses: dict[str, list[float]] = {"plain": [], "weighed": []}
    for seed in range(40):
        table = parabolas(5e-4, seed, np.where(np.arange(42) % 3 == 0, 0.02, 5e-4))
        for name, columns in (("plain", {}), ("weighed", named)):
            fit = laws.fit(table, "isoflop", columns=columns, resamples=0)
            misses[name].append(fit.params["N_exponent"] - EXPONENT)
    assert np.std(misses["weighed"]) < 0.3 * np.std(misses["plain"])


@pytest.mark.full
@pytest.mark.parametrize("given", [False, True])
def test_intervals_hold_the_truth_about_as_often_as_they_say(given: bool) -> None:
    """200 studies at 95%: their Monte-Carlo error is 1.5%."""
    errors = np.where(np.arange(42) % 3 == 0, 0.01, 1e-3) if given else None
    held = []
    for seed in range(200):
        fit = laws.fit(
            parabolas(0.002, seed, errors), "isoflop", columns={"loss_se": "loss_se"} if given else {}, resamples=200
        )
        size = fit.optimum(flops=1e21).params
        held.append((EXPONENT in fit.intervals["N_exponent"], float(best(np.array(1e21))) in size))
    assert np.all(np.abs(np.mean(held, axis=0) - 0.95) < 0.045), np.mean(held, axis=0)


def test_runs_whose_surface_has_no_best_exponent_are_fitted_all_the_same() -> None:
    """Losses that rise with N at each budget, nearly level: the steeper a surface in N, the better it goes through."""
    table = {
        "params": np.tile([5320.0, 11904.0, 19768.0], 2),
        "tokens": np.array([10368.0, 4352.0, 2496.0, 20736.0, 8640.0, 4928.0]),
        "flops": np.array([200060928.0, 201375744.0, 201996288.0, 400121856.0, 399790080.0, 398813184.0]),
        "budget": np.repeat([2e8, 4e8], 3),
        "loss": np.array([2.2572569870, 2.2714606411, 2.3171456797, 2.2372078931, 2.2518885231, 2.2707600095]),
    }
    assert len(laws.fit(table, "isoflop", resamples=20).details["budgets"]) == 2
