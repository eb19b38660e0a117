"""However a step is computed, it is the same step."""

from typing import Any

import jax
import numpy as np
import pytest

from scaling.config import ComputeConfig
from scaling.models import multipliers
from scaling.training.accumulation import parts_of
from scaling.training.optimizers import Settings
from scaling.training.schedules import NEVER, Schedule
from scaling.training.step import Hyper, program
from tests.conftest import MODEL

SCANNED = MODEL.model_copy(update={"layer_loop": "scan"})
LENGTH = MODEL.sequence_length
BATCHES = np.random.default_rng(0).integers(0, MODEL.vocabulary, (3, 4, LENGTH + 1)).astype(np.int32)
HYPER = Hyper(
    Schedule(1e-2, 2.0, NEVER, 1.0, 1.0), Settings(0.9, 0.99, 1e-8, 0.95, 0.1, 0.0, 1.0), multipliers(MODEL), NEVER
)


def losses(compute: ComputeConfig, model: Any = MODEL) -> np.ndarray:
    compiled = program(model, compute=compute)
    _, found = compiled.train(compiled.initialise(0), BATCHES, len(BATCHES), HYPER)
    return np.asarray(found)


@pytest.fixture(scope="module")
def plain() -> dict[str, np.ndarray]:
    return {"unroll": losses(ComputeConfig()), "scan": losses(ComputeConfig(), SCANNED)}


@pytest.mark.parametrize(
    ("compute", "loop"),
    [
        (ComputeConfig(remat="full"), "unroll"),
        (ComputeConfig(remat="products"), "scan"),
        (ComputeConfig(microbatch_tokens=LENGTH), "unroll"),
        (ComputeConfig(microbatch_tokens=2 * LENGTH, remat="full"), "scan"),
    ],
    ids=str,
)
def test_losses_are_the_same_to_rounding(compute: ComputeConfig, loop: str, plain: dict[str, np.ndarray]) -> None:
    found = losses(compute, SCANNED if loop == "scan" else MODEL)
    np.testing.assert_allclose(found, plain[loop], rtol=2e-6)


def test_bfloat16_is_close_and_keeps_float32_parameters_and_moments(plain: dict[str, np.ndarray]) -> None:
    compiled = program(MODEL, compute=ComputeConfig(precision="bfloat16"))
    state, found = compiled.train(compiled.initialise(0), BATCHES, len(BATCHES), HYPER)
    assert 0 < np.max(np.abs(np.asarray(found) - plain["unroll"])) < 2e-2
    leaves = jax.tree.leaves((state.params, state.optimizer))
    assert {leaf.dtype for leaf in leaves if leaf.ndim} == {np.dtype("float32")}
    text = compiled.train.lower(compiled.initialise(0), BATCHES, 1, HYPER).as_text()  # type: ignore[attr-defined]
    assert "bf16" in text


@pytest.mark.full
def test_rematerialising_keeps_less() -> None:
    """Memory of the compiled step: with many layers, what each of them keeps outweighs the rest."""
    deep = SCANNED.model_copy(update={"layers": 8, "sequence_length": 64})
    tokens = np.zeros((1, 16, 65), np.int32)

    def temporaries(compute: ComputeConfig) -> int:
        compiled = program(deep, compute=compute)
        state = jax.eval_shape(compiled.initialise, 0)
        lowered = compiled.train.lower(state, tokens, 1, HYPER)  # type: ignore[attr-defined]
        return int(lowered.compile().memory_analysis().temp_size_in_bytes)

    kept, products, full = (temporaries(ComputeConfig(remat=remat)) for remat in ("none", "products", "full"))
    assert full < products < kept


@pytest.mark.parametrize(
    ("sequences", "shards", "most", "parts"),
    [(8, 1, None, 1), (8, 1, 200, 8), (8, 1, 300, 4), (6, 1, 200, 6), (6, 2, 250, 3), (8, 2, 1, 4), (7, 1, 399, 7)],
)
def test_a_batch_is_cut_into_the_fewest_equal_parts(sequences: int, shards: int, most: int | None, parts: int) -> None:
    assert parts_of(sequences, 128, shards, most) == parts
