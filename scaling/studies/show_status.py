"""What the terminal says of a run: how far it is, what failed and why, what the check found."""

from collections.abc import Sequence
from typing import Any

from rich.markup import escape

from scaling.records import Failure, read_json
from scaling.studies.progress import drawn
from scaling.studies.status import RunStatus
from scaling.studies.terminal import console

NAMED = 10
"""Failures, and trajectories that diverged, of which each is named."""


def status(found: RunStatus) -> None:
    """A run's progress."""
    out = console()
    if found.directory.simulated.exists():
        out.print("the records of a simulation: nothing was trained")
    out.print(drawn(found.trajectories))
    out.print(
        f"{found.study.name}: {found.done_flops:.2e} of {found.total_flops:.2e} FLOPs "
        f"({found.done_flops / found.total_flops:.0%})"
    )
    if found.stage:
        out.print(f"{found.stage} of a tuned ladder")
    for note in found.planned.notes if found.stage else ():
        out.print(escape(f"note: {note}"), soft_wrap=True)
    for text in (*diverged(found), *failed(found.failures, str(found.directory.root))):
        out.print(escape(text), soft_wrap=True)
    out.print(f"laws: {', '.join(found.laws) or 'none yet'}")
    if found.check is not None:
        check(found.check)


def diverged(found: RunStatus) -> list[str]:
    """A line for each trajectory that diverged, while they are few."""
    ids = [one.trajectory.id for one in found.trajectories if one.state == "diverged"]
    lines = []
    for name in ids[:NAMED]:
        record = read_json(found.directory.trajectory(name).diverged)
        lines.append(f"diverged: {name} at step {record['step']}, loss {record['loss']}")
    return lines + _others("diverged", ids)


def failed(failures: Sequence[Failure], root: str) -> list[str]:
    """A line for each job that failed, while they are few, and how to start them again."""
    causes = {"yours": "failed by itself", "outside": "lost from outside"}
    lines = [f"{causes[one.cause]}: {one.message.partition('; the last lines of')[0]}" for one in failures[:NAMED]]
    again = [f"scaling retry {root} starts what failed again"] if failures else []
    return lines + _others("failed", failures) + again


def _others(what: str, found: Sequence[object]) -> list[str]:
    return [f"{what}: {len(found) - NAMED} more; --json has all"] if len(found) > NAMED else []


def check(result: dict[str, Any]) -> None:
    """Prediction against measurement, and what simple baselines would have said."""
    out = console()
    said, measured = result["prediction"], result["measured"]
    out.print(
        f"measured {measured['loss']:.4f} ({', '.join(f'{loss:.4f}' for loss in measured['losses'])}): "
        f"{'inside' if result['inside'] else 'OUTSIDE'} the interval, relative error {result['relative_error']:+.2%} "
        f"(interval {-result['half_width'][0]:+.1%} to {result['half_width'][1]:+.1%})"
    )
    for name, error in result["baseline_errors"].items():
        out.print(f"  {name.replace('_', ' ')} would have said {said['baselines'][name]:.4f}: {error:+.2%}")
