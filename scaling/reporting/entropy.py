"""A fitted E beside the entropy that the text is known to have."""

from scaling.laws import LawFit, number
from scaling.records import KnownEntropy


def rows(known: KnownEntropy, law: LawFit) -> list[tuple[str, str, str]]:
    """(who, nats a token, how far E lies from it): the truth in two ways, then the fitted E."""
    fitted, interval = law.params["E"], law.intervals.get("E")
    between = f" [{number(interval.low)}, {number(interval.high)}]" if interval else ""
    return [
        ("entropy rate, all context", f"{known.rate:.4f} (exact)", f"{fitted / known.rate - 1:+.2%}"),
        (
            f"the source itself, windows of {known.sequence_length}",
            f"{known.loss:.4f} on the held-out text",
            f"{fitted / known.loss - 1:+.2%}",
        ),
        ("fitted E", f"{fitted:.4f}{between}", ""),
    ]


def verdict(known: KnownEntropy, law: LawFit) -> str:
    """Whether E's interval holds what the source itself loses: the least that any model can expect to lose there."""
    interval = law.intervals.get("E")
    if interval is None:
        return "E was held, not fitted: nothing is compared."
    inside = interval.low <= known.loss <= interval.high
    said = "inside" if inside else "OUTSIDE"
    return (
        f"What the source itself loses lies {said} E's {law.level:.0%} interval. Given all context it would lose the "
        "rate; in a window the first tokens lack what came before. As a sample of the source, the held-out text has "
        f"a standard error of {known.loss_se:.4f}."
    )
