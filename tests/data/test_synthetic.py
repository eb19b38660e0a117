"""Synthetic sources: their entropy rate by three roads, their text, and what can be known from a window of it."""

from itertools import islice

import numpy as np
import pytest
from numpy.typing import NDArray

from scaling.config import DataConfig, StudyError, SyntheticConfig, parse_study
from scaling.data import prepare, source_loss, source_of
from scaling.data.corpora import read_corpus
from scaling.data.grammar import Grammar
from scaling.data.synthetic import SOURCES, Source
from scaling.data.zipf import entropy
from scaling.data.zipf_markov import ZipfMarkov

SETTINGS = SyntheticConfig(tokens=200_000, document_tokens=30, symbols=12, states=7, exponent=1.2, memory=0.6)
both = pytest.mark.parametrize("name", SOURCES)


def stream(source: Source, tokens: int) -> NDArray[np.int64]:
    """Symbols of the source's first documents, each with its end."""
    number = {character: place for place, character in enumerate(source.alphabet)}
    found: list[int] = []
    for text in source.documents():
        found += [number[character] for character in text] + [len(number)]
        if len(found) >= tokens:
            return np.array(found)
    raise AssertionError("documents end")


def document_nats(grammar: Grammar, text: str) -> float:
    """-ln p of a text by its only derivation."""
    stack, nats = [len(grammar.rules) - 1], 0.0
    for character in text:
        (rule,) = [one for one in grammar.rules[stack.pop()] if one.symbol == grammar.alphabet.index(character)]
        nats -= float(np.log(rule.probability))
        stack += rule.calls[::-1]
    assert not stack
    return nats


def test_the_rate_of_zipf_markov_is_that_of_its_chain() -> None:
    """The closed form against the stationary mean of each state's entropy, of a source that knows no formula."""
    source = ZipfMarkov(SETTINGS)
    assert source.emission.sum(axis=1) == pytest.approx(1)
    chain = source.stationary @ [entropy(said) for said in source.emission]
    assert source.entropy_rate == pytest.approx(chain, rel=1e-12)


def test_a_source_without_memory_is_zipfs_law() -> None:
    source = ZipfMarkov(SyntheticConfig(symbols=2, states=1, exponent=0, document_tokens=1e6))
    assert source.entropy_rate == pytest.approx(np.log(2), rel=1e-4)


def test_the_rate_of_the_grammar_is_that_of_its_derivations() -> None:
    """The closed form against -ln p of 6,000 documents, read by a parser that this test has of its own."""
    grammar = Grammar(SETTINGS)
    texts = list(islice(grammar.documents(), 6000))
    nats = np.array([document_nats(grammar, text) for text in texts])
    tokens = np.array([len(text) + 1 for text in texts])
    rate = nats.sum() / tokens.sum()
    error = np.std(nats - rate * tokens) / np.sqrt(len(texts)) / tokens.mean()
    assert error < 0.01 * rate
    assert abs(rate - grammar.entropy_rate) < 4 * error
    assert tokens.mean() - 1 == pytest.approx(30, rel=0.05)


@both
def test_the_rate_is_what_the_source_loses_with_all_context(name: str) -> None:
    source = SOURCES[name](SETTINGS)
    nats = source.nats(stream(source, 60_000)[None])[0]
    blocks = np.array([block.mean() for block in np.array_split(nats, 60)])
    error = blocks.std() / np.sqrt(60)
    assert error < 0.02 * source.entropy_rate
    assert abs(nats.mean() - source.entropy_rate) < 4 * error


@both
def test_every_next_token_has_a_probability(name: str) -> None:
    """The filter's probabilities of all continuations of a window add up to 1."""
    source = SOURCES[name](SETTINGS)
    text = stream(source, 300)
    symbols = len(source.alphabet) + 1
    possible = np.stack([np.append(text[5:9], symbol) for symbol in range(symbols)])
    probability = 0.0
    for window in possible:
        try:
            probability += float(np.exp(-source.nats(window[None])[0, -1]))
        except ValueError:  # the grammar has no such text
            assert name == "grammar"
    assert probability == pytest.approx(1, abs=1e-9)


