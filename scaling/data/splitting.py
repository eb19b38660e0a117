"""What is held out: whole documents, in an order drawn from the seed and their content, long documents last.

The order and the amount are counted in bytes of text, so that a corpus has the same held-out documents whatever
the tokeniser. N documents.
"""

import math

import numpy as np
from numpy.typing import NDArray

from scaling.config import DataConfig, StudyError
from scaling.data.scanning import Scan, distinct

DROPPED, TRAINS, HELD_OUT = 0, 1, 2
"""What becomes of a document."""
LARGEST_HELD_OUT_SHARE = 0.5
"""Of the text, the share that may be held out at most."""
LARGEST_HELD_OUT_DOCUMENT = 0.25
"""Of what is held out: a longer document trains, unless shorter ones do not suffice, so that the held-out
loss is never that of a few long documents."""


def split(scan: Scan, config: DataConfig, domains: int = 1) -> NDArray[np.int8]:
    """[N] DROPPED (empty, skipped, or equal to an earlier one), TRAINS or HELD_OUT.

    `domains`: among which data.validation_tokens are held out in equal parts; this is one of them.

    Raises:
      StudyError: so much cannot be held out of this text.
    """
    fate = np.where(distinct(scan, config), TRAINS, DROPPED).astype(np.int8)
    kept = np.flatnonzero(fate)
    lengths, turns = scan.sizes[kept] + 1, scan.turns[kept]
    total = int(lengths.sum())
    wanted, field = _wanted(config, total, domains)
    most = int(total * LARGEST_HELD_OUT_SHARE)
    if wanted > most:
        raise StudyError(
            f"{field}, but the text in data.corpus {config.corpus!r} has only "
            f"{total} tokens, of which at most half can be held out; use at most {most * domains}, or give more text"
        )
    longest = max(1, int(wanted * LARGEST_HELD_OUT_DOCUMENT))
    order = np.lexsort((turns[:, 1], turns[:, 0], np.maximum(lengths, longest)))
    taken = np.cumsum(lengths[order])
    count = int(np.searchsorted(taken, wanted)) + 1
    if count >= len(kept):
        raise StudyError(
            f"{field}, but data.corpus {config.corpus!r} has only "
            f"{len(kept)} distinct document(s), and whole ones are held out: nothing is left to train on; "
            "give more documents, or hold out less"
        )
    if count < 2:
        raise StudyError(
            f"{field}, which holds out a single document: its loss would have no standard "
            f"error; use at least {(int(taken[0]) + 1) * domains}, or shorter documents"
        )
    fate[kept[order[:count]]] = HELD_OUT
    return fate


def _wanted(config: DataConfig, total: int, domains: int) -> tuple[int, str]:
    """Tokens to hold out, and the words that name the field."""
    if config.validation_share is not None:
        tokens = math.ceil(config.validation_share * total)
        return tokens, f"data.validation_share is {config.validation_share} ({tokens} tokens)"
    tokens = math.ceil(config.validation_tokens / domains)
    of_each = f" ({tokens} of each domain)" if domains > 1 else ""
    return tokens, f"data.validation_tokens is {config.validation_tokens}{of_each}"


def drop_held_out(scans: list[Scan], fates: list[NDArray[np.int8]]) -> list[int]:
    """Drop, in place, training documents of one domain that are held out in another; how many of each."""
    held_out = np.concatenate([scan.digests[fate == HELD_OUT] for scan, fate in zip(scans, fates, strict=True)])
    known = set(map(tuple, held_out.tolist()))
    dropped = []
    for scan, fate in zip(scans, fates, strict=True):
        like = np.flatnonzero((fate == TRAINS) & np.isin(scan.digests[:, 0], held_out[:, 0]))
        equal = [index for index in like.tolist() if tuple(scan.digests[index].tolist()) in known]
        fate[equal] = DROPPED
        dropped.append(len(equal))
    return dropped
