"""Studies with parts of one's own: what is refused before any compute, what a plan and a run directory know of them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scaling.config import Study, StudyError, parse_study
from scaling.data import prepare
from scaling.planning import plan
from scaling.records import RunDirectory
from scaling.studies import own_parts, preflight
from tests import own

FAMILY = {"layers": 2, "head_width": 8, "sequence_length": 16}


@pytest.fixture(scope="module")
def name(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with own.module(tmp_path_factory.mktemp("own"), "study_own") as name:
        yield name


def study(**changes: dict[str, Any]) -> Study:
    base: dict[str, Any] = {
        "name": "own",
        "family": FAMILY,
        "data": {"validation_tokens": 500},
        "training": {"reference_width": 8, "batch_tokens": 64, "warmup_tokens": 64, "minimum_steps": 40},
        "sweep": {"widths": [8, 16, 24], "sizes_per_budget": 2, "budgets": [4e8, 8e8]},
        "check": {"enabled": False},
    }
    return parse_study(base | {part: {**base.get(part, {}), **fields} for part, fields in changes.items()})


@pytest.mark.parametrize(
    ("field", "attribute", "words"),
    [
        ("family.block", "Undeclared", "parameter linear.bias does not declare itself; make it by scaling.models.decl"),
        ("family.block", "Narrowing", r"which returns float32\[2, 16, 7\]; return float32\[2, 16, 8\]"),
        ("family.block", "Breaking", r"fails when it is tried \(study_own, line \d+\): TypeError"),
        ("family.block", "Turning", "has matrix products inside while"),
        ("family.block", "number", "a int; name a function or a class"),
        ("family.model", "mean", "which fails when it is tried.*TypeError"),
        ("training.optimizer", "growing", "whose state has other shapes or types after an update"),
        ("training.optimizer", "branching", "which fails when it is tried.*TracerBool"),
        ("training.optimizer", "corpus", "which fails when it is tried"),
        ("training.schedule", "negative", "which gives the rate -0.4.* at step 2 of 100"),
        ("evaluation.metrics", "a_pair", "which returned array"),
    ],
)
def test_what_is_not_of_its_protocol_is_refused(name: str, field: str, attribute: str, words: str) -> None:
    part, leaf = field.split(".")
    value = f"{name}:{attribute}"
    asked = study(**{part: {leaf: [value] if leaf == "metrics" else value}})
    with pytest.raises(StudyError, match=rf"{field}.*'{value}'.*{words}"):
        own_parts.check(asked)


def test_good_parts_pass(name: str) -> None:
    own_parts.check(
        study(
            family={"block": f"{name}:Bottleneck"},
            training={"optimizer": f"{name}:sgd", "schedule": f"{name}:triangle"},
            evaluation={"metrics": [f"{name}:mean", f"{name}:per_document"]},
        )
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("def corpus(): return 3", "returns a int; yield"),
        ("def corpus(): return 'text'", "returns a str; yield"),
        ("def corpus(): yield 'a', 3", "whose document 0 is .*; yield .name, text., both str"),
        ("def corpus(): yield 'a', '\\ud800'", "document 0, 'a', cannot be written as UTF-8"),
        ("def corpus(): yield 'a', ''", "yields 1 documents, none of them with text"),
        ("corpus = 3", "a int; name a function"),
    ],
)
def test_what_is_no_corpus_is_refused(tmp_path: Path, text: str, words: str) -> None:
    with own.module(tmp_path, "no_corpus", text):
        asked = study(data={"corpus": "no_corpus:corpus"})
        with pytest.raises(StudyError, match=f"data.corpus is 'no_corpus:corpus'.*{words}"):
            prepare(asked.data, 0)


def test_a_corpus_of_ones_own_is_the_same_text_with_its_source_beside_it(name: str, tmp_path: Path) -> None:
    asked = study(data={"corpus": f"{name}:corpus"})
    for place, text in enumerate(__import__(name).TEXTS):
        (tmp_path / f"{place}.txt").write_text(text)
    mine, files = prepare(asked.data, 0), prepare(study(data={"corpus": str(tmp_path)}).data, 0)
    assert mine.record.corpus == asked.data.corpus
    assert sorted(mine.train.tolist()) == sorted(files.train.tolist())
    assert mine.summary == files.summary


def test_a_plan_counts_the_built_model_and_a_run_directory_keeps_the_counts(name: str, tmp_path: Path) -> None:
    asked = study(family={"block": f"{name}:Bottleneck"}, data={"corpus": f"{name}:corpus"})
    tokens, directory = prepare(asked.data, 0), RunDirectory(tmp_path)
    count = own_parts.counter(asked)
    planned = plan(asked, tokens.record, count)
    blocks = {width: 2 * (width * width // 2 + width + 16 * width) + width + 2 * 257 * width for width in (8, 16, 24)}
    assert {one.model.width: one.params for one in planned.trajectories}.items() <= blocks.items()
    assert planned.notes[:2] == (
        f"data.corpus is {name}:corpus, source {asked.own['data.corpus'].source[:12]}",
        f"family.block is {name}:Bottleneck, source {asked.own['family.block'].source[:12]}",
    )
    own_parts.keep(count, directory)
    elsewhere = parse_study(asked.model_dump(mode="json"))
    gone = own_parts.counter(elsewhere, directory)
    assert isinstance(gone, own_parts.Counter)
    known = set(gone.known)
    assert plan(elsewhere, tokens.record, gone).trajectories == planned.trajectories
    assert set(gone.known) == known, "all that a plan needs was on disk"


def test_each_horizon_is_a_run_under_a_schedule_of_ones_own(name: str) -> None:
    asked = study(training={"schedule": f"{name}:triangle"}, data={"corpus": f"{name}:corpus"})
    planned = plan(asked, prepare(asked.data, 0).record)
    assert {(len(one.horizons), one.recipe.total_steps == one.last_step) for one in planned.trajectories} == {(1, True)}
    assert {one.recipe.schedule for one in planned.trajectories} == {asked.training.schedule}


def test_a_changed_source_is_refused_by_name(name: str, tmp_path: Path) -> None:
    asked = study(family={"block": f"{name}:Bottleneck"})
    (difference,) = preflight.differences(
        study(family={"block": {"name": f"{name}:Bottleneck", "source": "0" * 64}}), asked
    )
    source = asked.own["family.block"].source[:12]
    assert difference == (
        f"family.block is '{name}:Bottleneck' of source 000000000000 there and '{name}:Bottleneck' of source "
        f"{source} here"
    )
    assert preflight.differences(study(), study(evaluation={"metrics": [f"{name}:mean"]}))
    assert preflight.differences(study(), study(training={"optimizer": f"{name}:sgd"}))
    with pytest.raises(StudyError, match=r"family.block is .*, recorded with another source: .* and 000000000000 ther"):
        own_parts.check(study(family={"block": {"name": f"{name}:Bottleneck", "source": "0" * 64}}))
