"""Hugging Face data sets, by name or from a folder: one row, one document. Needs the extra hf."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from scaling.config import CorpusConfig, DataConfig, HuggingFaceConfig, StudyError
from scaling.data.parquet import check_field
from scaling.data.units import Content, in_pieces

PREFIX = "hf:"
UNIT_ROWS = 16_384


@dataclass(frozen=True)
class HuggingFaceRows:
    """Rows start to stop of a data set's split."""

    file: str
    settings: HuggingFaceConfig
    start: int
    stop: int
    size: int

    def contents(self, config: DataConfig) -> Iterator[Content]:
        rows = _loaded(self.file, self.settings).select(range(self.start, self.stop))
        for row, record in enumerate(rows, start=self.start):
            text = record[config.text_field]
            if text is None:
                raise StudyError(f"data.text_field is {config.text_field!r}, which is empty in {self.file} row {row}")
            yield Content(f"{self.file}:{row}", in_pieces(text.encode("utf-8")))


def is_hugging_face(corpus: object) -> bool:
    return isinstance(corpus, str) and corpus.startswith(PREFIX)


def hugging_face_units(config: DataConfig) -> list[HuggingFaceRows]:
    """Units of the data set.

    Raises:
      StudyError: `datasets` is not installed, there is no such data set, or text_field is not one of its columns.
    """
    corpus = str(config.corpus)
    rows = _loaded(corpus, config.hf)
    check_field(corpus, {name: _is_text(feature) for name, feature in rows.features.items()}, config)
    starts = range(0, len(rows), UNIT_ROWS)
    each = int(rows.data.nbytes * UNIT_ROWS / max(len(rows), 1))
    return [HuggingFaceRows(corpus, config.hf, start, min(start + UNIT_ROWS, len(rows)), each) for start in starts]


def fingerprint(config: CorpusConfig) -> str:
    """The library's own hash of the rows and of what was done to them."""
    return str(_loaded(str(config.corpus), config.hf)._fingerprint)


def _is_text(feature: Any) -> bool:
    return str(getattr(feature, "dtype", "")) in ("string", "large_string")


@lru_cache(maxsize=4)
def _loaded(corpus: str, settings: HuggingFaceConfig) -> Any:
    """The split, memory-mapped from the library's cache."""
    try:
        import datasets
    except ImportError:
        raise StudyError(f"data.corpus is {corpus!r}, which takes the extra hf: pip install 'scaling[hf]'") from None
    name = os.path.expanduser(corpus.removeprefix(PREFIX))
    before = datasets.utils.logging.is_progress_bar_enabled()
    datasets.disable_progress_bars()
    try:
        return datasets.load_dataset(name, settings.config, split=settings.split, revision=settings.revision)
    except Exception as error:  # it raises whatever its parsers and the network do
        said = " ".join(str(error).split())
        raise StudyError(
            f"data.corpus is {corpus!r}, which `datasets` cannot load with config {settings.config!r}, split "
            f"{settings.split!r}: {type(error).__name__}: {said:.300}"
        ) from None
    finally:
        if before:
            datasets.enable_progress_bars()