@both
def test_what_a_window_tells_is_what_frequencies_say(name: str) -> None:
    """p(third | first two) by the filter from nothing known, against counts of triples in a long text."""
    source = SOURCES[name](SETTINGS)
    text = stream(source, 300_000)
    triples, counts = np.unique(np.stack([text[:-2], text[1:-1], text[2:]], axis=1), axis=0, return_counts=True)
    pairs = {tuple(pair): counts[np.all(triples[:, :2] == pair, axis=1)].sum() for pair in triples[:, :2]}
    often = counts > 1000
    assert often.sum() > 30
    of = np.array([pairs[tuple(triple[:2])] for triple in triples[often]])
    said = np.exp(-source.nats(triples[often])[:, 1])
    scores = (counts[often] / of - said) / np.sqrt(said * (1 - said) / of + 1e-12)
    assert np.mean(scores**2) < 2, "binomial counts would give about 1"
    assert np.abs(scores).max() < 6


@both
def test_the_same_settings_give_the_same_text(name: str) -> None:
    first, again, other = (
        list(islice(SOURCES[name](SETTINGS.model_copy(update={"seed": seed})).documents(), 50)) for seed in (0, 0, 1)
    )
    assert first == again != other
    assert all(text and text.isascii() and text.isprintable() for text in first)


@both
def test_a_corpus_keeps_every_draw_and_a_short_window_costs(name: str) -> None:
    config = DataConfig(corpus=name, synthetic=SETTINGS, validation_tokens=20_000)
    corpus = read_corpus(config)
    tokens = prepare(config, seed=0)
    made = tokens.record.train_tokens + tokens.record.validation_tokens
    assert SETTINGS.tokens <= made == sum(len(one.text) + 1 for one in corpus.documents)
    assert len({one.text for one in corpus.documents}) < len(corpus.documents), "no document was drawn twice"
    source = source_of(config)
    assert source is not None
    short, long, whole = (
        source_loss(source, tokens.validation, tokens.validation_documents, length)
        for length in (8, 64, len(tokens.validation) - 1)
    )
    assert short.mean > long.mean + 0.01
    assert long.mean > whole.mean
    assert abs(whole.mean - source.entropy_rate) < 4 * whole.standard_error < 0.1 * source.entropy_rate


def test_symbols_are_as_frequent_as_the_chain_says() -> None:
    source = ZipfMarkov(SETTINGS)
    text = stream(source, 100_000)
    expected = source.stationary @ source.emission
    assert np.bincount(text, minlength=len(expected)) / len(text) == pytest.approx(expected, abs=0.006)


def test_other_text_has_no_known_entropy() -> None:
    assert source_of(DataConfig()) is None


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"synthetic": {"states": 8}}, "data.synthetic is set, but corpus is 'stdlib'; it describes zipf_markov and"),
        (
            {"corpus": "grammar", "text_field": "t"},
            "data.text_field is 't', but corpus 'grammar' is made; leave it out",
        ),
        ({"corpus": "grammar", "synthetic": {"symbols": 93}}, "data.synthetic.symbols is 93"),
        ({"corpus": "grammar", "synthetic": {"state": 8}}, "data.synthetic.state is not a field; did you mean states?"),
    ],
)
def test_wrong_settings(data: dict[str, object], words: str) -> None:
    with pytest.raises(StudyError, match=words.replace(".", r"\.").replace("?", r"\?")):
        parse_study({"name": "wrong", "data": data})


def test_a_misspelt_source() -> None:
    with pytest.raises(StudyError, match="did you mean 'zipf_markov'"):
        read_corpus(DataConfig(corpus="zipf-markow"))
