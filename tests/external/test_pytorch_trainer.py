"""The example in PyTorch: it trains what was planned, and goes on from its own checkpoint to the same losses."""

import sys
import time
from collections.abc import Callable

import pytest

from scaling.config import ModelConfig
from scaling.engines import EXIT_DONE, EXIT_RESUME
from tests.external.conftest import ROOT, CommandJob

pytest.importorskip("torch", reason="torch is in the extra bench")
WORDS = [sys.executable, str(ROOT / "experiments" / "pytorch_trainer" / "train.py")]
MODEL = ModelConfig(
    layers=1, width=16, heads=2, kv_heads=2, ffn_width=64, vocabulary=257, sequence_length=16,
    feed_forward="gelu", positions="learned", qk_norm=False, tied_head=True,
)  # fmt: skip


def test_it_goes_on_to_the_same_losses(commanded: Callable[..., CommandJob]) -> None:
    whole = commanded(words=WORDS, model=MODEL, name="whole")
    assert whole.run() == EXIT_DONE, whole.said
    rows = whole.directory.observations()
    assert 5.5 > rows[0].loss > rows[1].loss
    assert all(row.loss_se and row.train_loss and row.bits_per_byte for row in rows)
    halted = commanded(words=WORDS, model=MODEL, name="halted")
    process = halted.start()
    deadline = time.monotonic() + 60
    while not any(halted.directory.root.glob("horizon-*.json")):
        assert time.monotonic() < deadline
        time.sleep(0.002)
    process.terminate()
    assert process.wait(30) in (EXIT_RESUME, EXIT_DONE), halted.said
    assert halted.run() == EXIT_DONE, halted.said
    assert [row.loss for row in halted.directory.observations()] == [row.loss for row in rows]
