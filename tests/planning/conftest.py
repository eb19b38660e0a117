"""A study small enough to plan by hand, and what it is trained on."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from scaling.config import Study, parse_study
from scaling.records import DataRecord

SMALL: dict[str, Any] = {
    "name": "small",
    "family": {"layers": 1, "head_width": 8, "ffn_ratio": 2.5, "qk_norm": False, "sequence_length": 64},
    "training": {"reference_width": 16, "batch_tokens": 256, "warmup_tokens": 4096, "decay_fraction": 0.2},
    "accounting": {"flops": "6N"},
    "sweep": {
        "budgets": [1e10, 4e10],
        "widths": [8, 16, 24, 32],
        "sizes_per_budget": 3,
        "expected_tokens_per_param": 13,
        "replicate_widths": [16],
    },
}


@pytest.fixture(scope="session")
def data() -> DataRecord:
    return DataRecord(fingerprint="0" * 64, tokenizer="bytes", train_tokens=1_000_000, validation_tokens=10_000)


@pytest.fixture(scope="session")
def study_of() -> Callable[..., Study]:
    """The small study with whole parts changed field by field: study_of(sweep={"budgets": [1e10]}, seed=3)."""

    def make(**changes: Any) -> Study:
        raw = dict(SMALL)
        for name, value in changes.items():
            raw[name] = {**raw.get(name, {}), **value} if isinstance(value, Mapping) else value
        return parse_study(raw)

    return make
