"""How large a batch is, step by step: the same throughout, or growing with the tokens seen.

It never depends on how long the run will be, so that a trunk can be extended and what it did stays true.
"""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

from scaling.config import Part


class BatchStage(Part):
    """From optimiser step `step` on, a batch has `sequences` sequences."""

    step: int
    sequences: int


@dataclass(frozen=True)
class BatchSizes:
    """Sequences a batch, first `sequences`, then as `stages` (ascending) say."""

    sequences: int
    stages: tuple[BatchStage, ...] = ()

    def at(self, step: int) -> int:
        """Sequences of batch number `step`, counted from 0."""
        return self._pieces[self._piece(step)][1]

    def before(self, step: int) -> int:
        """Sequences of all batches before `step`."""
        if not self.stages:
            return step * self.sequences
        start, size, seen = self._pieces[self._piece(step)]
        return seen + (step - start) * size

    def steps(self, sequences: Fraction | int) -> Fraction:
        """Steps that it takes to see so many: the inverse of `before`, linear between whole steps."""
        if not self.stages:
            return Fraction(sequences.numerator, sequences.denominator * self.sequences)
        start, size, seen = next(piece for piece in reversed(self._pieces) if piece[2] <= max(sequences, 0))
        return start + (Fraction(sequences) - seen) / size

    def same_until(self, step: int) -> int | None:
        """The first step after `step` whose batch has another size; None where there is none."""
        return next((stage.step for stage in self.stages if stage.step > step), None)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Every size that occurs, in order."""
        return (self.sequences, *(stage.sequences for stage in self.stages))

    @property
    def _pieces(self) -> list[tuple[int, int, int]]:
        """(first step, sequences a batch, sequences before it) of each stretch of one size."""
        pieces = [(0, self.sequences, 0)]
        for stage in self.stages:
            start, size, seen = pieces[-1]
            pieces.append((stage.step, stage.sequences, seen + (stage.step - start) * size))
        return pieces

    def _piece(self, step: int) -> int:
        return bisect_right([stage.step for stage in self.stages], step)


def ramp(sequences: int, grown: Iterable[tuple[Fraction, int]]) -> tuple[BatchStage, ...]:
    """The stages of batches of `sequences` that have another size from so many sequences seen on: (seen, size) pairs,
    ascending. A stage begins with the first batch before which so many were seen."""
    sizes = BatchSizes(sequences)
    for seen, size in grown:
        steps = sizes.steps(seen)
        start = -(-steps.numerator // steps.denominator)
        kept = tuple(stage for stage in sizes.stages if stage.step < start)
        same = size == BatchSizes(sequences, kept).at(start)
        sizes = BatchSizes(sequences, kept if same else (*kept, BatchStage(step=start, sequences=size)))
    return sizes.stages
