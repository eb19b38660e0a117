"""What is known of a study's text before anything is trained on it."""

from scaling.config import Part


class KnownEntropy(Part):
    """The entropy of a synthetic source, and what the source itself loses on the study's held-out text."""

    source: str
    """data.corpus."""
    rate: float
    """Nats a token given all that came before: exact."""
    sequence_length: int
    """Tokens of a window, whose first ones are predicted from a short context."""
    loss: float
    """Nats a token that the source loses on the held-out text in those windows: what E can at best be there."""
    loss_se: float
    """Standard error over documents: of this text as a sample of the source, not of E against it."""
    fingerprint: str
    """Of the tokens."""
