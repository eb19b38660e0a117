"""Errors that were measured apart from the runs: what every resample draws beside the noise that residuals show."""

import numpy as np
import pytest

from scaling import laws
from scaling.laws import LawError
from tests.laws import planted

TABLE = planted.study(noise=0.002)
LOGS = {"resamples": 200, "delta": 1e-2, "starts": 64}


def width(law: laws.LawFit, name: str) -> float:
    return law.intervals[name].high - law.intervals[name].low


def test_nothing_beyond_changes_nothing():
    plain, none = laws.fit(TABLE, **LOGS), laws.fit(TABLE, **LOGS, beyond=(0.0, 0.0))
    assert plain.as_json() == none.as_json()
    assert "beyond" not in plain.noise


@pytest.mark.parametrize("beyond", [(0.01, 0.0), (0.0, 0.01)])
@pytest.mark.parametrize("method", ["noise", "pairs"])
def test_intervals_grow_and_the_law_stays(beyond: tuple[float, float], method: str):
    plain, wide = (laws.fit(TABLE, **LOGS, method=method, beyond=one) for one in ((0.0, 0.0), beyond))
    assert wide.params == plain.params
    assert width(wide, "alpha") > 1.5 * width(plain, "alpha")
    assert wide.noise["run"] == plain.noise["run"]
    assert wide.noise["beyond"] == list(beyond)
    there = {"params": 1e5, "tokens": 1e6}
    assert wide.predict(**there).prediction.high > plain.predict(**there).prediction.high


def test_what_a_given_error_would_hide_in_the_residuals_comes_on_top():
    """A standard error in the table is taken out of the scatter that the rows show; this is not."""
    given = TABLE | {"error": (0.002 * np.array(TABLE["loss"])).tolist()}
    plain, inside = laws.fit(TABLE, **LOGS), laws.fit(given, **LOGS, columns={"loss_se": "error"})
    beyond = laws.fit(TABLE, **LOGS, beyond=(0.002, 0.0))
    assert width(inside, "alpha") < 1.15 * width(plain, "alpha")
    assert width(beyond, "alpha") > 1.2 * width(plain, "alpha")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"beyond": (-1.0, 0.0)}, "each at least 0"),
        ({"beyond": (0.1, 0.0), "form": "isoflop"}, "not fitted to ln L by one solve"),
    ],
)
def test_what_it_cannot_be_is_refused(settings, said):
    with pytest.raises(LawError, match=said):
        laws.fit(TABLE, resamples=0, **settings)
