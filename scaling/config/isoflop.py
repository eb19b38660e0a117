"""The IsoFLOP design: at each budget, several sizes around the expected optimum."""

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from scaling.config.part import Part
from scaling.config.skip import SkipConfig


class IsoflopConfig(Part):
    """Which sizes, which budgets, which seeds."""

    design: Literal["isoflop"] = "isoflop"
    """At each budget, several sizes around the expected optimum."""
    budgets: Annotated[tuple[float, ...], Field(min_length=1)] = (3e10, 8e10, 2e11, 5e11)
    """Compute budgets in FLOPs, under accounting.flops."""
    widths: Annotated[tuple[int, ...], Field(min_length=1)] = (16, 32, 48, 64, 80, 96, 128)
    """The sizes, as widths of the family."""
    sizes_per_budget: Annotated[int, Field(ge=1)] = 5
    """Sizes trained at each budget: those nearest to expected_tokens_per_param."""
    expected_tokens_per_param: Annotated[float, Field(gt=0)] = 20.0
    """Where the optimum is expected at the smallest budget; centres the first window of sizes."""
    expected_exponent: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Expected growth of the best size with compute, N* ~ C^exponent; moves the window from budget to budget."""
    replicate_widths: tuple[int, ...] = ()
    """Sizes that are trained with several seeds, so that run-to-run noise is measured."""
    replicate_budgets: Annotated[int, Field(ge=1)] = 2
    """How many of a replicated size's lowest budgets the extra seeds cover."""
    replicate_seeds: Annotated[int, Field(ge=1)] = 3
    """Seeds at each replicated size, the first one included."""
    mixtures: tuple[dict[str, Annotated[float, Field(ge=0)]], ...] = ()
    """Other mixtures than data.mixture's own to train on too, as [{web: 1, code: 0}, ...]; a domain left out has 0. The
    study's laws do not see them: they are for the forms mixture, mixture_additive and mixture_joint."""
    mixture_widths: tuple[int, ...] = ()
    """Sizes that are trained on each of mixtures; all of widths where empty."""
    mixture_budgets: Annotated[int, Field(ge=1)] | None = None
    """How many of such a size's lowest budgets; all of them where not given."""
    skip: tuple[SkipConfig, ...] = ()
    """Cells to leave out, each with its reason."""

    @property
    def width_fields(self) -> dict[str, tuple[int, ...]]:
        """Field of the sweep -> the widths that it names."""
        return {"widths": self.widths}

    @property
    def mixture_field(self) -> str:
        return "mixtures"

    @field_validator("budgets", "widths", "replicate_widths", "mixture_widths")
    @classmethod
    def _distinct(cls, values: tuple[float, ...]) -> tuple[float, ...]:
        if any(value <= 0 for value in values):
            raise ValueError(f"is {list(values)}; every entry must be positive")
        if len(set(values)) != len(values):
            raise ValueError(f"is {list(values)}; an entry appears twice")
        return tuple(sorted(values))

    @model_validator(mode="after")
    def _enough(self) -> "IsoflopConfig":
        if len(self.widths) < 2:
            raise ValueError(
                f"widths is {list(self.widths)}: a design with a single size cannot show how loss depends "
                "on size; give at least 2 (7 or more for intervals worth trusting)"
            )
        for name in ("replicate_widths", "mixture_widths"):
            unknown = sorted(set(getattr(self, name)) - set(self.widths))
            if unknown:
                raise ValueError(f"{name} has {unknown}, not among widths {list(self.widths)}")
        return self
