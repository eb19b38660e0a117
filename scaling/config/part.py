"""What every part of a configuration is made of."""

from pydantic import BaseModel, ConfigDict


class Part(BaseModel):
    """Frozen plain data; a field that is not known is an error."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, validate_default=True, allow_inf_nan=False
    )
