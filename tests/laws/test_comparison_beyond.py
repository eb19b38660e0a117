"""Arms whose runs carry errors that no residual shows, such as settings that are not the best."""

from typing import Any

import numpy as np
import pytest
from scipy.special import stdtrit

from scaling.laws import LawError
from scaling.laws.comparison import compare, pairs
from scaling.laws.forms import form_named
from scaling.laws.table import read
from tests.laws.test_comparison import AT, QUICK, two_arms

FIRST, SECOND = (0.012, 0.0), (0.0, 0.02)


def test_nothing_beyond_changes_nothing() -> None:
    arms = two_arms()
    plain = compare(*arms, at=AT, **QUICK)
    assert plain.as_json() == compare(*arms, at=AT, **QUICK, beyond=(0.0, 0.0), beyond_b=(0.0, 0.0)).as_json()
    assert "beyond" not in plain.a.noise


def test_rows_change_with_runs_as_they_are_made_of_them() -> None:
    """Paired runs and single ones, by tables whose losses were changed."""
    a, b = two_arms()
    b = {name: values[:20] for name, values in b.items()}
    law = form_named("chinchilla", {})

    def rows(*arms: dict[str, Any]) -> pairs.Rows:
        return pairs.rows_of((read(arms[0], form=law), read(arms[1], form=law)), law, ("A", "B"), (None, None))

    change = np.random.default_rng(0).normal(size=48)
    moved = [
        arm | {"loss": (np.array(arm["loss"]) * np.exp(part)).tolist()}
        for arm, part in ((a, change[:28]), (b, change[28:]))
    ]
    before, after = rows(a, b), rows(*moved)
    assert set(before.kind) == {pairs.SUM, pairs.SINGLE, pairs.DIFFERENCE}
    np.testing.assert_allclose(after.target - before.target, before.of_runs(change), atol=1e-12)


@pytest.mark.parametrize("beyond", [(FIRST, (0.0, 0.0)), ((0.0, 0.0), SECOND), (FIRST, SECOND)])
def test_intervals_hold_them_and_the_standard_error_agrees(beyond: pairs.Beyond) -> None:
    arms, settings = two_arms(noise=0.005), QUICK | {"resamples": 1000}
    plain = compare(*arms, at=AT, **settings)
    found = compare(*arms, at=AT, **settings, beyond=beyond[0], beyond_b=beyond[1])
    assert found.gain.value == plain.gain.value
    width = 2 * stdtrit(found.freedom, 0.975) * found.standard_error
    assert np.log(found.gain.high / found.gain.low) == pytest.approx(width, rel=0.15)
    assert found.standard_error > 1.3 * plain.standard_error
    resampled = [
        compare(*arms, at=AT, **settings, method="pairs", beyond=one[0], beyond_b=one[1])
        for one in (((0.0, 0.0),) * 2, beyond)
    ]
    assert resampled[1].gain.high / resampled[1].gain.low > (resampled[0].gain.high / resampled[0].gain.low) ** 1.3
    told = [law.noise.get("beyond") for law in (found.a, found.b)]
    assert told == [list(one) if any(one) else None for one in beyond]


def test_what_would_be_two_laws_may_be_two_tunings() -> None:
    arms = two_arms(noise=0.002, on_d=0.93)
    sure, doubtful = (compare(*arms, at=AT, **QUICK | {"draws": 99}, beyond=(size, 0.0)) for size in (0.0, 0.02))
    assert sure.tests[1].p == 0.01
    assert doubtful.tests[1].p > 0.05
    assert 1.0 not in sure.gain
    assert 1.0 in doubtful.gain


def test_what_it_cannot_be_is_refused() -> None:
    with pytest.raises(LawError, match="each at least 0"):
        compare(*two_arms(), at=AT, **QUICK, beyond_b=(0.0, -1.0))


@pytest.mark.full
def test_coverage_in_simulation() -> None:
    """Of 200 pairs of studies whose runs are off by 1.5% a trajectory in arm b, which pairing cannot see."""
    held = {True: 0, False: 0}
    for seed in range(200):
        a, b = two_arms(seed=seed, noise=0.004, on_d=0.8)
        names, place = np.unique(b["trajectory"], return_inverse=True)
        off = 0.015 * np.random.default_rng(seed + 1000).standard_normal(len(names))[place]
        b = b | {"loss": (np.array(b["loss"]) * np.exp(off)).tolist()}
        for told in held:
            # What residuals show of it would be counted twice: the law is fitted without it.
            found = compare(a, b, at=AT, **QUICK | {"seed": seed}, beyond_b=(0.015, 0.0) if told else (0.0, 0.0))
            held[told] += 0.8 in found.gain
    print(f"\n95% intervals of the gain hold it in {held[True] / 2:.1f}% told of it, in {held[False] / 2:.1f}% not")
    assert held[True] >= 186
