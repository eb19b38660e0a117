"""The verb `profile`: what the rows say of one parameter alone, as a table, as JSON and as a figure."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.markup import escape
from rich.table import Table

from scaling.config import StudyError
from scaling.laws import LawForm, number, profiling
from scaling.laws.errors import nearest
from scaling.laws.forms import form_named
from scaling.laws.plots import BLUE, GREY, RED, STYLE
from scaling.studies import cells, figures, replies
from scaling.studies.reduction import Sweep
from scaling.studies.sources import source_of
from scaling.studies.terminal import console

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDE = 30.0
"""Values that span more than this factor are drawn along a logarithmic axis."""
ABOVE = 4.0
"""How far up a profile is drawn, in heights of its threshold."""


def profile(
    path: Path,
    form: str,
    options: Mapping[str, Any],
    parameters: Sequence[str] | None,
    settings: Mapping[str, Any],
    *,
    sweep: Sweep | None,
    plot: Path | None,
    as_json: bool,
) -> int:
    """Print the profile of each of `parameters` (all that are free when None)."""
    law = form_named(form, options)
    names = _checked(law, parameters, settings)
    source = source_of(path, settings["columns"], sweep, [law])
    told = source.asked(settings)
    source.warn_of_tuning("profiles")
    found = [profiling.profile(source.table, form, name, **told, **options) for name in names]
    if plot is not None:
        figures.write(draw(found), plot)
    if as_json:
        record = {} if source.cells is None else {"best_over": source.cells.record()}
        plain = {"form": form, "profiles": {one.parameter: _plain(one.as_json()) for one in found}, **record}
        print(json.dumps(plain, indent=2))
        return 0
    if source.cells is not None:
        cells.show(source.cells)
    out = console()
    out.print(f"[bold]{escape(form)}[/] {escape(law.text)}")
    out.print(_drawn(found))
    out.print(f"threshold of the {found[0].interval.level:.0%} intervals: {_calibrations(found)}")
    # What is found of the whole fit, as a better optimum, need not be said of every parameter.
    replies.findings([item for one in found for item in one.diagnostics])
    if plot is not None:
        print(f"written to {plot}")
    return 0


def draw(found: Sequence[profiling.Profile]) -> "Figure":
    """Each profile: how far the objective rises above its least, with the interval and the threshold that gives it."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    across = min(len(found), 3)
    down = -(-len(found) // across)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(3.4 * across + 0.4, 2.9 * down + 0.3), dpi=150, layout="constrained")
        axes = list(figure.subplots(down, across, squeeze=False).ravel())
        for spare in axes[len(found) :]:
            spare.remove()
        for axis, one in zip(axes, found, strict=False):
            least = max(float(one.objective.min()), 1e-300)
            rise, top = 100 * (one.objective / least - 1), 100 * (one.threshold / least - 1)
            axis.axvspan(one.interval.low, one.interval.high, color=GREY, alpha=0.13, lw=0)
            axis.axhline(top, color=RED, lw=1.0, ls=(0, (4, 2)), label=f"{one.interval.level:.0%}")
            axis.plot(one.values, rise, color=BLUE, lw=1.6)
            axis.plot(
                [x.value for x in one.minima],
                [100 * (x.objective / least - 1) for x in one.minima],
                "o",
                ms=3.5,
                color=BLUE,
            )
            shown = one.values[rise <= ABOVE * top]
            if shown.min() > 0 and shown.max() / shown.min() > WIDE:
                axis.set_xscale("log")
            if np.ptp(shown) > 0:
                axis.set_xlim(shown.min(), shown.max())
            axis.set_ylim(-0.05 * ABOVE * top, ABOVE * top)
            axis.set(xlabel=one.parameter, ylabel="objective above its least (%)")
            axis.legend(loc="upper center")
    return figure


def _checked(law: LawForm, parameters: Sequence[str] | None, settings: Mapping[str, Any]) -> list[str]:
    held = {**settings.get("pin", {}), **settings.get("tie", {})}
    free = [name for name in law.names if name not in held]
    for name in parameters or ():
        if name not in law.names:
            raise StudyError(
                f"--parameter names {name!r}; form {law.name} has {', '.join(law.names)}{nearest(name, law.names)}"
            )
        if name in held:
            how = "--pin" if name in settings.get("pin", {}) else "--tie"
            raise StudyError(f"--parameter names {name}, which {how} holds: only a free one has a profile")
    return list(dict.fromkeys(parameters or free))


def _drawn(found: Sequence[profiling.Profile]) -> Table:
    drawn = Table(box=None, pad_edge=False, header_style="bold")
    for head in ("parameter", "best", "interval", "below", "above", "minima (objective)"):
        drawn.add_column(head, justify="right" if head == "best" else "left")
    for one in found:
        pieces = " or ".join(f"[{number(part.low)}, {number(part.high)}]" for part in one.parts)
        minima = ", ".join(f"{number(each.value)} ({each.objective:.5g})" for each in one.minima[:4])
        drawn.add_row(one.parameter, number(one.estimate), escape(pieces), one.low, one.high, minima)
    return drawn


def _calibrations(found: Sequence[profiling.Profile]) -> str:
    return ", ".join(dict.fromkeys(one.calibration for one in found))


def _plain(value: Any) -> Any:
    """`value` with what is no finite number as None."""
    if isinstance(value, Mapping):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
