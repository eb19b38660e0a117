"""How a sweep deals with jobs that are lost."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Rules:
    """Tries, and the pauses between them."""

    retries: int = 5
    """How often a job that was lost from outside is started again before it has got any further."""
    backoff_seconds: float = 1.0
    """Pause before the first of those; each is twice the one before."""
    most_seconds: float = 60.0
    """The longest pause."""

    def pause(self, tries: int) -> float:
        """Before the next start, after `tries` that got no further."""
        return min(self.most_seconds, self.backoff_seconds * 2.0 ** (tries - 1)) if tries else 0.0


USUAL = Rules()
