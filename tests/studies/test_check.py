"""Which model a prediction is checked on."""

from pathlib import Path

import pytest

from scaling.config import load_study
from scaling.laws import Estimate
from scaling.studies.check import width_for

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("high", "fitted", "width"),
    [
        (1.4e5, 1.0e5, 60),  # nearest to N* and larger than what was fitted
        (1.4e5, 1.1e5, 66),  # the first that is larger: 125,092
        (1.4e5, 1.3e5, 60),  # the next has 146,832
        (1.2e5, 1.1e5, 60),  # N* cannot be so large
    ],
)
def test_the_check_is_larger_than_what_was_fitted_where_the_law_allows(high: float, fitted: float, width: int) -> None:
    study = load_study(ROOT / "configs" / "quickstart.yaml")
    best = Estimate(value=1.05e5, low=8e4, high=high, level=0.95)
    assert width_for(best, fitted, study) == width
