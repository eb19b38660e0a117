"""What names the tokens of a text in the cache: its files as the file system tells of them, and all that is done to
them. Tokens themselves are checked by their SHA-256 whenever they are taken out."""

from importlib.metadata import version
from pathlib import Path
from typing import Any

from scaling.config import SYNTHETIC, CorpusConfig, DataConfig, Own
from scaling.data.files import files_of
from scaling.data.hugging_face import fingerprint, is_hugging_face
from scaling.records import content_hash

FORMAT = 1
"""Of reading, splitting and tokenising: another number where the same files would give other tokens."""


def cache_key(config: DataConfig, seed: int) -> str | None:
    """A name for the tokens; None for text that is made, of which nobody can tell whether it would be made again.

    Raises:
      StudyError: a corpus is not there.
    """
    corpora: list[CorpusConfig] = list(config.mixture.values()) or [config]
    if any(isinstance(one.corpus, Own) or one.corpus in SYNTHETIC for one in corpora):
        return None
    said = config.model_dump(mode="json", exclude={"corpus", "mixture", "tokenizer"})
    tokenizer: Any = config.tokenizer
    if not isinstance(tokenizer, str):
        tokenizer = tokenizer.model_dump(mode="json", exclude={"path"})
    return content_hash(
        {
            "format": FORMAT,
            "seed": seed,
            "data": said,
            "tokenizer": tokenizer,
            "library": version("tokenizers") if config.tokenizer != "bytes" else None,
            "corpora": {name: _corpus(one) for name, one in config.mixture.items()} or _corpus(config),
        }
    )[:32]


def _corpus(config: CorpusConfig) -> Any:
    said = config.model_dump(mode="json", include={"text_field", "hf", "weight"})
    if is_hugging_face(config.corpus):
        return [said, fingerprint(config)]
    root, paths = files_of(str(config.corpus))
    return [said, [_stamp(root, path) for path in paths]]


def _stamp(root: Path, path: Path) -> list[Any]:
    """A file that was written to has another one."""
    found = path.stat()
    return [path.relative_to(root).as_posix(), found.st_size, found.st_mtime_ns]
