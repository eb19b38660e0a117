"""Held-out batches: fixed shapes, every held-out token once, and a mean with its error by document. No Grain.

M batches of B sequences, L sequence length, J documents.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scaling.config import StudyError
from scaling.data.tokenizers import TokenArray
from scaling.records import PositionLoss


@dataclass(frozen=True, eq=False)
class HeldOut:
    """What a model says of every held-out token but the stream's first, in the stream's order."""

    losses: NDArray[np.float64]
    """[targets] -ln p(target), in nats."""
    targets: NDArray[np.int32]
    """[targets] token ids."""
    documents: NDArray[np.int32]
    """[targets] number of the document that each target belongs to, from 0."""


@dataclass(frozen=True)
class Scored:
    """A mean over all held-out tokens, in nats a token, and its standard error clustered by document."""

    mean: float
    standard_error: float


class EvaluationBatches:
    """All held-out tokens as fixed-shape batches: each but the stream's first is a target exactly once.

    Windows are contiguous and run over document ends, as in training: the first tokens of a window are
    predicted from a short context, those of a document from the end of the document before it.
    """

    def __init__(
        self,
        validation: TokenArray,
        validation_documents: NDArray[np.int64],
        sequences: int,
        sequence_length: int,
    ):
        """Cut the held-out stream into M batches.

        Args:
          validation: [tokens], the held-out stream.
          validation_documents: [documents + 1] offsets of the documents in it.
          sequences: B, sequences a batch.
          sequence_length: L, tokens that a sequence predicts.

        Raises:
          StudyError: there are not two tokens to evaluate on.
        """
        targets = len(validation) - 1
        if targets < 1:
            raise StudyError(f"data.validation_tokens gave {len(validation)} held-out token(s); 2 is the least")
        windows = -(-targets // sequence_length)
        batches = -(-windows // sequences)
        places_WL = np.arange(batches * sequences)[:, None] * sequence_length + np.arange(sequence_length + 1)
        real_WL = places_WL[:, 1:] <= targets
        clipped_WL = np.minimum(places_WL, targets)
        shape = (batches, sequences, -1)
        self.document_count = len(validation_documents) - 1
        self.target_count = targets
        self.tokens: NDArray[np.int32] = validation[clipped_WL].astype(np.int32).reshape(shape)
        """[M, B, L + 1]: inputs [..., :-1], targets [..., 1:]."""
        self.mask: NDArray[np.float32] = real_WL.astype(np.float32).reshape(shape)
        """[M, B, L]: 1 where the target is a held-out token, 0 for padding."""
        owner_WL = np.searchsorted(validation_documents, clipped_WL[:, 1:], side="right") - 1
        self.documents: NDArray[np.int32] = owner_WL.astype(np.int32).reshape(shape)
        """[M, B, L]: the document that each target belongs to; where mask is 0 it means nothing."""

    def __len__(self) -> int:
        return len(self.tokens)

    def held_out(self, nats: NDArray[np.floating]) -> HeldOut:
        """[M, B, L] losses without the padding."""
        real = self.mask > 0
        return HeldOut(nats[real].astype(np.float64), self.tokens[..., 1:][real], self.documents[real])

    def score(self, nats: NDArray[np.floating], documents: slice = slice(None)) -> Scored:
        """Mean of token losses and its standard error, documents being the independent units: `ratio` of each
        document's summed loss to its tokens.

        Args:
          nats: [M, B, L], the loss of each target; where mask is 0 it is ignored, NaN included.
          documents: those that count, by number; all of them.
        """
        sums, counts = self.sums(nats)
        return ratio(sums[documents], counts[documents])

    def sums(self, nats: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """([J] summed loss, [J] targets) of each document, from losses [M, B, L]."""
        return self._sums(nats, self.mask > 0)

    def bits_per_byte(self, nats: NDArray[np.floating], document_bytes: NDArray[np.int64]) -> Scored:
        """Nats of all tokens / ln 2 / bytes of the text, from losses [M, B, L] and each document's bytes [J].

        The stream's first token is no target, and is taken to cost what the others do.
        """
        sums, counts = self.sums(nats)
        bits = ratio(sums, document_bytes)
        factor = (counts.sum() + 1) / counts.sum() / np.log(2)
        return Scored(bits.mean * factor, bits.standard_error * factor)

    def by_position(self, nats: NDArray[np.floating]) -> tuple[PositionLoss, ...]:
        """Loss by place in the window: 1, 2, 3 to 4, 5 to 8, ..., so many tokens of context being at hand.

        A place that fewer than two documents have is left out: its loss would have no standard error.
        """
        length, last, found = nats.shape[-1], 0, []
        while last < length:
            first, last = last + 1, min(max(2 * last, 1), length)
            sums, counts = self._sums(nats[..., first - 1 : last], self.mask[..., first - 1 : last] > 0, first - 1)
            if np.count_nonzero(counts) > 1:
                mean = ratio(sums, counts)
                found.append(PositionLoss(first=first, last=last, loss=mean.mean, loss_se=mean.standard_error))
        return tuple(found)

    def _sums(
        self, nats: NDArray[np.floating], real: NDArray[np.bool_], first: int = 0
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        owners = self.documents[..., first : first + nats.shape[-1]][real]
        sums = np.bincount(owners, weights=nats[real].astype(np.float64), minlength=self.document_count)
        counts = np.bincount(owners, minlength=self.document_count)
        return sums.astype(np.float64), counts.astype(np.int64)


def ratio(sums: NDArray[np.float64], sizes: NDArray[np.int64]) -> Scored:
    """A ratio of sums over units that are independent, and its standard error.

        mean = sum_d s_d / sum_d n_d,   se^2 = J / (J - 1) * sum_d (s_d - mean n_d)^2 / (sum_d n_d)^2

    The linearised variance of a ratio of means, units being the sample (Cochran, Sampling Techniques, 1977, section
    2.11). Units of size 0 are none; the standard error of a single one is unknown: inf.

    Args:
      sums: [J] s_d, of each unit.
      sizes: [J] n_d.
    """
    mean = sums.sum() / sizes.sum()
    units = int(np.count_nonzero(sizes))
    if units < 2:
        return Scored(float(mean), float("inf"))
    residuals = sums - mean * sizes
    variance = units / (units - 1) * np.sum(residuals**2) / sizes.sum() ** 2
    return Scored(float(mean), float(np.sqrt(variance)))
