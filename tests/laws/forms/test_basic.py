"""The contract for the forms that the laboratory's own studies use."""

import numpy as np
import pytest

from tests.laws import planted
from tests.laws.forms.contract import Example, check_contract

GRID = planted.study()
EXAMPLES = [
    Example("chinchilla", planted.TRUTH, {name: GRID[name] for name in ("params", "tokens")}),
    Example("power", {"E": 1.5, "A": 40.0, "alpha": 0.3}, {"params": np.geomspace(1e5, 1e9, 12)}),
    Example(
        "power", {"E": 0.4, "A": 90.0, "alpha": 0.2}, {"flops": np.geomspace(1e15, 1e20, 12)}, options={"x": "flops"}
    ),
]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.form)
def test_contract(example: Example) -> None:
    check_contract(example)
