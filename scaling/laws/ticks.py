"""Words and round numbers on a figure's axes. matplotlib is imported when one is drawn."""

from typing import TYPE_CHECKING, Literal

import numpy as np

from scaling.laws.forms import Floats
from scaling.laws.surface import PLANE
from scaling.laws.values import count

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COUNTED = (*PLANE, "unique_tokens")
"""Inputs whose ticks are written as 1B or 30k."""
NARROW = 12.0
"""Below this factor from end to end a logarithmic axis has evenly spaced round ticks."""
WORDS = {
    "params": "parameters N",
    "tokens": "tokens D",
    "flops": "training compute C (FLOPs)",
    "tokens_per_param": "tokens per parameter D/N",
    "unique_tokens": "unique tokens U",
}


def words(name: str) -> str:
    return WORDS.get(name, name.replace("_", " "))


def round_ticks(axes: "Axes", which: Literal["x", "y"], values: Floats, name: str) -> None:
    """A logarithmic axis over `values` whose ticks are round numbers; left linear where the values pass through 0."""
    from matplotlib import ticker

    values = values[np.isfinite(values)]
    if not len(values) or values.min() <= 0:
        return
    low, high = float(values.min()), float(values.max())
    room = np.exp(0.04 * max(np.log(high / low), 0.02))
    low, high = low / room, high * room
    axes.set(**{f"{which}scale": "log", f"{which}lim": (low, high)})
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_minor_formatter(ticker.NullFormatter())
    axis.set_major_formatter(ticker.FuncFormatter(lambda value, _: _tick(value, name)))
    if name == "flops" and NARROW / 3 < high / low < NARROW:
        # Labels of FLOPs are wide: evenly spaced in the logarithm they do not lie on each other.
        axis.set_major_locator(ticker.LogLocator(subs=(1.0, 2.0, 5.0), numticks=7))
    elif high / low < NARROW:
        bins = 3 if name == "flops" else 8
        ticks = ticker.MaxNLocator(bins, steps=[1, 2, 5, 10]).tick_values(low, high)
        axis.set_major_locator(ticker.FixedLocator([float(tick) for tick in ticks if low <= tick <= high]))
        axis.set_minor_locator(ticker.NullLocator())
    else:
        subs = (1.0, 3.0) if high / low < 10 * NARROW else (1.0,)
        axis.set_major_locator(ticker.LogLocator(subs=subs, numticks=7))


def _tick(value: float, name: str) -> str:
    """1B for sizes and tokens, a power of ten for FLOPs, the number itself for a loss."""
    if name != "flops":
        return count(value) if name in COUNTED or value >= 1e4 else f"{value:.4g}"
    exponent = int(np.floor(np.log10(value) + 1e-9))
    times = value / 10.0**exponent
    return f"$10^{{{exponent}}}$" if abs(times - 1) < 1e-6 else rf"${times:.3g}\times10^{{{exponent}}}$"
