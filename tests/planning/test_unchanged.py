"""Plans of the studies that were published: what was trained stays what their files say."""

from pathlib import Path

import pytest

from scaling.config import parse_study, read_study
from scaling.planning import plan
from scaling.records import DataRecord, content_hash

CONFIGS = Path(__file__).parents[2] / "configs"
DATA = DataRecord(fingerprint="0" * 64, tokenizer="bytes", train_tokens=10_000_000, validation_tokens=10_000)
QUICKSTART = """
    w12-l2-s0-fa4b1c8745 w18-l2-s0-862d78f995 w18-l2-s1-7b6aa2a7de w18-l2-s2-f09c838cee w24-l2-s0-65684c2885
    w24-l2-s1-2f6267e7d8 w24-l2-s2-6ebe4bb7e8 w30-l2-s0-d846efd9a4 w30-l2-s1-1c41332681 w30-l2-s2-3f0117766e
    w36-l2-s0-2cb5239fae w42-l2-s0-81b5850c26 w48-l2-s0-944fec2509 w54-l2-s0-70b64d1573 w60-l2-s0-c5347d3b06"""
KNOWN_ENTROPY = """
    w8-l2-s0-ce202c27b7 w12-l2-s0-a8ec404174 w12-l2-s1-30a27471e2 w12-l2-s2-540c087b8a w16-l2-s0-5bdcf3f9bf
    w16-l2-s1-bfcfceca1a w16-l2-s2-6a6816108e w20-l2-s0-e282ebf884 w24-l2-s0-a16eb94053 w32-l2-s0-90e23a2752"""


HORIZONS = {
    "quickstart": "356f4439f5b342b217650e8250eef1480eefe6886a613d921a6a4c8e42e1fd04",
    "known_entropy": "55a0697ba5594e27f7dccf394c33c3a50d91742c240cc939b5fefb5b89a9d846",
}
"""Hash of the names of every horizon, the expected check's included."""


@pytest.mark.parametrize(("name", "ids"), [("quickstart", QUICKSTART), ("known_entropy", KNOWN_ENTROPY)])
def test_identities_horizons_and_order(name: str, ids: str) -> None:
    planned = plan(parse_study(read_study(CONFIGS / f"{name}.yaml")), DATA)
    assert [one.id for one in planned.trajectories] == ids.split()
    told = [[horizon.name for horizon in one.horizons] for one in (*planned.trajectories, *planned.expected_check)]
    assert content_hash(told) == HORIZONS[name], told
