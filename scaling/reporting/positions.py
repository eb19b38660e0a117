"""Charts of the loss by position in the window: what more context is worth."""

import numpy as np

from scaling.records import PositionLoss, TextScore
from scaling.reporting import measured
from scaling.reporting.charts import Chart, Series, shades
from scaling.reporting.contents import Contents

KEY = "positions"


def positions(contents: Contents) -> list[Chart]:
    """A chart for the study's own held-out text, and one for each named set of text; none where nothing is known."""
    rows = contents.fitted
    own = {row.params: row.by_position for row in measured.largest(rows) if row.by_position}
    drawn = [_chart(KEY, "Loss by position", "the study's own held-out text", own)] if own else []
    for name in measured.set_names(rows):
        scores = {row.params: row.sets[name] for row in measured.largest(rows, name)}
        found = {size: score.by_position for size, score in scores.items() if isinstance(score, TextScore)}
        if found:
            drawn.append(_chart(f"{KEY}_{name}", f"Loss by position: {name}", f"the set {name}", found))
    return drawn


def _chart(key: str, title: str, text: str, found: dict[int, tuple[PositionLoss, ...]]) -> Chart:
    series: list[Series] = []
    for (size, losses), colour in zip(found.items(), shades(len(found)), strict=True):
        x = np.sqrt([one.first * one.last for one in losses])
        loss, error = (np.array([getattr(one, name) for one in losses]) for name in ("loss", "loss_se"))
        series.append(Series("band", x, loss - error, colour, upper=loss + error))
        series.append(Series("line", x, loss, colour, f"N = {size:,}"))
        series.append(Series("points", x, loss, colour, size=4, hover=tuple(map(_said, losses))))
    return Chart(
        key,
        title,
        f"Loss on {text} by place in the window: with 1, 2, 3 to 4, 5 to 8, ... tokens of context. Of each size the "
        "model of the most tokens; bands are one standard error over documents.",
        "tokens of context",
        "loss (nats a token)",
        tuple(series),
    )


def _said(one: PositionLoss) -> str:
    places = f"{one.first}" if one.first == one.last else f"{one.first} to {one.last}"
    return f"place {places}<br>loss {one.loss:.4f} ± {one.loss_se:.4f}"
