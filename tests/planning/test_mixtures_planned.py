"""Mixtures as a factor of the sweep: which trajectories, of which identity, and what is refused."""

from typing import Any

import pytest

from scaling.config import StudyError, parse_study
from scaling.planning import plan
from scaling.records import DataRecord, DomainRecord, Trajectory

MIXTURE = {"mixture": {"code": {"weight": 1}, "web": {"weight": 3}}}


@pytest.fixture
def mixed(data: DataRecord) -> DataRecord:
    domains = [
        DomainRecord(name=name, train_tokens=tokens, validation_tokens=5000, validation_documents=9)
        for name, tokens in (("code", 250_000), ("web", 750_000))
    ]
    return data.model_copy(update={"domains": tuple(domains)})


def trained(planned: Any) -> list[tuple[int, int, str, dict[str, float], int]]:
    return [
        (one.model.width, one.recipe.seed, one.role, one.recipe.mixture, len(one.horizons))
        for one in planned.trajectories
    ]


def test_each_size_is_trained_at_each_mixture(study_of, mixed: DataRecord) -> None:
    own = {"code": 0.25, "web": 0.75}
    study = study_of(
        data=MIXTURE,
        sweep={"mixtures": [{"web": 1}, {"web": 1, "code": 1}], "mixture_widths": [16], "mixture_budgets": 1},
    )
    planned = plan(study, mixed)
    assert trained(planned) == [
        (8, 0, "fit", own, 1),
        (16, 0, "fit", own, 2),
        (16, 1, "fit", own, 2),
        (16, 2, "fit", own, 2),
        (16, 0, "mixture", {"code": 0.0, "web": 1.0}, 1),
        (16, 0, "mixture", {"code": 0.5, "web": 0.5}, 1),
        (24, 0, "fit", own, 2),
        (32, 0, "fit", own, 1),
    ]
    assert {one.recipe.mixture["web"] for one in planned.expected_check} == {0.75}
    everywhere = plan(study_of(data=MIXTURE, sweep={"mixtures": [{"web": 1}]}), mixed)
    assert sum(len(one.horizons) for one in everywhere.trajectories if one.role == "mixture") == 6


def test_mixtures_are_a_factor_of_any_design(study_of, mixed: DataRecord) -> None:
    """The study's own is what the laws see; the others are what isoflop trains at such a mixture."""
    ladder = {"design": "ladder", "widths": [8, 16], "tokens": [256_000]}
    factors = {"mixture": [{"web": 3, "code": 1}, {"web": 1}]}
    raw = {"name": "x", "check": {"enabled": False}, "data": MIXTURE}
    base = study_of(**raw)
    study = parse_study({**base.model_dump(mode="json"), "sweep": ladder | {"factors": factors}})
    found = [(one.model.width, one.role, one.recipe.mixture["web"]) for one in plan(study, mixed).trajectories]
    assert found == [(8, "fit", 0.75), (8, "mixture", 1.0), (16, "fit", 0.75), (16, "mixture", 1.0)]
    isoflop = plan(study_of(**raw, sweep={"mixtures": [{"web": 1}]}), mixed).trajectories
    assert {one.id for one in plan(study, mixed).trajectories} <= {one.id for one in isoflop}
    with pytest.raises(StudyError, match=r"sweep.factors.mixture has 'wbe'; data.mixture has code, web"):
        parse_study({**base.model_dump(mode="json"), "sweep": ladder | {"factors": {"mixture": [{"wbe": 1}]}}})


def test_a_mixture_is_part_of_the_identity_and_what_is_seen_counts(study_of, mixed: DataRecord) -> None:
    study = study_of(data=MIXTURE, sweep={"mixtures": [{"web": 1}], "mixture_widths": [16]})
    one, other = (next(t for t in plan(study, mixed).trajectories if t.role == role and t.model.width == 16)
                  for role in ("fit", "mixture"))  # fmt: skip
    assert one.id != other.id
    assert one.shape == other.shape, "they share one program"
    assert (one.unique_tokens, other.unique_tokens) == (1_000_000, 750_000)
    assert Trajectory.model_validate_json(other.model_dump_json()) == other


def test_without_a_mixture_nothing_of_it_is_in_a_record(study_of, data: DataRecord) -> None:
    (first, *_) = plan(study_of(), data).trajectories
    assert "mixture" not in first.recipe.model_dump()
    assert "domains" not in first.data.model_dump()
    assert first.unique_tokens == data.train_tokens


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sweep": {"mixtures": [{"web": 1}]}}, "sweep.mixtures is set, but data.mixture names no domains"),
        (
            {"sweep": {"mixtures": [{"wbe": 1}]}, "data": MIXTURE},
            "sweep.mixtures has 'wbe'; data.mixture has code, web",
        ),
        ({"sweep": {"mixtures": [{"web": 0}]}, "data": MIXTURE}, "sweep.mixtures has {'web': 0.0}, without a weight"),
        ({"sweep": {"mixture_widths": [9]}, "data": MIXTURE}, "sweep.mixture_widths has [9], not among widths"),
        (
            {"sweep": {"mixtures": [{"web": 6, "code": 2}]}, "data": MIXTURE},
            "sweep.mixtures has {'web': 6.0, 'code': 2.0}, the shares of data.mixture; leave it out",
        ),
        (
            {"sweep": {"mixtures": [{"web": 1}, {"web": 2}]}, "data": MIXTURE},
            "sweep.mixtures has {'web': 2.0}, the shares of sweep.mixtures.0; leave it out",
        ),
    ],
)
def test_mixtures_that_make_no_sense(study_of, mixed: DataRecord, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(StudyError) as caught:
        plan(study_of(**changes), mixed)
    assert words in str(caught.value)


def test_a_domain_with_too_little_text_for_its_share_is_refused_before_anything_is_trained(
    study_of, mixed: DataRecord
) -> None:
    little = mixed.domains[0].model_copy(update={"train_tokens": 60})
    starved = mixed.model_copy(update={"domains": (little, mixed.domains[1])})
    with pytest.raises(StudyError, match=r"^data.mixture.code has 60 training tokens, 0 sequences .* share of 0.25"):
        plan(study_of(data=MIXTURE), starved)
    plan(study_of(data={"mixture": {"code": {"weight": 0}, "web": {}}}), starved)
    with pytest.raises(StudyError, match=r"^data.corpus has 200 training tokens, 3 sequences .* batch of 4"):
        plan(study_of(), mixed.model_copy(update={"domains": (), "train_tokens": 200}))


def test_a_domain_that_is_repeated_is_noted(study_of, mixed: DataRecord) -> None:
    study = study_of(data=MIXTURE)
    assert plan(study, mixed).notes == ()
    little = (mixed.domains[0].model_copy(update={"train_tokens": 20_000}), mixed.domains[1])
    planned = plan(study, mixed.model_copy(update={"domains": little}))
    most = max(horizon.tokens for one in planned.trajectories for horizon in one.horizons)
    (note,) = planned.notes
    assert f"data.mixture.code has 20,000 training tokens, seen up to {most * 0.25 / 20_000:.1f} times" in note
