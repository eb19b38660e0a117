"""A study's parts of the user's own: checked before anything is spent, and counted. JAX only where there are any."""

from collections.abc import Mapping
from dataclasses import asdict

from scaling.accounting import Count, Counts, counts
from scaling.config import ModelConfig, Study, StudyError, changed, command_changed
from scaling.records import RunDirectory, content_hash, pretty_json, read_json, replace


def check(study: Study) -> None:
    """Refuse parts that are not what their fields take, or not the ones that a recorded study was made with.

    Raises:
      StudyError: the field, the part, and what is wrong with it.
    """
    different = None if study.command is None else command_changed(study.command)
    if different is not None:
        raise StudyError(
            f"command is {str(study.command)!r}, recorded with other files: {different}; put the file back, or write "
            "the words alone to take it as it is here"
        )
    if not study.own:
        return
    for field, part in study.own.items():
        different = changed(part)
        if different is not None:
            raise StudyError(
                f"{field} is {part!r}, recorded with another source: {different}; put the source back, or write "
                f"{part} alone to take it as it is here"
            )
    from scaling.studies import protocols  # imports JAX, which a study without such parts does not need yet

    protocols.check(study)


class Counter:
    """How the models of a study are counted; each that has a part of the user's own is traced once."""

    def __init__(self, known: Mapping[str, Counts]):
        """`known`: counts by the hash of the model's configuration."""
        self.known = dict(known)

    def __call__(self, model: ModelConfig) -> Counts:
        if model.own is None:
            return counts(model)
        key = content_hash(model.model_dump(mode="json"))
        if key not in self.known:
            from scaling.models import counted  # JAX, only for what is not on disk yet

            self.known[key] = counted(model)
        return self.known[key]


def counter(study: Study, directory: RunDirectory | None = None) -> Count:
    """How to count the study's models; what was counted before is read from the run directory."""
    if study.family.block is None and study.family.model is None:
        return counts
    if directory is None or not directory.counts.exists():
        return Counter({})
    return Counter({key: Counts(**found) for key, found in read_json(directory.counts).items()})


def keep(count: Count, directory: RunDirectory) -> None:
    """Write what was traced to counts.json, an index that can be made anew."""
    if isinstance(count, Counter):
        found = {key: asdict(one) for key, one in sorted(count.known.items())}
        replace(directory.counts, pretty_json(found))
