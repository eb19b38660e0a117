"""Checkpoints: bits come back, another structure is refused, damage falls back, leftovers go."""

import logging
from pathlib import Path

import jax
import numpy as np
import pytest

from scaling.training.checkpoints import CheckpointError, Checkpoints
from scaling.training.state import TrainState, architecture, initial_state
from tests.conftest import MODEL


def state_at(step: int, layers: int = 1) -> TrainState:
    model = MODEL.model_copy(update={"layers": layers})
    return initial_state(architecture(model), np.int32(step))._replace(step=jax.numpy.int32(step))


def test_a_state_comes_back_bit_for_bit(tmp_path: Path) -> None:
    saved = state_at(7)
    Checkpoints(tmp_path, saved).save("trunk", saved)
    restored = Checkpoints(tmp_path, state_at(0)).restore("trunk", at_most=100)
    assert restored is not None
    assert jax.tree.structure(restored) == jax.tree.structure(saved)
    for one, two in zip(jax.tree.leaves(saved), jax.tree.leaves(restored), strict=True):
        np.testing.assert_array_equal(one, two)
        assert one.dtype == two.dtype


def test_the_newest_one_that_is_not_too_new(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, state_at(0))
    for step in (5, 10, 100):
        checkpoints.save("trunk", state_at(step))
    found = checkpoints.restore("trunk", at_most=50)
    assert found is not None
    assert int(found.step) == 10
    assert checkpoints.restore("trunk", at_most=4) is None
    assert checkpoints.restore("horizon-1", at_most=50) is None


@pytest.mark.parametrize("layers", [2, 3])
def test_a_checkpoint_of_another_depth_is_refused(tmp_path: Path, layers: int) -> None:
    Checkpoints(tmp_path, state_at(0)).save("trunk", state_at(3))
    with pytest.raises(CheckpointError, match=r"belongs to another model: .*blocks\.1.* is absent there"):
        Checkpoints(tmp_path, state_at(0, layers)).restore("trunk", at_most=3)


def test_a_truncated_checkpoint_is_set_aside_and_the_one_before_is_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    checkpoints = Checkpoints(tmp_path, state_at(0))
    checkpoints.save("trunk", state_at(5))
    checkpoints.save("trunk", state_at(9))
    data = [path for path in (tmp_path / "trunk" / "9").rglob("*") if path.is_file() and path.parent.name == "d"]
    assert data
    for path in data:
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with caplog.at_level(logging.WARNING):
        found = Checkpoints(tmp_path, state_at(0)).restore("trunk", at_most=100)
    assert found is not None
    assert int(found.step) == 5
    assert "damaged" in caplog.text
    assert (tmp_path / "trunk" / "9.damaged").exists()


def test_unfinished_writes_are_cleared_and_retention_keeps_what_it_is_told(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, state_at(0))
    for step in (1, 2, 3):
        checkpoints.save("trunk", state_at(step))
    checkpoints.keep("trunk", {2})
    (tmp_path / "trunk" / "4.orbax-checkpoint-tmp").mkdir()
    assert Checkpoints(tmp_path, state_at(0)).steps("trunk") == [2]
    assert sorted(path.name for path in (tmp_path / "trunk").iterdir()) == ["2"]
