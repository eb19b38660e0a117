"""Job files, as an engine's processes and later sweeps read them."""

from pathlib import Path

from pydantic import ValidationError

from scaling.config import explain
from scaling.records.atomic import RecordError, read_json
from scaling.records.schema import Job


def read_job(path: Path) -> Job:
    """The job in `path`; RecordError says what is wrong with it, field by field."""
    try:
        return Job.model_validate(read_json(path))
    except ValidationError as error:
        raise RecordError(f"{path}: {explain(error, Job)}") from None
