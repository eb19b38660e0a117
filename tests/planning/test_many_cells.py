"""A plan of thousands of cells: four times the cells are four times the work."""

import json
import sys
from collections.abc import Callable
from typing import Any

import pytest

from scaling.planning import plan, shape_rows
from tests.planning.test_designs import short

WIDTHS = [16, 32, 48, 64]
RANGES = {"params": [1e4, 1e5], "tokens_per_param": [20, 200], "training.learning_rate": [1e-4, 1e-2]}


def ladder(cells: int) -> dict[str, Any]:
    rates = [1e-3 * 1.001**rung for rung in range(cells // (len(WIDTHS) * 2 * 2))]
    return {
        "design": "ladder",
        "widths": WIDTHS,
        "tokens_per_param": [20, 40],
        "factors": {"training.learning_rate": rates},
        "seeds": 2,
        "skip": [{"when": {"width": 64, "learning_rate": {"above": 1e-2}}, "because": "diverges"}],
    }


def quasirandom(cells: int) -> dict[str, Any]:
    return {"design": "quasirandom", "samples": cells, "ranges": RANGES}


def calls(work: Callable[[], object]) -> int:
    """Functions that `work` calls, of Python and of C."""
    count = 0

    def counted(frame: Any, event: str, argument: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(counted)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize("design", [ladder, quasirandom])
def test_no_part_of_a_plan_is_quadratic(design, data):
    def planned(cells: int) -> Callable[[], object]:
        study = short(design(cells), engine={"processes": 3})

        def work() -> None:
            found = plan(study, data)
            assert found.observations + len(found.skipped) == cells
            shape_rows(found)
            json.dumps(found.as_json(), indent=2)

        return work

    calls(planned(64))  # what is imported and cached once
    few, many = calls(planned(1024)), calls(planned(4096))
    assert many < 4.4 * few
    assert few < 1200 * 1024, "each cell is checked like a study"
