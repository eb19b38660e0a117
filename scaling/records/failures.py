"""Jobs that failed, as they are kept beside their files until they are started again: jobs/<name>.failure.json."""

from typing import Literal

from scaling.config import Part


class Cancelled(RuntimeError):
    """Somebody asked every sweep of the run directory to end."""


class Failure(Part):
    """Why a job ended without its results."""

    job: str
    cause: Literal["yours", "outside"]
    """yours: it would fail again as it is. outside: a kill, a lost node, a device or file server that was gone."""
    message: str
    """What happened, the log's last lines and the command that runs the job alone."""
    attempts: int
    at: str
    """UTC."""
