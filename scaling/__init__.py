"""A laboratory for scaling laws: plan, train, fit and predict, with honest intervals."""

import importlib
from typing import Any

__version__ = "0.1.0"
__all__ = ["accounting", "config", "laws", "records"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return importlib.import_module(f"scaling.{name}")
    raise AttributeError(f"module 'scaling' has no attribute {name!r}; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
