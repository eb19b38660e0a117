"""Each optimiser against Optax's own, with every role's multipliers at 1, and what the declarations change of it."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from optax import contrib

from scaling.config import Optimizer
from scaling.models import multipliers
from scaling.training.optimizers import MATRIX_RMS, Settings, evaluated, optimizer
from scaling.training.state import architecture
from tests.conftest import MODEL

RATE, DECAY = 3e-3, 0.1
BUILT = architecture(MODEL.model_copy(update={"layer_loop": "scan"}))
DECAYS = {name: one.decays for name, one in BUILT.declared.items()}
MATRICES = {name: one.mixes for name, one in BUILT.declared.items()}
SETTINGS = Settings(0.9, 0.95, 1e-8, 0.95, DECAY, 0.0, 1e9)


def gradients(step: int) -> dict[str, jax.Array]:
    shapes = jax.eval_shape(BUILT.initialise, 0)
    keys = jax.random.split(jax.random.key(step), len(shapes))
    return {name: jax.random.normal(key, one.shape) for key, (name, one) in zip(keys, shapes.items(), strict=True)}


def run(transform: optax.GradientTransformation, steps: int = 4) -> tuple[dict[str, jax.Array], Any]:
    params = BUILT.initialise(jnp.int32(0))
    state = transform.init(params)
    for step in range(steps):
        updates, state = transform.update(gradients(step), state, params)
        params = optax.apply_updates(params, updates)
    return params, state


def ours(kind: Optimizer, settings: Settings = SETTINGS) -> optax.GradientTransformation:
    return optimizer(kind, settings, BUILT.declared, multipliers(MODEL), RATE)


def theirs(kind: Optimizer) -> optax.GradientTransformation:
    decayed = {"weight_decay": DECAY, "mask": DECAYS}
    match kind:
        case "adamw":
            return optax.adamw(RATE, 0.9, 0.95, **decayed)
        case "lion":
            return optax.lion(RATE, 0.9, 0.95, **decayed)
        case "schedule_free":
            inner = optax.adamw(RATE, 0.0, 0.95, **decayed)
            return contrib.schedule_free(inner, RATE, b1=0.9)
    matrix = contrib.MuonDimensionNumbers(reduction_axis=-2, output_axis=-1)
    return contrib.muon(
        RATE,
        weight_decay=DECAY,
        weight_decay_mask=DECAYS,
        adam_b2=0.95,
        adam_weight_decay=DECAY,
        muon_weight_dimension_numbers={name: matrix if one else None for name, one in MATRICES.items()},
        consistent_rms=MATRIX_RMS,
    )


@pytest.mark.parametrize("kind", ["adamw", "lion", "schedule_free", "muon"])
def test_each_is_optaxs_own(kind: Optimizer) -> None:
    (mine, _), (other, _) = run(ours(kind)), run(theirs(kind))
    if kind == "muon":
        # Optax gives what is no matrix to Adam with Nesterov's momentum; here it is plain Adam.
        adam, _ = run(theirs("adamw"))
        other = {name: other[name] if matrix else adam[name] for name, matrix in MATRICES.items()}
    for name, value in other.items():
        np.testing.assert_allclose(mine[name], value, rtol=2e-5, atol=1e-6, err_msg=name)


def test_muon_takes_every_stacked_matrix_and_nothing_else() -> None:
    start = BUILT.initialise(jnp.int32(0))
    end, _ = run(ours("muon", SETTINGS._replace(weight_decay=0.0)), steps=1)
    for name, matrix in MATRICES.items():
        step = np.asarray(end[name] - start[name]) / -RATE
        if matrix:
            singular = np.linalg.svd(step, compute_uv=False) / (MATRIX_RMS * np.sqrt(max(step.shape[-2:])))
            assert singular.shape[0] == MODEL.layers
            assert 0.5 < singular.min() < singular.max() < 1.3, name
        else:
            np.testing.assert_allclose(np.abs(step), 1.0, rtol=1e-3, err_msg=name)


def test_schedule_free_is_measured_at_its_average() -> None:
    params, state = run(ours("schedule_free"))
    expected = contrib.schedule_free_eval_params(state, params)
    found = evaluated("schedule_free", state, params)
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value)
    assert evaluated("adamw", state, params) is params


def test_independent_decay_does_not_follow_the_peak_rate() -> None:
    """After one step of rate r with peak p a parameter has lost r / p x weight_decay of itself, beside Adam's step."""
    start = BUILT.initialise(jnp.int32(0))
    for peak in (RATE, 10 * RATE):
        plain, _ = run(ours("adamw", SETTINGS._replace(weight_decay=0.0)), steps=1)
        decayed, _ = run(ours("adamw", SETTINGS._replace(peak=peak)), steps=1)
        for name, decays in DECAYS.items():
            lost = np.asarray(plain[name] - decayed[name])
            np.testing.assert_allclose(lost, RATE / peak * DECAY * np.asarray(start[name]) * decays, atol=2e-7)
