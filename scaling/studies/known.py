"""The known entropy of a study's text, where it has one: known_entropy.json, written before anything is trained."""

from pydantic import ValidationError

from scaling.config import Study
from scaling.data import Tokens, source_loss, source_of
from scaling.records import KnownEntropy, RecordError, RunDirectory, pretty_json, read_json, replace


def keep(study: Study, tokens: Tokens, directory: RunDirectory) -> None:
    """Write what is known of `tokens`; nothing where it is there, or where nothing is known."""
    source = source_of(study.data)
    if source is None:
        return
    found, length = read(directory), study.family.sequence_length
    if found and (found.fingerprint, found.sequence_length) == (tokens.record.fingerprint, length):
        return
    best = source_loss(source, tokens.validation, tokens.validation_documents, length)
    known = KnownEntropy(
        source=str(study.data.corpus),
        rate=source.entropy_rate,
        sequence_length=length,
        loss=best.mean,
        loss_se=best.standard_error,
        fingerprint=tokens.record.fingerprint,
    )
    replace(directory.known_entropy, pretty_json(known.model_dump(mode="json")))


def read(directory: RunDirectory) -> KnownEntropy | None:
    """What the run directory knows; None where its text is of no known source.

    Raises:
      RecordError: the file is damaged.
    """
    if not directory.known_entropy.is_file():
        return None
    try:
        return KnownEntropy.model_validate(read_json(directory.known_entropy))
    except ValidationError as error:
        raise RecordError(
            f"{directory.known_entropy} is damaged ({error}); delete it and run the study again"
        ) from None
