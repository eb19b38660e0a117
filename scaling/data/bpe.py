"""A byte-level BPE of the study's own training documents, by the `tokenizers` library: every text comes back."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from scaling.config import DataConfig, StudyError
from scaling.data.pool import Pool
from scaling.data.scanning import Scan
from scaling.data.splitting import TRAINS
from scaling.data.tokenizers import SubwordTokenizer, bpe_tokenizer
from scaling.data.units import Unit

END = "<|endoftext|>"


def train_bpe(
    config: DataConfig,
    corpora: Sequence[tuple[DataConfig, Scan, NDArray[np.int8], float]],
    pool: Pool,
) -> SubwordTokenizer:
    """Train on documents that train. The same text gives the same tokeniser.

    Args:
      corpora: (its settings, its scan, the fate of its documents, its share of bpe.training_bytes) of each domain.

    Raises:
      StudyError: the text has too few merges for bpe.vocabulary.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    wanted = config.bpe.vocabulary
    trainer = trainers.BpeTrainer(vocab_size=wanted - 1, initial_alphabet=alphabet, show_progress=False)
    made.train_from_iterator(_texts(config, corpora, pool), trainer)
    made.add_special_tokens([END])
    reached = made.get_vocab_size()
    if reached != wanted:
        raise StudyError(
            f"data.bpe.vocabulary is {wanted}, but the training text has merges for {reached} tokens only; "
            f"use at most {reached}, or give more text"
        )
    return bpe_tokenizer(made.to_str().encode(), wanted)


def _texts(
    config: DataConfig, corpora: Sequence[tuple[DataConfig, Scan, NDArray[np.int8], float]], pool: Pool
) -> Iterator[str]:
    for own, scan, fate, share in corpora:
        most = int(config.bpe.training_bytes * share)
        chosen = sample(scan, fate, most).astype(np.int8)
        units = [unit for unit, marks in zip(scan.units, scan.by_unit(chosen), strict=True) if marks.any()]
        each = [marks for marks in scan.by_unit(chosen) if marks.any()]
        for texts in pool.map("reading for BPE", texts_of, units, own, most, each=each):
            yield from texts


def sample(scan: Scan, fate: NDArray[np.int8], most: int) -> NDArray[np.bool_]:
    """[N] training documents in the order of their turns, `most` bytes of them, at least one."""
    trains = np.flatnonzero(fate == TRAINS)
    order = trains[np.lexsort((scan.turns[trains, 1], scan.turns[trains, 0]))]
    count = max(1, int(np.searchsorted(np.cumsum(scan.sizes[order]), most, side="right")))
    chosen = np.zeros(len(fate), dtype=bool)
    chosen[order[:count]] = most > 0
    return chosen


def texts_of(unit: Unit, marks: NDArray[np.int8], config: DataConfig, most: int) -> list[str]:
    """The marked documents of a unit, in pieces; no more than `most` bytes of any."""
    found = []
    for mark, content in zip(marks.tolist(), unit.contents(config), strict=True):
        left = most
        if not mark or content.pieces is None:
            continue
        for piece in content.pieces:
            if left <= 0:
                break
            found.append(piece.decode("utf-8"))
            left -= len(piece)
    return found
