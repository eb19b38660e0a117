"""What the terminal says of a plan: by trajectory where they are few, by shape, and what is left out."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from rich.markup import escape
from rich.table import Table

from scaling.laws import count
from scaling.planning import Plan, ShapeRow, device_hours, plan_checkpoint_bytes, plan_model_bytes, shape_rows
from scaling.planning.cells import Skipped, shown
from scaling.records import RunDirectory
from scaling.studies.done import Done
from scaling.studies.done import done as done_of
from scaling.studies.progress import duration
from scaling.studies.show import console

MOST_TRAJECTORIES = 40
"""Of a plan that is shown by trajectory."""
MOST_SHAPES = 60
"""That are listed."""
MOST_VALUES = 4
"""Of what skipped cells have in common, in full."""


def staged_plan(planned: Plan, directory: RunDirectory | None) -> None:
    """A plan, of a tuned ladder each of its stages; with what of it is done in `directory`."""
    headings = _headings(planned)
    for heading, stage in zip(headings, planned.stages, strict=True):
        if heading:
            console().print(heading)
        plan(stage, None if directory is None else done_of(stage, directory))
    if headings[-1] and planned.tuning is not None and planned.tuning.beside is None:
        console().print(_later(planned))


def stages(planned: Plan) -> None:
    """The totals of each stage, and what is left out."""
    for heading, stage in zip(_headings(planned), planned.stages, strict=True):
        if heading:
            console().print(heading)
        totals(stage)
        skipped(stage.skipped)


def _headings(planned: Plan) -> list[str]:
    """Of each stage; one that is empty for a study of one."""
    if planned.tuning is None:
        return [""]
    bowls = len(planned.tuning.bowls)
    held = sum(one.held for one in planned.tuning.bowls)
    first = f"[bold]stage 1, the bowls[/]: {bowls} cells, {held} of them held out"
    if planned.tuning.beside is None:
        return [first, "\n[bold]stage 3, the ladder[/], expected: rates are read off the law of the bowls (stage 2)"]
    ladder = "\n[bold]stage 3, the ladder[/], at the rates of the law of the bowls (stage 2, done)"
    return [first, ladder, "\n[bold]stage 4, regret and corners[/]"]


def _later(planned: Plan) -> str:
    assert planned.tuning is not None
    assert planned.study.tuning is not None
    held = sum(one.held for one in planned.tuning.bowls)
    corners = planned.study.tuning.corners
    return (
        f"stage 4, regret and corners: {held} runs at the law's rate in the held-out cells, {corners} at corners "
        "of the ladder; planned with the law"
    )


def plan(planned: Plan, done: Done | None = None) -> None:
    """Each trajectory, or where they are many each shape, with what it takes; the totals; what is left out."""
    rows = shape_rows(planned, None if done is None else done.of)
    if len(planned.trajectories) <= MOST_TRAJECTORIES:
        _trajectories(planned)
        console().print()
        _shapes(rows)
    else:
        _shapes(rows[:MOST_SHAPES])
        more = f", the first {MOST_SHAPES} of {len(rows)}" if len(rows) > MOST_SHAPES else ""
        console().print(
            f"by shape{more}, for there are {len(planned.trajectories):,} trajectories; --json has every one",
            soft_wrap=True,
        )
    totals(planned)
    skipped(planned.skipped)
    if done is not None:
        diverged = f", {done.diverged} trajectories diverged" if done.diverged else ""
        console().print(
            f"done: {sum(done.horizons.values()):,} of {planned.observations:,} horizons{diverged}; "
            f"left: {done.left_flops:.2e} FLOPs, about {duration(done.left_seconds)}",
            soft_wrap=True,
        )


def totals(planned: Plan) -> None:
    """The plan in two sentences, and what a person should know about it."""
    out = console()
    sizes = len({one.model.width for one in planned.trajectories})
    check = "" if not planned.expected_check else f", then the check about {duration(planned.expected_check_seconds)}"
    out.print(
        f"plan: {len(planned.trajectories)} trajectories of {sizes} sizes, {planned.observations} horizons"
        f"{_budgets(planned)}, {planned.flops:.2e} FLOPs; on {planned.processes} processes "
        f"about {duration(planned.expected_seconds)} at {planned.study.engine.expected_flops_per_second:.0e} FLOP/s "
        f"each{check}{_disk(planned)}{_cost(planned)}"
    )
    for note in planned.notes:
        out.print(f"note: {escape(note)}")


def skipped(found: Sequence[Skipped]) -> None:
    """How many cells are left out for each reason, and which."""
    for because, many in Counter(one.because for one in found).items():
        own = [_values(one) for one in found if one.because == because]
        names = dict.fromkeys(name for values in own for name in values)
        where = "; ".join(f"{name} {_common([values.get(name) for values in own])}" for name in names)
        cells = "1 cell" if many == 1 else f"{many:,} cells"
        console().print(escape(f"skipped: {cells}, because: {because} ({where})"), soft_wrap=True)


def _values(one: Skipped) -> dict[str, Any]:
    """What varies, by the width that a size came to."""
    return {"width": one.width} | {name: value for name, value in one.cell.values.items() if name != "params"}


def _common(values: Sequence[object]) -> str:
    """A few values in full, of more the range."""
    distinct = list(dict.fromkeys(map(_text, values)))
    if len(distinct) <= MOST_VALUES:
        return ", ".join(distinct)
    numbers = [value for value in values if isinstance(value, int | float)]
    if len(numbers) < len(values):
        return f"{len(distinct)} values"
    return f"{shown(min(numbers))} to {shown(max(numbers))}"


def _text(value: object) -> str:
    return "none" if value is None else shown(value)


def _budgets(planned: Plan) -> str:
    return f" at {len(planned.study.sweep.budgets)} budgets" if planned.study.sweep.design == "isoflop" else ""


def _disk(planned: Plan) -> str:
    if planned.study.command is not None:
        return ""
    return (
        f"; checkpoints take up to {plan_checkpoint_bytes(planned) / 1e6:.0f} MB, "
        f"kept models {plan_model_bytes(planned) / 1e6:.0f} MB"
    )


def _cost(planned: Plan) -> str:
    price = planned.study.engine.price_per_device_hour
    if price is None:
        return ""
    hours = device_hours(planned)
    return f"; about {hours:.3g} device hours, that is {hours * price:,.2f} at {price:g} each"


def _shapes(rows: Sequence[ShapeRow]) -> None:
    drawn = Table(box=None, pad_edge=False, header_style="bold")
    names = ["shape", "N", "trajectories", "horizons", "D", "C", "steps", "expected"]
    done = any(row.done is not None for row in rows)
    for name in [*names, *(["done"] if done else [])]:
        drawn.add_column(name, justify="left" if name == "shape" else "right")
    for row in rows:
        tokens = dict.fromkeys((row.least_tokens, row.most_tokens))
        drawn.add_row(
            f"w{row.width}-l{row.layers}",
            f"{row.params:,}",
            f"{row.trajectories:,}",
            f"{row.horizons:,}",
            " to ".join(map(count, tokens)),
            f"{row.training_flops:.2e}",
            f"{row.steps:,}",
            duration(row.expected_seconds),
            *([f"{row.done:,}"] if done else []),
        )
    console().print(drawn)


def _trajectories(planned: Plan) -> None:
    """An IsoFLOP's budgets and epochs; of other designs, how each trajectory is trained."""
    isoflop = planned.study.sweep.design == "isoflop"
    own = ("N", *(() if isoflop else ("rate", "batch")), *(("budget",) if isoflop else ()), "D", "D/N", "C", "steps")
    own = (*own, "epochs") if isoflop else own
    drawn = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("trajectory", *own, "expected"):
        drawn.add_column(name, justify="left" if name == "trajectory" else "right")
    for row in planned.rows():
        for index in range(len(row.tokens)):
            first = index == 0
            once = {
                "N": f"{row.params:,}",
                "rate": f"{row.learning_rate:.3g}",
                "batch": f"{row.batch_tokens:,}",
            }
            each = {
                "budget": f"{row.budgets[index]:.1e}",
                "D": f"{row.tokens[index]:,}",
                "D/N": f"{row.tokens_per_param[index]:.0f}",
                "C": f"{row.flops[index]:.2e}",
                "steps": f"{row.steps[index]:,}",
                "epochs": f"{row.epochs[index]:.2f}",
            }
            told = each | (once if first else dict.fromkeys(once, ""))
            drawn.add_row(
                row.id if first else "",
                *(told[name] for name in own),
                duration(row.expected_seconds) if first else "",
            )
    console().print(drawn)
