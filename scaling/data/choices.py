"""Questions with choices, as tokens, and as batches of the shape that held-out text has.

A choice's sequence is an end of document, then the prompt and the choice as one text, nothing put between them. What
is scored are the tokens behind those that the prompt alone begins with. R rows of L + 1 tokens, B a batch; Q
questions, C choices of all of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from scaling.data.held_out import ratio
from scaling.data.questions import Question
from scaling.data.tokenizers import TokenArray, Tokenizer
from scaling.records import ChoiceScore

TIE = 1e-6
"""Choices whose scores differ by a smaller share are equally likely: the rounding of a float32 sum."""


@dataclass(frozen=True, eq=False)
class Choices:
    """Every choice of every question after its prompt, as tokens."""

    tokens: TokenArray
    """[all tokens]: the sequences one after another, each with an end of document before it."""
    offsets: NDArray[np.int64]
    """[C + 1]: choice c is tokens[offsets[c]:offsets[c + 1]]."""
    answers: NDArray[np.int64]
    """[C] place in its sequence from which on tokens are scored, at least 1."""
    choice_bytes: NDArray[np.int64]
    """[C] UTF-8 bytes of the choice."""
    questions: NDArray[np.int64]
    """[Q + 1]: question q has the choices questions[q] to questions[q + 1] - 1."""
    right: NDArray[np.int64]
    """[Q] which of all choices is right."""


def tokenize(questions: Sequence[Question], tokenizer: Tokenizer) -> Choices:
    """Prompt and choice are encoded as one text. What the two have in common with the prompt alone is context, and what
    follows is scored, so that a token which spans both is the choice's."""
    sequences, answers, sizes, starts, right = [], [], [], [0], []
    end = np.array([tokenizer.end_of_document])
    for question in questions:
        prompt = np.asarray(tokenizer.encode(question.prompt), np.int64)
        right.append(starts[-1] + question.right)
        starts.append(starts[-1] + len(question.choices))
        for choice in question.choices:
            both = np.asarray(tokenizer.encode(question.prompt + choice), np.int64)
            least = min(len(prompt), len(both) - 1)
            different = np.flatnonzero(prompt[:least] != both[:least])
            sequences.append(np.concatenate([end, both]))
            answers.append(1 + int(different[0] if different.size else least))
            sizes.append(len(choice.encode("utf-8")))
    offsets = np.concatenate([[0], np.cumsum([len(one) for one in sequences])])
    kind = np.uint16 if tokenizer.vocabulary <= 2**16 else np.uint32
    given = (np.array(one, np.int64) for one in (offsets, answers, sizes, starts, right))
    return Choices(np.concatenate(sequences).astype(kind), *given)


class ChoiceBatches:
    """All choices as fixed-shape batches, the same shape as held-out text has.

    A sequence that is longer than a window loses the beginning of its prompt. A choice that is longer than a window is
    read in several, from its end on, as text is.
    """

    def __init__(self, choices: Choices, sequences: int, sequence_length: int, normalize: Literal["bytes", "none"]):
        """Rows of `sequence_length` = L targets, `sequences` = B of them a batch."""
        self._choices, self._normalize = choices, normalize
        rows, owners = [], []
        self._cut: set[int] = set()
        self._split: set[int] = set()
        question_of = np.repeat(np.arange(len(choices.right)), np.diff(choices.questions))
        for choice, answer in enumerate(choices.answers):
            sequence = choices.tokens[choices.offsets[choice] : choices.offsets[choice + 1]]
            last = len(sequence)
            if last - answer > sequence_length:
                self._split.add(int(question_of[choice]))
            elif last - 1 > sequence_length:
                self._cut.add(int(question_of[choice]))
            while last > answer:
                first = max(0, last - 1 - sequence_length)
                scored = max(int(answer), first + 1)
                rows.append((sequence[first:last], scored - first - 1))
                owners.append(choice)
                last = scored
        batches = -(-len(rows) // sequences)
        self.tokens: NDArray[np.int32] = np.zeros((batches, sequences, sequence_length + 1), np.int32)
        """[M, B, L + 1], zeros behind each sequence."""
        self.mask: NDArray[np.float32] = np.zeros((batches, sequences, sequence_length), np.float32)
        """[M, B, L]: 1 where the target is a choice's token."""
        self._owners = np.array(owners)
        for (own, scored), tokens, mask in zip(rows, _rows(self.tokens), _rows(self.mask), strict=False):
            tokens[: len(own)] = own
            mask[scored : len(own) - 1] = 1

    def choice_nats(self, nats: NDArray[np.floating]) -> NDArray[np.float64]:
        """[C] -ln p(choice | prompt), from losses [M, B, L]."""
        of_rows = np.where(self.mask > 0, nats, 0).astype(np.float64).sum(axis=-1).reshape(-1)[: len(self._owners)]
        found = np.bincount(self._owners, weights=of_rows, minlength=len(self._choices.answers))
        return found.astype(np.float64)

    def score(self, nats: NDArray[np.floating]) -> ChoiceScore:
        """Bits per byte, likelihood and accuracy, from losses [M, B, L].

        s_c = -ln p(c) / bytes(c), or -ln p(c) without normalisation
        likelihood = exp(-s_right) / sum_c exp(-s_c)        accuracy = share of questions with s_right the least
        """
        found, starts = self._choices, self._choices.questions[:-1]
        counts = np.diff(found.questions)
        total = self.choice_nats(nats)
        per_byte = total / found.choice_bytes
        likeness = -(per_byte if self._normalize == "bytes" else total)
        best = np.maximum.reduceat(likeness, starts)
        odds = np.exp(likeness - np.repeat(best, counts))
        likelihood = odds[found.right] / np.add.reduceat(odds, starts)
        among_best = likeness >= np.repeat(best - TIE * np.abs(best), counts)
        accuracy = among_best[found.right] / np.add.reduceat(among_best.astype(np.int64), starts)
        each = np.ones(len(counts), np.int64)
        bits, share, right = (
            ratio(values, each) for values in (per_byte[found.right] / np.log(2), likelihood, accuracy)
        )
        return ChoiceScore(
            bits_per_byte=bits.mean,
            bits_per_byte_se=bits.standard_error,
            likelihood=share.mean,
            likelihood_se=share.standard_error,
            accuracy=right.mean,
            accuracy_se=right.standard_error,
            chance=float(np.mean(1 / counts)),
            cut=len(self._cut),
            split=len(self._split),
        )


def _rows(array: NDArray[Any]) -> NDArray[Any]:
    return array.reshape(-1, array.shape[-1])
