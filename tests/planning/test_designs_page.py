"""The designs of docs/designs.md, as they stand there."""

import re
from pathlib import Path

import pytest

from scaling.config import parse_study, parse_yaml, read_study
from scaling.planning import plan
from scaling.records import DataRecord

ROOT = Path(__file__).parents[2]
BLOCKS = re.findall(r"```yaml\n(.*?)```\n\n(?:```\n(.*?)```)?", (ROOT / "docs" / "designs.md").read_text(), re.DOTALL)
DATA = DataRecord(fingerprint="0" * 64, tokenizer="bytes", train_tokens=10_000_000, validation_tokens=10_000)


@pytest.mark.parametrize(("block", "printed"), BLOCKS, ids=[str(place) for place in range(len(BLOCKS))])
def test_a_block(block: str, printed: str) -> None:
    study = parse_study(read_study(ROOT / "configs" / "ladder.yaml") | parse_yaml(block, "block"))
    planned = plan(study, DATA)
    told = re.search(r"plan: (\d+) trajectories of (\d+) sizes, (\d+) horizons", printed)
    if told is not None:
        sizes = len({one.model.width for one in planned.trajectories})
        assert tuple(map(int, told.groups())) == (len(planned.trajectories), sizes, planned.observations)
    skipped = sum(int(count) for count in re.findall(r"skipped: (\d+) cell", printed))
    assert skipped == (len(planned.skipped) if printed else 0)


def test_the_page_shows_every_design() -> None:
    assert len(BLOCKS) == 9
    shown = {parse_study(read_study(ROOT / "configs" / "ladder.yaml") | parse_yaml(block, "block")).sweep.design
             for block, _ in BLOCKS}  # fmt: skip
    assert shown == {"isoflop", "ladder", "chinchilla", "overtraining", "bowls", "grid", "quasirandom", "list"}
