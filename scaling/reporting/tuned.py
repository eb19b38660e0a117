"""What was measured of a tuned ladder, in sentences that the terminal and the page share."""

from collections.abc import Iterator, Mapping
from typing import Any

from scaling.laws import LawFit, number

ASKED = {
    "loss_of_largest": "loss of the largest run",
    "loss_at_10x": "loss at 10x the budget",
    "params_at_10x": "N* there",
}


def lines(law: LawFit) -> list[str]:
    """Of the law that answers; nothing where its study was not tuned."""
    found = law.details.get("tuning")
    return [] if found is None else list(_lines(found))


def _lines(found: Mapping[str, Any]) -> Iterator[str]:
    yield f"learning rates from tuning/{found['law']}: {found['equation']}"
    for line in found["left_out"]:
        yield f"left out of that law: {line}"
    for one in found["regret"]:
        yield (
            f"regret at N {one['params']:,}, D {one['tokens']:,.0f}: {_difference(one)} of ln L; the law's "
            f"{_setting(one['learning_rate'], one['batch_tokens'])} against "
            f"{_setting(one['other_rate'], one['other_batch'])} at the bowl's least{_aside(one)}"
        )
    for one in found["corners"]:
        yield (
            f"corner at N {one['params']:,}, D {one['tokens']:,.0f}: {_difference(one)} of ln L, the trunk's branch at "
            f"{_setting(one['learning_rate'], one['batch_tokens'])} against its own run at "
            f"{_setting(one['other_rate'], one['other_batch'])}{_aside(one)}"
        )
    if found["corners_that_are_the_trunk"]:
        yield f"{found['corners_that_are_the_trunk']} corners are at the trunk's own rate: nothing to compare"
    common, row = found["beyond"]
    if not common and not row:
        yield "no regret and no corner was measured: the intervals hold run-to-run noise alone"
        return
    widened = ", ".join(f"{ASKED[name]} {times:.2f}" for name, times in found["widened"].items())
    yield (
        f"the intervals carry these beyond run-to-run noise: {common:.2g} of ln L once a trajectory (regret), "
        f"{row:.2g} once a row (corners); as wide as without them, times: {widened}"
    )


def _difference(one: Mapping[str, Any]) -> str:
    if one["value"] is None:
        return "not known"
    return f"{one['value']:+.4f} ± {one['se']:.4f}"


def _aside(one: Mapping[str, Any]) -> str:
    return "" if one["counts"] else f" (not counted: {one['why']})"


def _setting(rate: float, batch: float) -> str:
    return f"rate {number(rate)}, batch {batch:,.0f}"
