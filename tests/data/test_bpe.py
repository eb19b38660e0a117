"""Subword tokenisers: every text comes back, held-out text is never seen, and the file decides the identity."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling.config import DataConfig, StudyError, TokenizerFile, parse_study
from scaling.data import Tokens, load, prepare, save, tokenizer_for
from scaling.data.tokenizers import SubwordTokenizer
from scaling.data.units import PIECE
from scaling.records import RecordError

VOCABULARY = 290


@pytest.fixture(scope="module")
def config(text: Path) -> DataConfig:
    return DataConfig(corpus=str(text), tokenizer="bpe", bpe={"vocabulary": VOCABULARY}, validation_tokens=2000)


@pytest.fixture(scope="module")
def tokens(config: DataConfig, tmp_path_factory: pytest.TempPathFactory) -> Tokens:
    folder = tmp_path_factory.mktemp("bpe")
    return prepare(config, seed=0, cache=folder)


@pytest.fixture(scope="module")
def tokenizer(tokens: Tokens) -> SubwordTokenizer:
    assert isinstance(tokens.tokenizer, SubwordTokenizer)
    return tokens.tokenizer


def documents_of(tokens: Tokens, stream: np.ndarray) -> list[str]:
    ends = np.flatnonzero(stream == tokens.tokenizer.end_of_document)
    assert ends[-1] == len(stream) - 1
    return [tokens.tokenizer.decode(part) for part in np.split(stream, ends + 1)[:-1]]


@settings(max_examples=200, deadline=None)
@given(made=st.text())
def test_every_text_comes_back(tokenizer: SubwordTokenizer, made: str) -> None:
    found = tokenizer.encode(made)
    assert tokenizer.decode(found) == made
    assert np.all(found < tokenizer.end_of_document)


def test_the_name_of_the_end_is_text_where_it_stands_in_a_text(tokenizer: SubwordTokenizer) -> None:
    found = tokenizer.encode("a<|endoftext|>b")
    assert tokenizer.end_of_document == VOCABULARY - 1
    assert tokenizer.end_of_document not in found
    assert tokenizer.decode(found) == "a<|endoftext|>b"


def test_a_long_text_is_tokenised_in_pieces(tokenizer: SubwordTokenizer) -> None:
    line = "the model learns a law\n"
    long = line * (PIECE // len(line) * 2) + "é" * PIECE
    assert tokenizer.decode(tokenizer.encode(long)) == long


def test_documents_come_back_from_the_streams_and_take_fewer_tokens(tokens: Tokens, config: DataConfig) -> None:
    plain = prepare(config.model_copy(update={"tokenizer": "bytes"}), seed=0)
    assert documents_of(tokens, tokens.train) == documents_of(plain, plain.train)
    assert documents_of(tokens, tokens.validation) == documents_of(plain, plain.validation), "the same are held out"
    assert tokens.record.train_tokens < plain.record.train_tokens / 2
    held_out = [len(text.encode()) for text in documents_of(tokens, tokens.validation)]
    assert tokens.validation_bytes.tolist() == plain.validation_bytes.tolist() == held_out
    assert tokens.summary.validation_bytes == sum(held_out)
    assert tokens.summary.vocabulary == config.vocabulary == VOCABULARY


def test_the_same_text_gives_the_same_tokeniser_and_other_text_another(config: DataConfig, tokens: Tokens) -> None:
    assert prepare(config, seed=0).record == tokens.record
    other = prepare(config.model_copy(update={"bpe": config.bpe.model_copy(update={"vocabulary": 291})}), seed=0)
    assert other.record.tokenizer != tokens.record.tokenizer
    assert tokens.record.tokenizer.startswith("bpe-")


def test_held_out_text_is_never_trained_on(tmp_path: Path) -> None:
    """A word that is in one held-out document a thousand times would be merged at once."""
    for number in range(40):
        (tmp_path / f"{number:02}.txt").write_text(f"document {number} says what documents say {number * 7} " * 30)
    config = DataConfig(corpus=str(tmp_path), tokenizer="bpe", bpe={"vocabulary": 280}, validation_tokens=3000)
    plain = prepare(config.model_copy(update={"tokenizer": "bytes"}), seed=0)
    first = documents_of(plain, plain.validation)[0]
    (path,) = [path for path in tmp_path.iterdir() if path.read_text() == first]
    for seed in range(100):  # the order of what is held out depends on the content: look for one that still is
        path.write_text(f"{seed}" + " xylophone" * 100)
        marked = prepare(config.model_copy(update={"tokenizer": "bytes"}), seed=0)
        if any("xylophone" in text for text in documents_of(marked, marked.validation)):
            break
    found = prepare(config, seed=0, cache=tmp_path.parent / f"{tmp_path.name}-cache")
    assert any("xylophone" in text for text in documents_of(found, found.validation))
    assert found.folder is not None
    vocabulary = json.loads((found.folder / "tokenizer.json").read_text())["model"]["vocab"]
    assert not [token for token in vocabulary if "xy" in token]
    assert [token for token in vocabulary if "doc" in token]


def test_no_more_than_training_bytes_are_read(text: Path) -> None:
    config = DataConfig(corpus=str(text), tokenizer="bpe", validation_tokens=2000)
    little = {"vocabulary": 265, "training_bytes": 1}
    assert prepare(config.model_copy(update={"bpe": config.bpe.model_copy(update=little)}), seed=0).record
    with pytest.raises(StudyError, match=r"data.bpe.vocabulary is 4096.*merges for \d+ tokens only; use at most \d+"):
        prepare(config, seed=0)


def test_it_lies_with_the_tokens_and_damage_is_found(tokens: Tokens, tmp_path: Path) -> None:
    save(tokens, tmp_path)
    again = load(tmp_path)
    assert again.record == tokens.record
    assert again.tokenizer.encode("a law").tolist() == tokens.tokenizer.encode("a law").tolist()
    path = tmp_path / "tokenizer.json"
    path.write_text(path.read_text().replace('"!"', '"?"'))
    with pytest.raises(RecordError, match=r"tokenizer.json is damaged"):
        load(tmp_path)
    path.unlink()
    with pytest.raises(RecordError, match=r"tokenizer.json is missing"):
        load(tmp_path)
    save(tokens, tmp_path)
    assert load(tmp_path).tokenizer.identity == tokens.record.tokenizer


@pytest.fixture
def file(tokens: Tokens, tmp_path: Path) -> Path:
    """A tokenizer.json that somebody else made."""
    assert tokens.folder is not None
    path = tmp_path / "theirs.json"
    path.write_bytes((tokens.folder / "tokenizer.json").read_bytes())
    return path


def test_an_existing_file(file: Path, tokens: Tokens, config: DataConfig, tmp_path: Path) -> None:
    theirs = DataConfig(corpus=config.corpus, tokenizer=str(file), validation_tokens=2000)
    assert isinstance(theirs.tokenizer, TokenizerFile)
    assert (theirs.vocabulary, theirs.tokenizer.end_of_document) == (VOCABULARY, VOCABULARY - 1)
    assert theirs.tokenizer.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    found = prepare(theirs, seed=0)
    np.testing.assert_array_equal(found.train, tokens.train)
    assert found.record.tokenizer.startswith("file-")
    save(found, tmp_path / "data")
    assert (tmp_path / "data" / "tokenizer.json").read_bytes() == file.read_bytes()
    recorded = parse_study({"name": "x", "data": theirs.model_dump(mode="json")}).data
    assert recorded == theirs


def test_another_end_of_document_is_another_tokeniser(file: Path, config: DataConfig) -> None:
    named = DataConfig(corpus=config.corpus, tokenizer=str(file), validation_tokens=2000)
    byte = DataConfig(corpus=config.corpus, tokenizer=str(file), validation_tokens=2000, end_of_document=188)
    assert tokenizer_for(named).identity != tokenizer_for(byte).identity


def spoilt(content: dict[str, Any], **changes: Any) -> str:
    return json.dumps(content | changes)


@pytest.mark.parametrize(
    ("change", "field", "words"),
    [
        (lambda content: "[1, 2]", None, "is no tokenizer.json of the `tokenizers` library"),
        (lambda content: "no json", None, "is no tokenizer.json"),
        (lambda content: spoilt(content, added_tokens=[]), None, "has none of <|endoftext|>, .*; name the token"),
        (
            lambda content: spoilt(content, added_tokens=[*content["added_tokens"], {"id": 400, "content": "</s>"}]),
            None,
            "has several ends of text: <|endoftext|>, </s>; name the token",
        ),
        (json.dumps, "<eos>", "has no token '<eos>', that data.end_of_document names; it has"),
        (json.dumps, 999, "has no token 999, that data.end_of_document names"),
    ],
)
def test_a_file_that_will_not_do(file: Path, change: Any, field: Any, words: str) -> None:
    file.write_text(change(json.loads(file.read_text())))
    with pytest.raises(StudyError) as caught:
        parse_study({"name": "x", "data": {"tokenizer": str(file), "end_of_document": field}})
    message = str(caught.value)
    assert message.startswith(f"study: data.tokenizer is {str(file)!r}")
    assert all(part in message for part in words.split(".*"))


def test_an_end_that_text_makes_too_is_refused(file: Path, config: DataConfig) -> None:
    letter = json.loads(file.read_text())["model"]["vocab"]["a"]
    with pytest.raises(StudyError, match=rf"end_of_document is token {letter}, which the tokenizer also makes of text"):
        prepare(config.model_copy(update={"tokenizer": replace_end(file, letter)}), seed=0)


def replace_end(file: Path, end: int) -> TokenizerFile:
    found = DataConfig(tokenizer=str(file), end_of_document=end).tokenizer
    assert isinstance(found, TokenizerFile)
    return found


def test_a_file_that_changed_since_the_study_was_read(file: Path, config: DataConfig) -> None:
    theirs = DataConfig(corpus=config.corpus, tokenizer=str(file), validation_tokens=2000)
    file.write_text(file.read_text() + "\n")
    with pytest.raises(StudyError, match=r"theirs\.json', which changed since the study was read"):
        prepare(theirs, seed=0)
    file.unlink()
    with pytest.raises(StudyError, match="which vanished since the study was read"):
        prepare(theirs, seed=0)


def test_a_misspelt_name(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"data.tokenizer is 'bpee'; allowed: bytes, bpe, pretokenized, or the path"):
        parse_study({"name": "x", "data": {"tokenizer": "bpee"}})
    with pytest.raises(StudyError, match=r"data.bpe is set, but tokenizer is 'bytes'"):
        parse_study({"name": "x", "data": {"bpe": {"vocabulary": 400}}})
