"""The noise of a table: exact in theory's own cases, against dense matrices, and with given errors."""

from typing import Any

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.stats import chi2, kstest

from scaling.laws import noise as noises
from scaling.laws import solver, uncertainty
from scaling.laws.forms import form_named
from scaling.laws.objective import Objective
from tests.laws import planted

SEEDS = 40


def line(rows: int, clusters: int, share: float, seed: int, variance: Any = 0.0) -> tuple[np.ndarray, ...]:
    """(residuals of a straight line, its columns, clusters, inputs) with noise of variance 1 and further `variance`."""
    generator = np.random.default_rng(seed)
    cluster = np.arange(rows) % clusters
    x = generator.standard_normal(rows)
    J = np.stack([np.ones(rows), x], axis=1)
    y = np.sqrt(share) * generator.standard_normal(clusters)[cluster]
    y += np.sqrt(1 - share + np.asarray(variance)) * generator.standard_normal(rows)
    return y - J @ np.linalg.lstsq(J, y, rcond=None)[0], J, cluster, x[:, None]


def dense(r: np.ndarray, J: np.ndarray, V: np.ndarray) -> tuple[float, float]:
    """(restricted log likelihood at V, r' P r), by whole matrices."""
    inverse = np.linalg.inv(V)
    gram = J.T @ inverse @ J
    P = inverse - inverse @ J @ np.linalg.solve(gram, J.T @ inverse)
    quadratic = float(r @ P @ r)
    return -0.5 * (np.linalg.slogdet(V)[1] + np.linalg.slogdet(gram)[1] + quadratic), quadratic


def test_independent_rows_have_the_scaled_inverse_chi_square() -> None:
    r, J, cluster, cells = line(24, 24, 0.0, 0)
    found = noises.estimate(r, J, cluster, np.ones(24), cells)
    assert (found.freedom, found.sum_squares[0]) == (22, pytest.approx(float(r @ r)))
    common, row = found.draw(4000, np.random.default_rng(1))
    assert np.all(common == 0)
    assert kstest(float(r @ r) / row**2, chi2(22).cdf).pvalue > 0.01


def test_trajectories_enter_as_in_whole_matrices() -> None:
    r, J, cluster, cells = line(30, 6, 0.6, 2)
    weight = np.linspace(0.5, 2.0, 30)
    found = noises.estimate(r, J, cluster, weight, cells)
    same = (cluster[:, None] == cluster).astype(float)
    for index in (0, 7, 15):
        share = noises.SHARES[index]
        V = np.diag(1 / weight) + share / (1 - share) * same
        likelihood, quadratic = dense(r, J, V)
        assert found.sum_squares[index] == pytest.approx(quadratic, rel=1e-9)
        # The scale is integrated out: -(freedom / 2) ln(r' P r) takes the place of -(r' P r) / 2.
        expected = likelihood + 0.5 * quadratic - 14 * np.log(quadratic) + np.log(noises.PRIOR[index])
        at_zero, zero = dense(r, J, np.diag(1 / weight))
        expected -= at_zero + 0.5 * zero - 14 * np.log(zero) + np.log(noises.PRIOR[0])
        assert np.log(found.belief[index] / found.belief[0]) == pytest.approx(expected, abs=1e-8)


