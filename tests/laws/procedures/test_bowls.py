"""Bowls of known minimum: noiseless to rounding, then against another method, then their errors in simulation."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.optimize import minimize

from scaling import laws
from scaling.laws.procedures import bowl_noise, bowls, quadratics
from scaling.laws.procedures.cells import Cell, cells_of
from tests.laws.procedures.simulated import cell


def fitted(cells: list[Cell]) -> tuple[list[bowls.Bowl], list[bowls.Minimum], float]:
    """(bowls, their minima, the noise)."""
    found = bowls.fit(cells)
    clusters = np.split(
        np.arange(sum(len(c.log_loss) for c in cells)), np.cumsum([len(c.log_loss) for c in cells])[:-1]
    )
    noise = bowl_noise.measured(cells, found, clusters).run
    return found, [bowls.minimum(bowl, noise) for bowl in found], noise


def exact(optimum: list[float], curvature: list[list[float]], skew: float = 0.0, settings: int = 7) -> Cell:
    size = len(optimum)
    steps = (np.arange(settings) - settings // 2) * 0.5
    logs = np.stack(np.meshgrid(*[steps] * size), axis=-1).reshape(-1, size)
    away = logs - optimum
    log_loss = 0.5 * np.einsum("ri,ij,rj->r", away, np.array(curvature), away) + skew * away[:, 0] ** 3
    return Cell(logs, 1.0 + log_loss, np.ones(len(logs)))


@pytest.mark.parametrize("skew", [0.0, 0.001])
def test_a_noiseless_minimum_comes_back(skew: float) -> None:
    """With a skew too: it is common to the cells, whose minima and curvatures differ."""
    curvatures = [[[0.01, 0.003], [0.003, 0.008]], [[0.012, -0.002], [-0.002, 0.006]]]
    optima = [[0.3, -0.4], [-0.2, 0.1]]
    cells = [exact(*both, skew=skew) for both in zip(optima, curvatures, strict=True)]
    for found, optimum, curvature in zip(fitted(cells)[1], optima, curvatures, strict=True):
        assert found.logs == pytest.approx(optimum, abs=1e-6)
        assert found.log_loss == pytest.approx(1.0, abs=1e-9)
        np.testing.assert_allclose(found.curvature, curvature, atol=1e-8)
        assert not found.at_edge.any()


def test_one_input_agrees_with_polyfit_and_two_with_a_minimiser() -> None:
    generator = np.random.default_rng(0)
    one = cell(generator, noise=1e-4, curvature=0.005)
    (bowl,), (found,), _ = fitted([one])
    curve = np.polyfit(one.logs[bowl.rows, 0], one.log_loss[bowl.rows], 2, w=np.sqrt(bowl.weight))
    assert found.logs[0] == pytest.approx(-curve[1] / (2 * curve[0]), abs=1e-9)
    two = cell(generator, hypers=2, noise=1e-4, curvature=0.005)
    (bowl,), (found,), _ = fitted([two])
    best = minimize(lambda logs: float(bowl.value(logs)), bowl.centre, tol=1e-12)
    assert found.logs == pytest.approx(best.x, abs=1e-5)


@pytest.mark.parametrize("size", [1, 2])
def test_the_least_point_of_a_box_is_found_whatever_the_quadratic(size: int) -> None:
    generator = np.random.default_rng(size)
    coefficients = generator.standard_normal((300, quadratics.term_count(size)))
    low, high = -np.ones(size), np.full(size, 1.5)
    x, value = quadratics.lowest(coefficients, low, high)
    assert np.all((x >= low) & (x <= high))
    np.testing.assert_allclose(value, np.sum(quadratics.terms(x) * coefficients, axis=-1))
    axis = [np.linspace(a, b, 101) for a, b in zip(low, high, strict=True)]
    grid = quadratics.terms(np.stack(np.meshgrid(*axis), axis=-1).reshape(-1, size)) @ coefficients.T
    assert np.all(value <= grid.min(axis=0) + 1e-12)
    assert np.all(value >= grid.min(axis=0) - 0.02)


def test_slopes_are_those_of_the_terms() -> None:
    x, width = np.array([0.3, -0.7]), 1e-6
    for index, slope in enumerate(quadratics.slopes(x)):
        step = np.eye(2)[index] * width
        numeric = (quadratics.terms(x + step) - quadratics.terms(x - step)) / (2 * width)
        np.testing.assert_allclose(slope, numeric, atol=1e-8)


def test_a_minimum_beyond_the_sweep_is_at_its_edge() -> None:
    _, (found, _), _ = fitted(
        [exact([2.5, 0.0], [[0.01, 0.0], [0.0, 0.01]]), exact([0.1, 0.0], [[0.01, 0], [0, 0.01]])]
    )
    assert found.at_edge.tolist() == [True, False]
    assert found.logs == pytest.approx([1.5, 0.0], abs=1e-6)
    assert found.log_loss == pytest.approx(1.005, abs=1e-6)


def test_what_the_settings_cannot_tell_is_left_out() -> None:
    """Two batch sizes show no bowl in the batch size: the better of the two is at an edge."""
    whole = exact([0.2, 0.3], [[0.01, 0.0], [0.0, 0.01]])
    rows = np.isin(whole.logs[:, 1], [0.0, 0.5])
    _, (found,), _ = fitted([Cell(whole.logs[rows], whole.log_loss[rows], whole.weight[rows])])
    assert found.logs == pytest.approx([0.2, 0.5], abs=1e-6)
    assert found.at_edge.tolist() == [False, True]
    rows = whole.logs[:, 1] == 0.0
    _, (found,), _ = fitted([Cell(whole.logs[rows], whole.log_loss[rows], whole.weight[rows])])
    assert found.logs == pytest.approx([0.2, 0.0], abs=1e-6)
    assert not found.at_edge.any()


def test_a_diverged_setting_brackets_the_optimum_and_does_not_bend_the_bowl() -> None:
    one = exact([0.9], [[0.01]])
    broken = Cell(one.logs, np.where(one.logs[:, 0] > 1.2, np.inf, one.log_loss), one.weight)
    _, (found,), _ = fitted([broken])
    assert found.logs == pytest.approx([0.9], abs=1e-6)
    cliff = Cell(one.logs, np.where(one.logs[:, 0] > 1.2, 3.0, one.log_loss), one.weight)
    _, (found,), _ = fitted([cliff])
    assert found.logs == pytest.approx([0.9], abs=1e-6)
    assert not found.at_edge.any()


def test_one_bad_run_counts_for_little() -> None:
    generator = np.random.default_rng(3)
    cells = [cell(generator, settings=7, seeds=2, noise=0.001) for _ in range(6)]
    before = fitted(cells)[1][0]
    log_loss = cells[0].log_loss.copy()
    log_loss[6] += 0.02
    after = fitted([Cell(cells[0].logs, log_loss, cells[0].weight), *cells[1:]])[1][0]
    assert abs(after.log_loss - before.log_loss) < 0.001
    assert abs(after.logs[0] - before.logs[0]) < 0.1


@pytest.mark.parametrize(("hypers", "seeds", "skew"), [(1, 3, 0.0), (2, 1, 0.0), (1, 3, 0.5)])
def test_errors_are_what_they_say(hypers: int, seeds: int, skew: float) -> None:
    generator = np.random.default_rng(5)
    cells = [
        cell(generator, hypers, 7 if hypers == 1 else 5, seeds, noise=0.003, skew=skew, curvature=0.01)
        for _ in range(60)
    ]
    _, minima, noise = fitted(cells)
    assert noise == pytest.approx(0.003, rel=0.1)
    error = np.array([found.log_loss / found.log_loss_se for found in minima])
    assert np.std(error) == pytest.approx(1.0, abs=0.3)
    assert abs(np.mean(error)) < 0.5
    assert np.mean(np.abs(error) < 1.96) > 0.87


def test_seeds_or_spare_settings_must_show_the_noise() -> None:
    generator = np.random.default_rng(0)
    with pytest.raises(laws.LawError, match="another seed"):
        fitted([cell(generator, settings=3, noise=0.01)])


def test_redrawn_bowls_scatter_as_their_errors_say() -> None:
    generator = np.random.default_rng(1)
    cells = [cell(generator, settings=9, noise=0.002, skew=0.5) for _ in range(8)]
    found, minima, noise = fitted(cells)
    drawn = bowl_noise.redrawn(found, noise * generator.standard_normal((400, sum(len(b.rows) for b in found))))
    for bowl, best, coefficients in zip(found, minima, drawn, strict=True):
        logs, log_loss = bowl.lowest(coefficients)
        assert np.std(log_loss) == pytest.approx(best.log_loss_se, rel=0.4)
        assert np.std(logs[:, 0]) == pytest.approx(best.logs_se[0], rel=0.5)


def test_cells_agree_within_steps_of_one_percent() -> None:
    tokens = np.array([1e9, 1.005e9, 1.012e9, 4e9, 1e9])
    number = cells_of([np.array([1e7, 1e7, 1e7, 1e7, 2e7]), tokens])
    assert [a == b for a, b in pairwise(number)] == [True, True, False, False]
    assert len(np.unique(number)) == 3
