"""From a study's text to its tokens: read, split, tokenise; or what an earlier study made of the same files.

Both readings stream: what is in memory is a few units of text and 40 bytes of each document. The same files, settings
and seed give the same tokens, however many processes read them.
"""

import os
import re
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scaling.config import DataConfig, DomainConfig, Own, StudyError
from scaling.data.bpe import train_bpe
from scaling.data.encoding import Encoded, encode
from scaling.data.hashing import cache_key
from scaling.data.pool import Pool, Watching, unwatched
from scaling.data.scanning import Scan, distinct, scan
from scaling.data.splitting import DROPPED, HELD_OUT, TRAINS, drop_held_out, split
from scaling.data.streams import Stream, fingerprint, open_array, write_array
from scaling.data.tokenized import FILE, REMEDY, DomainSummary, Summary, Tokens, load, opened, seal
from scaling.data.tokenizers import SubwordTokenizer, Tokenizer, tokenizer_for
from scaling.records import DataRecord, DomainRecord, RecordError, exclusive, is_disk_full
from scaling.records import replace as write


@dataclass(frozen=True)
class _Domain:
    """One corpus on its way to tokens; the only one has no name."""

    name: str
    config: DataConfig
    scan: Scan
    fate: NDArray[np.int8]
    duplicates: int
    held_out_dropped: int = 0

    def bytes(self, fate: int) -> int:
        known = self.config.tokenizer != "pretokenized"
        return int(self.scan.sizes[self.fate == fate].sum()) if known else 0


def prepare(
    config: DataConfig,
    seed: int,
    *,
    cache: Path | None = None,
    processes: int = 1,
    watching: Watching = unwatched,
) -> Tokens:
    """Read, tokenise and split the text. A pure function of the text, the tokeniser and `seed`.

    Args:
      cache: keeps the tokens of files for whoever asks for the same again; None: they lie nowhere for good.
      processes: that read and tokenise, where there is enough to do.
      watching: told how far it is.

    Raises:
      StudyError: the text cannot be read as told, or is too short for what is to be held out.
      OSError: no space is left; nothing half-made stays.
    """
    with Pool(processes, watching) as pool:
        key = None if cache is None else cache_key(config, seed)
        if cache is None or key is None:
            with tempfile.TemporaryDirectory(prefix="scaling-tokens-") as temporary:
                return replace(_made(config, seed, Path(temporary), pool), folder=None)  # mapped, though unlinked
        folder = cache.expanduser() / key
        _refuse_unwritable(folder.parent)
        with exclusive(folder.with_suffix(".lock"), wait=True, holder="scaling"):
            try:
                return load(folder)
            except RecordError:
                pass
            partial = folder.with_suffix(".partial")
            for left in (folder, partial):
                shutil.rmtree(left, ignore_errors=True)
            try:
                partial.mkdir()
                _made(config, seed, partial, pool)
                partial.rename(folder)
            finally:
                shutil.rmtree(partial, ignore_errors=True)
            return opened(folder)


def _refuse_unwritable(cache: Path) -> None:
    try:
        cache.mkdir(parents=True, exist_ok=True)
        writable = os.access(cache, os.W_OK | os.X_OK)
    except OSError as error:
        if is_disk_full(error):
            raise
        writable = False
    if not writable:
        raise StudyError(f"engine.token_cache is {str(cache)!r}, which cannot be written; name another folder, or null")


def _made(config: DataConfig, seed: int, folder: Path, pool: Pool) -> Tokens:
    """Make the tokens in `folder`; tokens.json says that they are whole."""
    domains = _split(config, seed, pool)
    tokenizer = _tokenizer(config, domains, pool)
    if isinstance(tokenizer, SubwordTokenizer):
        write(folder / FILE, tokenizer.content)
    dtype = np.dtype(np.uint16 if tokenizer.vocabulary <= 2**16 else np.uint32)
    with Stream(folder / "train.npy", dtype) as train, Stream(folder / "validation.npy", dtype) as validation:
        encoded = [encode(one.config, one.scan, one.fate, tokenizer, pool, train, validation) for one in domains]
    lengths = np.concatenate([one.validation_lengths for one in encoded])
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    sizes = np.concatenate([one.scan.sizes[one.fate == HELD_OUT] for one in domains])
    write_array(folder / "validation_documents.npy", offsets)
    write_array(folder / "validation_bytes.npy", sizes if config.tokenizer != "pretokenized" else sizes[:0])
    arrays = [open_array(path, path.stat().st_size, REMEDY) for path in (train.path, validation.path)]
    record = DataRecord(
        fingerprint=fingerprint(*arrays, offsets),
        tokenizer=tokenizer.identity,
        train_tokens=train.length,
        validation_tokens=validation.length,
        corpus=config.corpus if isinstance(config.corpus, Own) else None,
        domains=tuple(_record(one, found) for one, found in zip(domains, encoded, strict=True) if one.name),
    )
    seal(folder, record, _summary(domains, tokenizer, record))
    return opened(folder)