def test_given_errors_enter_as_in_whole_matrices() -> None:
    variance = np.linspace(0.1, 3.0, 30)
    r, J, cluster, cells = line(30, 6, 0.5, 3, variance)
    found = noises.estimate(r, J, cluster, np.ones(30), cells, variance)
    same = (cluster[:, None] == cluster).astype(float)
    picked = [int(np.argmax(found.belief)), 3, 400]
    expected = []
    for index in picked:
        share, row = found.shares[index], found.sum_squares[index]
        likelihood, _ = dense(r, J, np.diag(row + variance) + row * share / (1 - share) * same)
        expected.append(likelihood + np.log(noises.PRIOR[index // noises.SCALES]))
    seen = np.log(found.belief[picked])
    assert seen - seen[0] == pytest.approx(np.array(expected) - expected[0], abs=1e-6)
    assert found.evaluation == pytest.approx(np.sqrt(np.median(variance)))
    common, row = found.draw(500, np.random.default_rng(0))
    assert set(np.round(row**2, 9)) <= set(np.round(found.sum_squares, 9))
    assert np.all(common >= 0)


@pytest.mark.parametrize("share", [0.0, 0.5, 0.9])
def test_the_planted_noise_comes_back_on_average(share: float) -> None:
    runs = []
    for seed in range(SEEDS):
        r, J, cluster, cells = line(80, 20, share, 100 + seed)
        runs.append(np.sum(np.square(noises.estimate(r, J, cluster, np.ones(80), cells).typical)))
    assert np.mean(runs) == pytest.approx(1.0, abs=0.25)


@pytest.mark.parametrize("planted_variance", [0.0, 1.0])
def test_given_errors_leave_the_run_to_run_variance(planted_variance: float) -> None:
    """As Paule and Mandel's estimate does, whose weighted residuals have a sum of squares of their freedom."""
    ours, theirs = [], []
    for seed in range(SEEDS):
        generator = np.random.default_rng(seed)
        variance = np.exp(generator.uniform(-2, 2, 60))
        J = np.stack([np.ones(60), generator.standard_normal(60)], axis=1)
        y = np.sqrt(planted_variance + variance) * generator.standard_normal(60)
        found = noises.estimate(y, J, np.arange(60), np.ones(60), J[:, 1:], variance)
        ours.append(np.sum(np.square(found.typical)))

        def excess(s: float, y: Any = y, J: Any = J, variance: Any = variance) -> float:
            return dense(y, J, np.diag(s + variance))[1] - 58

        theirs.append(brentq(excess, 0.0, 100.0) if excess(0.0) > 0 else 0.0)
    assert np.median(ours) == pytest.approx(np.median(theirs), abs=0.2)
    assert np.mean(ours) == pytest.approx(planted_variance, abs=0.25)


def test_equal_errors_give_equal_weights_and_large_ones_count_less() -> None:
    r, J, cluster, cells = line(40, 40, 0.0, 5)
    found = noises.estimate(r, J, cluster, np.ones(40), cells, np.full(40, 0.3))
    assert found.weights(np.full(40, 0.3)) == pytest.approx(np.ones(40))
    run = float(np.sum(np.square(found.typical)))
    weights = found.weights(np.array([0.0, run, 1e9]))
    assert weights == pytest.approx([1.0, 0.5, 0.0], abs=1e-6)


def test_simulated_noise_has_the_planted_covariance() -> None:
    cluster, weight, variance = np.array([0, 0, 1]), np.array([1.0, 4.0, 1.0]), np.array([0.0, 0.0, 2.0])
    draws = 20000
    drawn = noises.simulate(cluster, weight, np.full(draws, 0.5), np.ones(draws), np.random.default_rng(0), variance)
    expected = np.array([[1.25, 0.25, 0], [0.25, 0.5, 0], [0, 0, 3.25]])
    assert np.cov(drawn.T) == pytest.approx(expected, abs=0.08)


def test_replicates_raise_the_noise_where_residuals_hide_it() -> None:
    """Seeds that differ far more than the law's residuals show: a law with too many parameters for its runs."""
    cells = np.repeat(np.arange(6.0), 2)[:, None]
    r = 0.01 * np.random.default_rng(0).standard_normal(12)
    J = np.stack([np.ones(12), cells[:, 0]], axis=1)
    calm = noises.estimate(r, J, np.arange(12), np.ones(12), cells)
    assert calm.floor == 0.0
    r = r + np.tile([1.0, -1.0], 6)
    J = np.concatenate([J, np.tile([[1.0], [-1.0]], (6, 1)) + 0.01 * r[:, None]], axis=1)
    left = r - J @ np.linalg.lstsq(J, r, rcond=None)[0]
    loud = noises.estimate(left + np.tile([0.3, -0.3], 6), J, np.arange(12), np.ones(12), cells)
    assert loud.between_seeds is not None
    assert loud.floor == pytest.approx(loud.between_seeds**2)
    assert loud.run >= loud.between_seeds * 0.99


def with_errors(seed: int, spread: float) -> tuple[solver.Problem, np.ndarray]:
    """(a chinchilla problem of 40 runs with 0.5% run-to-run noise and measured errors, those errors)."""
    generator = np.random.default_rng(seed)
    params, tokens = np.exp(generator.uniform(9.2, 12.6, 40)), np.exp(generator.uniform(12.5, 16, 40))
    error = 0.01 * np.exp(generator.uniform(-spread, spread, 40))
    true = planted.loss(params, tokens)
    loss = true * np.exp(0.005 * generator.standard_normal(40) + error * generator.standard_normal(40))
    inputs = {"params": np.log(params), "tokens": np.log(tokens)}
    rule = Objective("huber", 0.01, "log")
    return solver.Problem(form_named("chinchilla"), inputs, np.log(loss), np.ones(40), rule), error * loss


def test_weights_from_given_errors_bring_the_fit_nearer_to_the_truth() -> None:
    plain, weighted = [], []
    for seed in range(12):
        problem, standard_error = with_errors(seed, 2.0)
        solution = solver.solve(problem, solver.default_starts(problem, 16, 0))
        given = uncertainty.errors(problem, standard_error)
        assert given is not None
        again, better = uncertainty.reweighted(problem, solution, np.arange(40), given)
        assert again.weights.max() == pytest.approx(1.0)
        truth = np.log(planted.loss(np.exp(problem.inputs["params"]), np.exp(problem.inputs["tokens"])))
        for one, found in ((plain, solution), (weighted, better)):
            z = found.z[np.argmin(found.objective)]
            one.append(np.mean((problem.fitted(z) - truth) ** 2))
    assert np.mean(weighted) < 0.7 * np.mean(plain)


def test_equal_errors_change_no_fit_but_are_part_of_a_new_run() -> None:
    problem, _ = with_errors(0, 0.0)
    solution = solver.solve(problem, solver.default_starts(problem, 16, 0))
    given = noises.Given(np.full(40, 1e-4), problem.weights)
    again, same = uncertainty.reweighted(problem, solution, np.arange(40), given)
    assert again.weights == pytest.approx(np.ones(40))
    assert same.objective.min() == pytest.approx(solution.objective.min(), rel=1e-9)
    z = same.z[np.argmin(same.objective)]
    found = uncertainty.resample(again, z, np.arange(40), 200, 1, "noise", given)
    assert found.noise.evaluation == pytest.approx(0.01)
    assert found.run_noise.min() >= 0.01
    without = uncertainty.resample(problem, z, np.arange(40), 200, 1, "noise")
    assert np.median(found.run_noise) == pytest.approx(np.median(without.run_noise), rel=0.15)
