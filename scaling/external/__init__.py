"""Training by a command of the user's own: a task file in, result files out. No JAX."""

from scaling.external.job import TrainerError, run
from scaling.external.process import Signalled

__all__ = ["Signalled", "TrainerError", "run"]