def _split(config: DataConfig, seed: int, pool: Pool) -> list[_Domain]:
    """Every domain read once, and the fate of its documents."""
    if not config.mixture:
        scanned = scan(config, seed, pool)
        return [_domain("", config, scanned, split(scanned, config))]
    domains = []
    for name, domain in config.mixture.items():
        own = of_domain(config, domain)
        try:
            scanned = scan(own, seed, pool)
            domains.append(_domain(name, own, scanned, split(scanned, own, len(config.mixture))))
        except StudyError as error:
            raise StudyError(_renamed(str(error), name)) from None
    dropped = drop_held_out([one.scan for one in domains], [one.fate for one in domains])
    return [replace(one, held_out_dropped=count) for one, count in zip(domains, dropped, strict=True)]


def of_domain(config: DataConfig, domain: DomainConfig) -> DataConfig:
    """The settings of one domain of a mixture, as if it were the only corpus."""
    own = {name: getattr(domain, name) for name in ("corpus", "text_field", "hf", "synthetic")}
    return config.model_copy(update={**own, "mixture": {}})


def _renamed(message: str, name: str) -> str:
    return re.sub(r"\bdata\.(corpus|text_field|hf|synthetic)\b", rf"data.mixture.{name}.\1", message)


def _domain(name: str, config: DataConfig, scanned: Scan, fate: NDArray[np.int8]) -> _Domain:
    return _Domain(name, config, scanned, fate, int(np.sum(scanned.sizes > 0)) - int(np.sum(distinct(scanned, config))))


def _tokenizer(config: DataConfig, domains: Sequence[_Domain], pool: Pool) -> Tokenizer:
    if config.tokenizer != "bpe":
        return tokenizer_for(config)
    whole = sum(config.weights.values()) or 1.0
    shares = [config.mixture[one.name].weight / whole if one.name else 1.0 for one in domains]
    return train_bpe(
        config, [(one.config, one.scan, one.fate, share) for one, share in zip(domains, shares, strict=True)], pool
    )


def _record(domain: _Domain, encoded: Encoded) -> DomainRecord:
    corpus = domain.config.corpus
    return DomainRecord(
        name=domain.name,
        train_tokens=encoded.train_tokens,
        validation_tokens=int(encoded.validation_lengths.sum()),
        validation_documents=len(encoded.validation_lengths),
        corpus=corpus if isinstance(corpus, Own) else None,
    )


def _summary(domains: Sequence[_Domain], tokenizer: Tokenizer, record: DataRecord) -> Summary:
    of_domains = tuple(
        DomainSummary(
            name=one.name,
            documents=int(np.sum(one.fate != DROPPED)),
            train_documents=int(np.sum(one.fate == TRAINS)),
            validation_documents=int(np.sum(one.fate == HELD_OUT)),
            duplicates_dropped=one.duplicates,
            held_out_dropped=one.held_out_dropped,
            train_bytes=one.bytes(TRAINS),
            validation_bytes=one.bytes(HELD_OUT),
        )
        for one in domains
    )
    counted = (
        "documents", "train_documents", "validation_documents", "duplicates_dropped", "train_bytes", "validation_bytes",
    )  # fmt: skip
    totals: dict[str, Any] = {name: sum(getattr(one, name) for one in of_domains) for name in counted}
    return Summary(
        **totals,
        tokenizer=tokenizer.identity,
        vocabulary=tokenizer.vocabulary,
        end_of_document=tokenizer.end_of_document,
        empty_dropped=sum(int(np.sum(one.scan.sizes == 0)) for one in domains),
        files_skipped=tuple(name for one in domains for name in one.scan.skipped),
        unique_tokens=record.train_tokens,
        domains=tuple(one for one in of_domains if one.name),
    )
