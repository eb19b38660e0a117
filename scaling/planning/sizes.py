"""Sizes of a sweep under what it varies: each model, its counts and its rules are worked out once."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from pydantic import BaseModel, ValidationError

from scaling.accounting import Count, Counts, size_and_cost
from scaling.config import ModelConfig, Study, StudyError, explain
from scaling.planning.family import model_of, nearest_of, rate_at, recipe_of
from scaling.records import DataRecord, Horizon, Recipe, Trajectory, shares

Settings = tuple[tuple[str, Any], ...]
"""(name, value) of what changes a model, its batches or its schedule."""
BATCH_FACTOR = "batch_factor"


@dataclass(frozen=True, eq=False)
class Size:
    """One model under one choice of settings.

    Attributes:
      study: with the settings in their fields.
      recipe: of the study's own learning rate, mixture and seed 0.
    """

    study: Study
    model: ModelConfig
    params: int
    flops_per_token: int
    counts: Counts
    recipe: Recipe

    def learning_rate(self, peak: float, factor: float) -> float:
        """At this width, for a peak at the reference width, times `factor`."""
        return rate_at(self.model.width, self.study.training, peak) * factor

    def trajectory(self, recipe: Recipe, data: DataRecord, horizons: tuple[Horizon, ...]) -> Trajectory:
        """Of the study's own role, checked."""
        return Trajectory(
            model=self.model,
            recipe=recipe,
            data=data,
            accounting=self.study.accounting,
            role="fit",
            params=self.params,
            flops_per_token=self.flops_per_token,
            params_with_embeddings=self.counts.params,
            params_non_embedding=self.counts.params_non_embedding,
            flops_per_token_exact=self.counts.flops_per_token_exact,
            flops_per_token_causal=self.counts.flops_per_token_causal,
            metrics=self.study.evaluation.metrics,
            command=self.study.command,
            horizons=horizons,
        )


class Sizes:
    """Every size that was asked for, by settings and width."""

    def __init__(self, study: Study, count: Count):
        self._study, self._count = study, count
        self._studies: dict[Settings, Study] = {(): study}
        self._found: dict[tuple[Settings, int], Size] = {}
        self._params: dict[tuple[Settings, int], int] = {}

    def at(self, settings: Settings, width: int) -> Size:
        """Raises StudyError where the family has no such width, or settings do not go together."""
        key = (settings, width)
        if key not in self._found:
            self._found[key] = self._made(settings, width)
        return self._found[key]

    def nearest(self, settings: Settings, params: float) -> int:
        """The width whose N is nearest to `params`, in logarithm."""
        study = self.study(settings)
        return nearest_of(params, study.family.width_unit, partial(self._params_at, settings))

    def study(self, settings: Settings) -> Study:
        """The study with `settings` in their fields."""
        if settings not in self._studies:
            self._studies[settings] = changed(self._study, dict(settings))
        return self._studies[settings]

    def _params_at(self, settings: Settings, width: int) -> int:
        key = (settings, width)
        if key not in self._params:
            study = self.study(settings)
            self._params[key] = size_and_cost(model_of(width, study), study.accounting, self._count)[0]
        return self._params[key]

    def _made(self, settings: Settings, width: int) -> Size:
        study = self.study(settings)
        model = model_of(width, study)
        params, cost = size_and_cost(model, study.accounting, self._count)
        recipe = recipe_of(
            model,
            study.training,
            seed=0,
            mixture=shares(study.data.weights),
            batch_factor=dict(settings).get(BATCH_FACTOR, 1.0),
        )
        return Size(study, model, params, cost, self._count(model), recipe)


def changed(study: Study, settings: Mapping[str, Any]) -> Study:
    """`study` with dotted fields of training and family changed, checked as if they stood in its file.

    Raises:
      StudyError: the fields do not go together.
    """
    parts: dict[str, BaseModel] = {}
    for name in ("training", "family"):
        part: BaseModel = getattr(study, name)
        own = {key.partition(".")[2]: value for key, value in settings.items() if key.startswith(f"{name}.")}
        if not own:
            continue
        try:
            parts[name] = type(part).model_validate({**dict(part), **own})
        except ValidationError as error:
            told = ", ".join(f"{name}.{field} {value}" for field, value in own.items())
            raise StudyError(f"sweep, at {told}: {explain(error, type(part))}") from None
    found = study.model_copy(update=parts)
    if found.training.batch_tokens < found.family.sequence_length:
        raise StudyError(
            f"sweep, at training.batch_tokens {found.training.batch_tokens} and family.sequence_length "
            f"{found.family.sequence_length}: less than one sequence a batch"
        )
    return found
