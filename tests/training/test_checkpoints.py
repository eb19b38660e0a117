"""Checkpoints: bits come back, another structure is refused, damage falls back, leftovers go."""

import errno
import logging
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest

from scaling.training.checkpoints import CheckpointError, Checkpoints
from scaling.training.state import TrainState, architecture, initial_state
from tests.conftest import MODEL

ABOUT = {"model": "m", "text": "t", "tokenizer": "bytes"}


def state_at(step: int, layers: int = 1) -> TrainState:
    model = MODEL.model_copy(update={"layers": layers})
    found = initial_state(architecture(model), "adamw", np.int32(step), 0.9)
    return found._replace(step=jax.numpy.int32(step))


def saved(root: Path, *steps: int) -> None:
    checkpoints = Checkpoints(root, state_at(0), ABOUT)
    for step in steps:
        checkpoints.save("trunk", state_at(step))
    checkpoints.close()


def test_a_state_comes_back_bit_for_bit(tmp_path: Path) -> None:
    state = state_at(7)
    saved(tmp_path, 7)
    restored = Checkpoints(tmp_path, state_at(0), ABOUT).restore("trunk", at_most=100)
    assert restored is not None
    assert jax.tree.structure(restored) == jax.tree.structure(state)
    for one, two in zip(jax.tree.leaves(state), jax.tree.leaves(restored), strict=True):
        np.testing.assert_array_equal(one, two)
        assert one.dtype == two.dtype


def test_the_newest_one_that_is_not_too_new(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, state_at(0), ABOUT)
    for step in (5, 10, 100):
        checkpoints.save("trunk", state_at(step))
    found = checkpoints.restore("trunk", at_most=50)
    assert found is not None
    assert int(found.step) == 10
    assert checkpoints.restore("trunk", at_most=4) is None
    assert checkpoints.restore("horizon-1", at_most=50) is None


@pytest.mark.parametrize("layers", [2, 3])
def test_a_checkpoint_of_another_depth_is_refused(tmp_path: Path, layers: int) -> None:
    saved(tmp_path, 3)
    with pytest.raises(CheckpointError, match=r"belongs to another model: .*blocks\.1.* is absent there"):
        Checkpoints(tmp_path, state_at(0, layers), ABOUT).restore("trunk", at_most=3)


@pytest.mark.parametrize("name", ["model", "text", "tokenizer", "schema"])
def test_a_checkpoint_of_something_else_is_refused_by_name(tmp_path: Path, name: str) -> None:
    saved(tmp_path, 3)
    with pytest.raises(CheckpointError, match=rf"trunk/3 belongs to another {name}: \S+ there and other here"):
        Checkpoints(tmp_path, state_at(0), ABOUT | {name: "other"}).restore("trunk", at_most=3)


@pytest.mark.parametrize(
    "error", [OSError(errno.EMFILE, "too many open files"), jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: no memory")]
)
def test_what_the_machine_lacks_at_the_moment_damages_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    saved(tmp_path, 3)

    def fails(arrays: object) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr("scaling.training.stored._sums", fails)
        with pytest.raises(type(error)):
            Checkpoints(tmp_path, state_at(0), ABOUT).restore("trunk", at_most=9)
    assert Checkpoints(tmp_path, state_at(0), ABOUT).restore("trunk", at_most=9) is not None


def test_one_that_was_made_elsewhere_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    here = {"device": "cpu", "cores": "1"}
    checkpoints = Checkpoints(tmp_path, state_at(0), ABOUT, here)
    checkpoints.save("trunk", state_at(2))
    checkpoints.close()
    for where, words in ((here, ""), (here | {"cores": "2"}, "made elsewhere (cores 1 there and 2 here)")):
        caplog.clear()
        assert Checkpoints(tmp_path, state_at(0), ABOUT, where).restore("trunk", at_most=2) is not None
        assert [words in line for line in caplog.messages] == [True] * bool(words)
    assert "no longer to the last bit" in caplog.text


def test_a_truncated_checkpoint_is_set_aside_and_the_one_before_is_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    saved(tmp_path, 5, 9)
    data = [path for path in (tmp_path / "trunk" / "9").rglob("*") if path.is_file() and path.parent.name == "d"]
    assert data
    for path in data:
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with caplog.at_level(logging.WARNING):
        found = Checkpoints(tmp_path, state_at(0), ABOUT).restore("trunk", at_most=100)
    assert found is not None
    assert int(found.step) == 5
    assert "damaged" in caplog.text
    assert (tmp_path / "trunk" / "9.damaged").exists()


def test_a_flipped_bit_anywhere_is_noticed_or_harmless(tmp_path: Path) -> None:
    """In every file of a checkpoint: what comes back is the whole state as saved, or the checkpoint before it."""
    saved(tmp_path / "whole", 5, 9)
    draw, expected, fell_back = np.random.default_rng(0), state_at(9), 0
    names = [path.relative_to(tmp_path / "whole") for path in (tmp_path / "whole" / "trunk" / "9").rglob("*")]
    for number, name in enumerate(name for name in names if (tmp_path / "whole" / name).stat().st_size):
        if (tmp_path / "whole" / name).is_dir():
            continue
        shutil.copytree(tmp_path / "whole", tmp_path / str(number))
        path = tmp_path / str(number) / name
        content = bytearray(path.read_bytes())
        content[draw.integers(len(content))] ^= 1 << int(draw.integers(8))
        path.write_bytes(content)
        found = Checkpoints(tmp_path / str(number), state_at(0), ABOUT).restore("trunk", at_most=100)
        assert found is not None
        if int(found.step) == 5:
            fell_back += 1
            continue
        for one, two in zip(jax.tree.leaves(expected), jax.tree.leaves(found), strict=True):
            np.testing.assert_array_equal(one, two, err_msg=str(name))
    assert fell_back >= 3


def test_what_is_kept_goes_only_when_the_next_is_on_disk(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, state_at(0), ABOUT)
    checkpoints.save("trunk", state_at(1))
    checkpoints.wait()
    checkpoints.save("trunk", state_at(2))
    checkpoints.keep("trunk", {2})
    assert 1 in checkpoints.steps("trunk")
    checkpoints.wait()
    assert checkpoints.steps("trunk") == [2]


def test_unfinished_writes_are_cleared_and_retention_keeps_what_it_is_told(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, state_at(0), ABOUT)
    for step in (1, 2, 3):
        checkpoints.save("trunk", state_at(step))
    checkpoints.keep("trunk", {2})
    checkpoints.wait()
    (tmp_path / "trunk" / "4.orbax-checkpoint-tmp").mkdir()
    assert Checkpoints(tmp_path, state_at(0), ABOUT).steps("trunk") == [2]
    assert sorted(path.name for path in (tmp_path / "trunk").iterdir()) == ["2"]
