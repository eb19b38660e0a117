"""The sweep of a study: one of the designs, isoflop where none is named."""

import difflib
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from scaling.config.isoflop import IsoflopConfig
from scaling.config.ladders import BowlsConfig, ChinchillaConfig, LadderConfig, OvertrainingConfig
from scaling.config.part import Part
from scaling.config.spaces import GridConfig, ListConfig, QuasirandomConfig, RandomConfig

DESIGNS: dict[str, type[Part]] = {
    "isoflop": IsoflopConfig,
    "ladder": LadderConfig,
    "chinchilla": ChinchillaConfig,
    "overtraining": OvertrainingConfig,
    "grid": GridConfig,
    "random": RandomConfig,
    "quasirandom": QuasirandomConfig,
    "bowls": BowlsConfig,
    "list": ListConfig,
}


def _named(value: Any) -> Any:
    """A validator: the design by its name, isoflop where there is none."""
    if not isinstance(value, Mapping):
        return value
    design = value.get("design", "isoflop")
    if design not in DESIGNS:
        close = difflib.get_close_matches(str(design), DESIGNS, n=1, cutoff=0.5)
        hint = f"did you mean {close[0]}?" if close else f"designs: {', '.join(DESIGNS)}"
        raise ValueError(f"design is {design!r}; {hint}")
    return {**value, "design": design}


SweepConfig = Annotated[
    Annotated[
        IsoflopConfig
        | LadderConfig
        | ChinchillaConfig
        | OvertrainingConfig
        | GridConfig
        | RandomConfig
        | QuasirandomConfig
        | BowlsConfig
        | ListConfig,
        Field(discriminator="design"),
    ],
    BeforeValidator(_named),
]
