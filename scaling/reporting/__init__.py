"""The report of a run: charts as SVG, PNG and one self-contained HTML page. What draws them loads when it is used."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scaling.reporting.contents import Answer, Bowl, Contents, LossCurve
    from scaling.reporting.page import write_report
    from scaling.reporting.stamp import PAGE, made_from

__all__ = ["PAGE", "Answer", "Bowl", "Contents", "LossCurve", "made_from", "write_report"]
_HOMES = {
    "contents": ("Answer", "Bowl", "Contents", "LossCurve"),
    "page": ("write_report",),
    "stamp": ("PAGE", "made_from"),
}


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(f"scaling.reporting.{home}"), name)
    raise AttributeError(f"module 'scaling.reporting' has no attribute {name!r}; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return list(__all__)
