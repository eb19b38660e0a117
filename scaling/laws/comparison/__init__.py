"""Two arms (optimisers, architectures, data sets) compared: which is better, by how much compute, how sure."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scaling.laws.comparison.comparing import compare
    from scaling.laws.comparison.detection import Power, power
    from scaling.laws.comparison.results import Comparison, Crossing, NullTest

__all__ = ["Comparison", "Crossing", "NullTest", "Power", "compare", "power"]
_HOMES = {"comparing": ("compare",), "detection": ("Power", "power"), "results": ("Comparison", "Crossing", "NullTest")}


def __getattr__(name: str) -> Any:
    # Lazily, so that reading a law whose form lives here needs no JAX.
    for home, names in _HOMES.items():
        if name in names:
            found = getattr(importlib.import_module(f"{__name__}.{home}"), name)
            globals()[name] = found
            return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")
