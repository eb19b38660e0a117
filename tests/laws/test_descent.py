"""The compiled descent: its step against linear algebra, its bounds, and the share of starts that reach the optimum."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl
import pytest

from scaling.laws import descent, solver
from scaling.laws.forms import LawForm, form_named
from scaling.laws.forms.parameters import real
from scaling.laws.objective import Objective
from tests.laws.planted import published
from tests.laws.test_solver import published_problem


@pytest.mark.parametrize(("breaks", "noise", "share"), [(1, 0.0, 0.5), (1, 0.01, 0.5), (2, 0.01, 0.1)])
def test_forms_of_many_parameters_converge_from_a_good_share(breaks: int, noise: float, share: float) -> None:
    form = form_named("bnsl", {"x": "params", "breaks": breaks})
    generator = np.random.default_rng(0)
    logs = {"params": np.log(np.geomspace(1e2, 1e10, 80))}
    truth = {"a": 0.3, "b": 4.5, "c0": 0.1}
    for place in range(1, breaks + 1):
        truth |= {f"c{place}": 0.15, f"d{place}": 10.0 ** (2 + 8 * place / (breaks + 1)), f"f{place}": 0.7}
    target = np.log(form.evaluate(truth, logs)) + noise * generator.standard_normal(80)
    given = solver.Problem(form, logs, target, np.ones(80), Objective("huber", 1e-3, "log"))
    found = solver.solve(given, solver.default_starts(given, 64, seed=0))
    assert np.mean(found.objective <= found.objective.min() * (1 + 1e-6) + 1e-18) >= share
    if noise == 0:
        best = given.natural(found.z[np.argmin(found.objective)])
        assert {name: float(best[name]) for name in truth} == pytest.approx(truth, rel=1e-5)


def test_published_farseer_runs_from_a_good_share_of_starts() -> None:
    rows = pl.read_csv(published("farseer", "runs.csv"))
    logs = {"params": np.log(rows["N"].to_numpy()), "tokens": np.log(rows["D"].to_numpy())}
    target = np.log(rows["loss"].to_numpy())
    given = solver.Problem(form_named("farseer"), logs, target, np.ones(404), Objective("huber", 1e-3, "log"))
    found = solver.solve(given, solver.default_starts(given, 64, seed=0))
    assert np.mean(found.objective <= found.objective.min() * (1 + 1e-6)) >= 0.5


def test_the_program_does_not_grow_with_the_parameters() -> None:
    def lines(size: int) -> int:
        shapes = ((8, size, size), (8, size), (8,))
        arrays = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
        blocked = jax.ShapeDtypeStruct((8, size), jnp.bool_)
        return jax.jit(descent.damped_step).lower(*arrays, blocked).as_text().count("\n")

    assert lines(5) == lines(14)


@pytest.mark.parametrize("size", [1, 5, 14])
def test_a_damped_step_solves_its_equations(size: int) -> None:
    generator = np.random.default_rng(size)
    factor = generator.standard_normal((6, 40, size)) * 10.0 ** generator.uniform(-4, 4, size)
    hessian, gradient = np.einsum("brp,brq->bpq", factor, factor), generator.standard_normal((6, size))
    damping, blocked = 10.0 ** generator.uniform(-8, 1, 6), generator.random((6, size)) < 0.2
    with jax.enable_x64(True):
        step = np.asarray(descent.damped_step(hessian, gradient, damping, blocked))
    for one, (h, g, free) in enumerate(zip(hessian, gradient, ~blocked, strict=True)):
        damped = h + damping[one] * np.diag(np.diag(h))
        expected = np.zeros(size)
        expected[free] = -np.linalg.solve(damped[np.ix_(free, free)], g[free])
        assert step[one] == pytest.approx(expected, rel=1e-8, abs=1e-12 * np.abs(expected).max(initial=0))


def line() -> solver.Problem:
    """a - k x, which has no logarithm where it falls below 0, as it does from most starts."""
    form = LawForm(
        name="line",
        equation=lambda p, x, xp: p["a"] - p["k"] * x["x"],
        text="y = a - k x",
        parameters=(real("a", (0.0, 4.0), (-10.0, 10.0)), real("k", (0.0, 4.0), (-10.0, 10.0))),
        inputs=("x",),
        linear_inputs=("x",),
        source="",
    )
    x = np.linspace(0.0, 1.0, 20)
    return solver.Problem(form, {"x": x}, np.log(3.0 - 2.0 * x), np.ones(20), Objective("huber", 1e-3, "log"))


def test_starts_without_a_value_hold_up_no_other() -> None:
    given = line()
    wild = np.random.default_rng(0).uniform(0.0, 4.0, (64, 2))
    nowhere = wild[:, 0] <= wild[:, 1]
    assert 0.3 < nowhere.mean() < 0.7
    found = solver.solve(given, wild)
    assert np.isinf(found.objective[nowhere]).all()
    assert np.array_equal(found.z[nowhere], wild[nowhere])
    assert found.z[~nowhere] == pytest.approx(np.tile([3.0, 2.0], (np.sum(~nowhere), 1)), rel=1e-9)
    starts = solver.default_starts(given, 64, seed=0)
    assert np.isfinite(solver.solve(given, starts).objective).all()


def test_steps_towards_a_bound_do_not_end_the_search() -> None:
    """A step that a bound cuts short may promise nothing; starts once stopped there."""
    rows = [json.loads(line) for line in published("gemstones", "slim_chinchilla.jsonl").read_text().splitlines()]
    size, loss = (np.array([float(row[name]) for row in rows]) for name in ("params_active_precise", "final_loss"))
    objective = Objective("huber", 1e-3, "log")
    given = solver.Problem(form_named("power"), {"params": np.log(size)}, np.log(loss), np.ones(len(loss)), objective)
    found = solver.solve(given, solver.default_starts(given, 64, seed=0))
    assert np.mean(found.objective <= found.objective.min() * (1 + 1e-9)) == 1.0


def test_resamples_reach_their_optimum_within_a_few_steps() -> None:
    given = published_problem()
    best = solver.solve(given, solver.default_starts(given, 32, seed=0))
    z = best.z[np.argmin(best.objective)]
    weights = np.random.default_rng(0).multinomial(240, np.full(240, 1 / 240), size=64).astype(float)
    starts = np.tile(z, (64, 1))
    quick = solver.solve(given, starts, weights=weights, tolerance=solver.RESAMPLE_TOLERANCE)
    from_anywhere = [
        solver.solve(given, solver.default_starts(given, 16, seed=1), weights=np.tile(weight, (16, 1)))
        for weight in weights[:4]
    ]
    assert quick.iterations < 40
    for objective, found in zip(quick.objective, from_anywhere, strict=False):
        assert objective == pytest.approx(found.objective.min(), rel=1e-9)
