"""The chart of a tuned ladder's bowls: the loss against the learning rate, and where the law of them stands."""

import numpy as np

from scaling.laws import number
from scaling.reporting.charts import ACCENT, Chart, Series, shades
from scaling.reporting.contents import Bowl, Contents

KEY = "bowls"


def bowls(contents: Contents) -> list[Chart]:
    """One chart, with a line a bowl; none where nothing was tuned."""
    found = [one for one in contents.bowls if one.learning_rates]
    if not found:
        return []
    series: list[Series] = []
    for one, colour in zip(found, shades(len(found)), strict=True):
        rates, losses = np.array(one.learning_rates), np.array(one.losses)
        hover = tuple(f"{_name(one)}<br>rate {number(x)}, loss {y:.4f}" for x, y in zip(rates, losses, strict=True))
        series.append(Series("line", rates, losses, colour, _name(one), dashed=one.held, width=1.2))
        series.append(Series("points", rates, losses, colour, size=5, hover=hover))
    marked = [(one, one.chosen) for one in found if one.chosen is not None]
    if marked:
        x = np.array([rate for _, rate in marked])
        y = np.array([_height(one, rate) for one, rate in marked])
        hover = tuple(f"{_name(one)}<br>the law's rate {number(rate)}" for one, rate in marked)
        series.append(Series("points", x, y, ACCENT, "the law's rate", symbol="star", size=10, hover=hover))
    return [
        Chart(
            KEY,
            "Bowls",
            "Held-out loss of each cell at each learning rate, and the rate that the law of the best rates gives it. "
            "That law has not seen the held-out cells (dashed).",
            "learning rate",
            "loss (nats a token)",
            tuple(series),
            y_log=True,
        )
    ]


def _name(one: Bowl) -> str:
    batch = f", batch {one.batch_tokens:,}" if one.several else ""
    return f"N {number(one.params)}, D {number(one.tokens)}{batch}{' (held out)' if one.held else ''}"


def _height(one: Bowl, rate: float) -> float:
    """Of the bowl's line at `rate`; level beyond its ends."""
    return float(np.exp(np.interp(np.log(rate), np.log(one.learning_rates), np.log(one.losses))))
