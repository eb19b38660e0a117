"""Mixtures: exact shares, evenly spread, each domain in an order of its own, and nothing held out that trains."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling.config import DataConfig, StudyError
from scaling.data import Tokens, TrainingBatches, domains_of, load, prepare, save
from scaling.data.domains import Domain, Order
from scaling.records import SLOTS, shares, slots

RECORDED = [270, 2670, 1108, 513, 144, 2706, 153, 1414, 2499, 54]
STREAM = np.arange(3000, dtype=np.uint16)
"""Token i is i; the domains below lie one after another in it."""
LENGTHS = {"a": 1000, "b": 500, "c": 1500}


def batches_of(weights: dict[str, float], **settings: int) -> TrainingBatches:
    starts = dict(zip(LENGTHS, np.cumsum([0, *LENGTHS.values()]).tolist(), strict=False))
    mixture = shares(weights)
    domains = [
        Domain(name, slice(starts[name], starts[name] + length), slice(0, 0), mixture.get(name, 0.0))
        for name, length in LENGTHS.items()
    ]
    return TrainingBatches(STREAM, **{"sequences": 10, "sequence_length": 9, "seed": 3} | settings, domains=domains)


def domain_of(tokens: np.ndarray) -> np.ndarray:
    return np.searchsorted([1000, 1500], tokens, side="right")


@settings(max_examples=200, deadline=None)
@given(st.lists(st.floats(0, 1e6, allow_subnormal=False), min_size=1, max_size=9).filter(any))
def test_shares_are_whole_numbers_of_slots_and_near_the_weights(weights: list[float]) -> None:
    named = {f"d{number}": weight for number, weight in enumerate(weights)}
    found = slots(named)
    assert sum(found.values()) == SLOTS
    assert all((found[name] > 0) == (weight > 0) for name, weight in named.items())
    off = [abs(found[name] - weight / sum(weights) * SLOTS) for name, weight in named.items()]
    assert max(off) < len(weights)
    assert slots(shares(named)) == found, "shares say the same again"


def test_usual_shares_are_exact() -> None:
    assert shares({"a": 1, "b": 2}) == {"a": 1 / 3, "b": 2 / 3}
    assert shares({"a": 0.7, "b": 0.29, "c": 0.01}) == {"a": 0.7, "b": 0.29, "c": 0.01}
    assert shares({}) == {}


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(0.001, 1), min_size=2, max_size=5), st.integers(0, 10**9))
def test_every_stretch_has_the_shares_and_every_domain_counts_on(weights: list[float], first: int) -> None:
    mixture = shares({f"d{number}": weight for number, weight in enumerate(weights)})
    which, own = Order(mixture).of(np.arange(first, first + 5000))
    for domain, share in enumerate(mixture.values()):
        mine = own[which == domain]
        assert abs(len(mine) - share * 5000) <= 2
        assert np.all(np.diff(mine) == 1)
        assert abs(int(mine[0]) - share * first) <= 2


def test_a_batch_is_windows_that_lie_in_one_domain() -> None:
    batch = batches_of({"a": 5, "b": 2, "c": 3}).batch(17)
    np.testing.assert_array_equal(batch[:, 1:], batch[:, :-1] + 1)
    assert np.bincount(domain_of(batch[:, 0])).tolist() == [5, 2, 3]
    np.testing.assert_array_equal(domain_of(batch[:, 0]), domain_of(batch[:, -1]))


def test_each_domain_has_its_own_epochs() -> None:
    """The smaller domain begins anew while the larger has not been read once; each window once an epoch."""
    batches = batches_of({"a": 0.1, "b": 0.9})
    starts = batches.dispatch(0, 150)[:, :, 0].reshape(-1)
    seen = starts[domain_of(starts) == 1]
    windows = list(range(1000, 1000 + 55 * 9, 9))  # (500 - 1) // 9 = 55
    for epoch in range(len(seen) // 55):
        assert sorted(seen[55 * epoch : 55 * (epoch + 1)].tolist()) == windows
    assert len(seen) // 55 == 24
    rare = starts[domain_of(starts) == 0]
    assert len(set(rare.tolist())) == min(len(rare), 111)
    assert not np.any(domain_of(starts) == 2)


def test_batches_depend_on_seed_and_step_alone() -> None:
    weights = {"a": 0.35, "b": 0.05, "c": 0.6}
    batches = batches_of(weights)
    whole = batches.dispatch(40, 8)
    np.testing.assert_array_equal(whole, np.stack([batches_of(weights).batch(step) for step in range(40, 48)]))
    halves = [batches.dispatch(40, 8, rows) for rows in (range(0, 4), range(4, 10))]
    np.testing.assert_array_equal(np.concatenate(halves, axis=1), whole)
    assert not np.array_equal(batches_of(weights, seed=4).batch(40), whole[0])


def test_the_order_is_part_of_the_datas_identity() -> None:
    """Recorded from the first version: another order would make resumed runs differ from undisturbed ones."""
    assert batches_of({"a": 5, "b": 2, "c": 3}).batch(0)[:, 0].tolist() == RECORDED


def test_too_little_of_a_domain_for_one_batch() -> None:
    with pytest.raises(StudyError, match=r"data.mixture.b has 500 training tokens, 55 sequences .* one batch of 100"):
        batches_of({"b": 1}, sequences=100)
    batches_of({"b": 0.5, "c": 0.5}, sequences=100)


def write(folder: Path, texts: list[str]) -> str:
    folder.mkdir()
    for number, text in enumerate(texts):
        (folder / f"{number:03}.txt").write_text(text)
    return str(folder)


@pytest.fixture
def mixed(tmp_path: Path) -> DataConfig:
    """Two domains that share a third of their texts; one holds out these alone, as its others are long."""
    both = [f"in both {number} " + "b" * (number % 40) for number in range(40)]
    one = [f"web {number} " + "w" * (200 + number) for number in range(80)]
    other = [f"code {number} " + "c" * (number % 30) for number in range(80)]
    mixture = {
        "web": {"corpus": write(tmp_path / "web", one + both), "weight": 3},
        "code": {"corpus": write(tmp_path / "code", other + both), "weight": 1},
    }
    return DataConfig.model_validate({"mixture": mixture, "validation_tokens": 1200})


def documents_of(stream: np.ndarray) -> list[str]:
    return [bytes(part[:-1].astype(np.uint8)).decode() for part in np.split(stream, np.flatnonzero(stream == 256) + 1)][
        :-1
    ]


def test_domains_lie_one_after_another_and_what_is_held_out_trains_in_none(mixed: DataConfig) -> None:
    tokens = prepare(mixed, 0)
    code, web = domains_of(tokens.record, shares(mixed.weights))
    assert (code.name, code.share, web.name, web.share) == ("code", 0.25, "web", 0.75)
    trains = {one.name: documents_of(tokens.train[one.train]) for one in (code, web)}
    held_out = documents_of(tokens.validation)
    assert not set(held_out) & {text for texts in trains.values() for text in texts}
    assert all(text.startswith(("code", "in both")) for text in trains["code"] + held_out[code.documents])
    assert all(text.startswith(("web", "in both")) for text in trains["web"] + held_out[web.documents])
    for one, record, summary in zip((code, web), tokens.record.domains, tokens.summary.domains, strict=True):
        offsets = tokens.validation_documents[one.documents.start : one.documents.stop + 1]
        assert record.validation_tokens == offsets[-1] - offsets[0] >= 600
        assert record.train_tokens == summary.train_bytes + summary.train_documents
        assert summary.held_out_dropped == 120 - summary.train_documents - summary.validation_documents
    assert [one.held_out_dropped > 5 for one in tokens.summary.domains] == [True, False]


def test_the_text_is_the_same_whatever_the_weights(mixed: DataConfig, tmp_path: Path) -> None:
    tokens = prepare(mixed, 0)
    domains = {name: one.model_copy(update={"weight": 1.0}) for name, one in mixed.mixture.items()}
    assert prepare(mixed.model_copy(update={"mixture": domains}), 0).record == tokens.record
    save(tokens, tmp_path / "data")
    assert load(tmp_path / "data").record == tokens.record


def test_a_mixture_has_one_tokeniser(mixed: DataConfig) -> None:
    tokens: Tokens = prepare(
        DataConfig.model_validate(mixed.model_dump() | {"tokenizer": "bpe", "bpe": {"vocabulary": 262}}), 0
    )
    plain = prepare(mixed, 0)
    assert tokens.record.train_tokens < plain.record.train_tokens
    assert tokens.summary.train_bytes == plain.summary.train_bytes
    ends = np.flatnonzero(tokens.validation == 261)
    parts = [tokens.tokenizer.decode(part) for part in np.split(tokens.validation, ends + 1)[:-1]]
    assert parts == documents_of(plain.validation)


@pytest.mark.parametrize(
    ("mixture", "words"),
    [
        ({"web": {"corpus": "nowhere"}, "code": {}}, "data.mixture.web.corpus is 'nowhere', which does not exist"),
        ({"web": {"text_field": "x"}, "code": {}}, "data.mixture.web.text_field is 'x', but data.mixture.web.corpus"),
    ],
)
def test_errors_name_the_domain(mixture: dict[str, dict[str, str]], words: str) -> None:
    with pytest.raises(StudyError) as caught:
        prepare(DataConfig.model_validate({"mixture": mixture, "validation_tokens": 100_000}), 0)
    assert str(caught.value).startswith(words)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"mixture": {"web": {}}}, "has one domain, 'web'; name two or more"),
        ({"mixture": {"web": {"weight": 0}, "code": {"weight": 0}}}, "has no weight above 0"),
        ({"mixture": {"web": {}, "code": {}}, "corpus": "x"}, "mixture names its own corpora, but corpus is 'x'"),
        ({"mixture": {"Web pages": {}, "code": {}}}, "String should match pattern"),
    ],
)
def test_mixtures_that_cannot_be(data: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        DataConfig.model_validate(data)
