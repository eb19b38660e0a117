"""What was measured on named sets, as rows that the terminal and the page show."""

from collections.abc import Sequence

from scaling.records import ChoiceScore, Observation, TextScore

OWN = "the study's own held-out text"
TEXT = ("trajectory", "N", "D", "loss", "bits per byte")
CHOICES = ("trajectory", "N", "D", "bits per byte", "likelihood", "accuracy")


def set_names(rows: Sequence[Observation]) -> list[str]:
    """Every set that some row was measured on."""
    return list(dict.fromkeys(name for row in rows for name in row.sets))


def largest(rows: Sequence[Observation], name: str | None = None) -> list[Observation]:
    """Of each size, the row (measured on `name`) with the most tokens; of several seeds the first."""
    best: dict[int, Observation] = {}
    for row in sorted(rows, key=lambda row: (row.params, -row.tokens, row.seed)):
        if name is None or name in row.sets:
            best.setdefault(row.params, row)
    return list(best.values())


def own_table(rows: Sequence[Observation]) -> tuple[Sequence[str], list[tuple[str, ...]]]:
    """(heads, cells) of `rows` on the study's own held-out text."""
    return TEXT, [(*_model(row), _both(row.loss, row.loss_se), _bits(row)) for row in rows]


def table(rows: Sequence[Observation], name: str) -> tuple[Sequence[str], list[tuple[str, ...]]]:
    """(heads, cells) of `rows` measured on `name`."""
    there = [row for row in rows if name in row.sets]
    text = there and isinstance(there[0].sets[name], TextScore)
    return (TEXT if text else CHOICES), [(*_model(row), *_values(row.sets[name])) for row in there]


def chance(rows: Sequence[Observation], name: str) -> str:
    """What a guess would get, and what did not fit; empty for text."""
    score = next((row.sets[name] for row in rows if name in row.sets), None)
    if not isinstance(score, ChoiceScore):
        return ""
    said = f"chance {score.chance:.1%}"
    if score.cut:
        said += f"; the prompts of {score.cut:,} questions are longer than the context and were cut from the left"
    if score.split:
        said += f"; {score.split:,} questions have choices longer than the context, read in several windows"
    return said


def _model(row: Observation) -> tuple[str, str, str]:
    return row.trajectory, f"{row.params:,}", f"{row.tokens:,}"


def _bits(row: Observation) -> str:
    """Nothing where the text is not known, no error in records of before it was measured."""
    if row.bits_per_byte is None:
        return ""
    return _both(row.bits_per_byte, row.bits_per_byte_se)


def _values(score: TextScore | ChoiceScore) -> tuple[str, ...]:
    if isinstance(score, TextScore):
        return (_both(score.loss, score.loss_se), _both(score.bits_per_byte, score.bits_per_byte_se))
    return (
        _both(score.bits_per_byte, score.bits_per_byte_se),
        _both(score.likelihood, score.likelihood_se),
        f"{score.accuracy:.1%} ± {score.accuracy_se:.1%}",
    )


def _both(value: float, error: float | None) -> str:
    return f"{value:.4f}" if error is None else f"{value:.4f} ± {error:.4f}"
