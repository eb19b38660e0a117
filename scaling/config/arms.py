"""Arms of a study: the same sweep trained in several ways, each a study of its own with some fields changed."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from scaling.config.reading import StudyError, explain
from scaling.config.study import Study


def arm_studies(study: Study) -> dict[str, Study]:
    """Arm -> the study that it is: `study` with the arm's fields in the place of its own, and without arms.

    Raises:
      StudyError: an arm's field does not exist, or its value cannot work: arms.<arm>: field, value, fix.
    """
    return {arm: _resolved(study, arm, changes) for arm, changes in study.arms.items()}


def _resolved(study: Study, arm: str, changes: Mapping[str, Any]) -> Study:
    plain = study.model_dump(mode="json")
    plain |= {"name": f"{study.name}.{arm}", "arms": {}}
    for dotted, value in changes.items():
        *parents, leaf = dotted.split(".")
        part = plain
        for parent in parents:
            found = part.get(parent)
            if not isinstance(found, dict):
                raise StudyError(f"arms.{arm} has {dotted}, and {parent} is no part of a study with fields")
            part = found
        part[leaf] = value
    try:
        return Study.model_validate(plain)
    except ValidationError as error:
        said = explain(error, Study).splitlines()
        raise StudyError("\n".join(f"arms.{arm}: {line}" for line in said)) from None
