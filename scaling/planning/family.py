"""The model family: from a width to a model and its recipe, and from a number of parameters back to a width."""

import math
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction

from pydantic import ValidationError

from scaling.accounting import Count, counts, size_and_cost
from scaling.config import ModelConfig, Parameterization, Study, StudyError, TrainingConfig, explain
from scaling.records import Recipe, ramp

FFN_MULTIPLE = 8
STANDARD_RATE_EXPONENT = -0.5
"""Of the learning rate in the width, under the standard parameterisation, unless the study gives one."""
LARGEST_PARAMS = 1e12
"""Where the ladder of `cost_table` ends."""
LADDER_RATIO = 2 ** (1 / 8)
"""Between two widths of the ladder, where it is not finer than the family itself."""
LADDER_RATIO_OWN = 2.0
"""The same where each width has to be built to be counted."""


def model_of(width: int, study: Study) -> ModelConfig:
    """The family's model at `width`.

        layers = family.layers x (width / reference_width)^depth_exponent    rounded, at least 1
        ffn_width = family.ffn_ratio x width                                rounded up to a multiple of 8

    Raises:
      StudyError: the family has no model at this width.
    """
    family = study.family
    if width < family.width_unit or width % family.width_unit:
        raise StudyError(
            f"width {width} is not in the family: widths are multiples of {family.width_unit}, which family.heads or "
            "family.head_width and family.queries_per_kv_head make"
        )
    heads, reference = family.heads_at(width), study.training.reference_width
    layers = max(1, round(family.layers * (width / reference) ** family.depth_exponent))
    try:
        return ModelConfig(
            layers=layers,
            width=width,
            heads=heads,
            kv_heads=heads // family.queries_per_kv_head,
            ffn_width=FFN_MULTIPLE * math.ceil(round(family.ffn_ratio * width, 6) / FFN_MULTIPLE),
            vocabulary=study.data.vocabulary,
            sequence_length=family.sequence_length,
            feed_forward=family.feed_forward,
            positions=family.positions,
            qk_norm=family.qk_norm,
            tied_head=family.tied_head,
            layer_loop=family.layer_loop,
            parameterization=_parameterization(study, width, layers),
            block=family.block,
            model=family.model,
        )
    except ValidationError as error:
        raise StudyError(f"family, at width {width}: {explain(error, ModelConfig)}") from None


def _parameterization(study: Study, width: int, layers: int) -> Parameterization:
    """The rule, and the model's ratios to the reference model; under the standard rule nothing depends on them."""
    rule, scale = study.training.parameterization, width / study.training.reference_width
    if rule == "standard":
        return Parameterization()
    head_ratio = scale if study.family.heads else 1.0
    return Parameterization(
        rule=rule, width_ratio=scale, depth_ratio=layers / study.family.layers, head_ratio=head_ratio
    )


def recipe_of(
    model: ModelConfig,
    training: TrainingConfig,
    seed: int,
    total_steps: int | None = None,
    mixture: Mapping[str, float] | None = None,
    batch_factor: float = 1.0,
) -> Recipe:
    """The training settings of `model`: with s = width / reference_width,

    learning_rate(width) = learning_rate x s^learning_rate_exponent    before the parameterisation's multipliers
    sequences(width) = batch_factor x batch_tokens x s^batch_exponent / sequence_length    rounded, at least 1

    and the same times its factor from each stage of training.batch_ramp on.
    """
    batch_tokens = batch_at(model.width, training) * batch_factor

    def sequences(factor: float) -> int:
        return max(1, round(factor * batch_tokens / model.sequence_length))

    return Recipe(
        learning_rate=rate_at(model.width, training, training.learning_rate),
        sequences=sequences(1.0),
        batch_ramp=ramp(
            sequences(1.0),
            ((Fraction(stage.tokens, model.sequence_length), sequences(stage.factor)) for stage in training.batch_ramp),
        ),
        warmup_tokens=training.warmup_tokens,
        schedule=training.schedule,
        total_steps=total_steps,
        final_rate=training.final_rate,
        optimizer=training.optimizer,
        weight_decay=training.weight_decay,
        independent_weight_decay=training.independent_weight_decay,
        momentum=training.momentum,
        beta1=training.beta1,
        beta2=training.beta2,
        epsilon=training.epsilon,
        gradient_clip=training.gradient_clip,
        divergence_factor=training.divergence_factor,
        seed=seed,
        mixture=dict(mixture or {}),
    )


def rate_at(width: int, training: TrainingConfig, peak: float) -> float:
    """The learning rate at `width`, for `peak` at the reference width, before the parameterisation's multipliers."""
    exponent = training.learning_rate_exponent
    if exponent is None:
        exponent = STANDARD_RATE_EXPONENT if training.parameterization == "standard" else 0.0
    return peak * (width / training.reference_width) ** exponent


def batch_at(width: int, training: TrainingConfig) -> float:
    """Tokens a batch at `width`, before they are rounded to whole sequences."""
    return training.batch_tokens * (width / training.reference_width) ** training.batch_exponent


def params_at(width: int, study: Study, count: Count = counts) -> int:
    """N at `width`, under the study's convention."""
    return size_and_cost(model_of(width, study), study.accounting, count)[0]


def nearest_width(params: float, study: Study, count: Count = counts) -> int:
    """The width of the family, in the sweep or not, whose N is nearest to `params` in log N.

    Raises:
      StudyError: `params` is not a positive number, or above 1e18.
    """
    return nearest_of(params, study.family.width_unit, lambda width: params_at(width, study, count))


def nearest_of(params: float, unit: int, size: Callable[[int], int]) -> int:
    """The multiple of `unit` whose `size` is nearest to `params` in logarithm."""
    if not 0 < params <= 1e18:
        raise StudyError(f"params is {params:g}; a model needs between 1 and 1e18")
    above = _smallest_width(params, unit, size)
    candidates = [width for width in (above - unit, above) if width]
    return min(candidates, key=lambda width: abs(math.log(size(width) / params)))


def next_width(params: float, study: Study, count: Count = counts) -> int:
    """The smallest width of the family whose N is above `params`."""
    return _smallest_width(
        math.floor(params) + 1, study.family.width_unit, lambda width: params_at(width, study, count)
    )


def _smallest_width(params: float, unit: int, size: Callable[[int], int]) -> int:
    """That has at least so many."""
    limit = unit
    while size(limit) < params:
        limit *= 2
    widths = range(unit, limit + 1, unit)
    return widths[bisect_left(widths, params, lo=limit // unit // 2, key=size)]


def cost_table(study: Study, count: Count = counts) -> tuple[list[int], list[int]]:
    """(N, training FLOPs per token) of a wide ladder of family members, ascending: the law engine's C(N).

    From the family's smallest width, every width while they are few and then geometrically, to about 1e12
    parameters, in larger steps where `count` has to build a part of the user's own; the widths that the sweep names are
    among them. Under the study's conventions.
    """
    named = (width for widths in study.sweep.width_fields.values() for width in widths)
    widths = sorted({*_ladder(study, count), *named})
    rows = [size_and_cost(model_of(width, study), study.accounting, count) for width in widths]
    return [params for params, _ in rows], [flops for _, flops in rows]


def _ladder(study: Study, count: Count) -> Iterator[int]:
    unit = study.family.width_unit
    ratio = LADDER_RATIO_OWN if study.family.block or study.family.model else LADDER_RATIO
    multiple = 1
    while True:
        yield multiple * unit
        if params_at(multiple * unit, study, count) >= LARGEST_PARAMS:
            return
        multiple = max(multiple + 1, round(multiple * ratio))
