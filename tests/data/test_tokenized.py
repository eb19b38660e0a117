"""Two streams, split by whole document; on disk and back; planning stays free of JAX."""

import subprocess
import sys
from pathlib import Path

import hypothesis
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling.config import DataConfig, StudyError
from scaling.data.corpora import read_corpus
from scaling.data.preparing import prepare
from scaling.data.tokenized import Tokens, epochs, load, save
from scaling.data.tokenizers import ByteTokenizer
from scaling.records import RecordError


def write_documents(folder: Path, count: int, length: int = 50) -> DataConfig:
    for number in range(count):
        (folder / f"{number:04}.txt").write_text(f"{number} é " + "x" * (number % length), encoding="utf-8")
    return DataConfig(corpus=str(folder), validation_tokens=count * 5)


def documents_of(stream: np.ndarray) -> list[str]:
    """Cut at every end of document; the last one must end the stream."""
    ends = np.flatnonzero(stream == 256)
    assert ends[-1] == len(stream) - 1
    return [ByteTokenizer().decode(part) for part in np.split(stream, ends + 1)[:-1]]


@pytest.fixture
def tokens(tmp_path: Path) -> Tokens:
    (tmp_path / "text").mkdir()
    return prepare(write_documents(tmp_path / "text", 100), seed=0)


def test_a_single_held_out_document_is_refused(tmp_path: Path) -> None:
    """It would have no standard error, which would come to light only when the first horizon is measured."""
    for number in range(4):
        (tmp_path / f"{number}.txt").write_text(f"{number}" * 400)
    with pytest.raises(StudyError, match=r"validation_tokens is 300, which holds out a single document.*least 402,"):
        prepare(DataConfig(corpus=str(tmp_path), validation_tokens=300), seed=0)
    two = prepare(DataConfig(corpus=str(tmp_path), validation_tokens=402), seed=0)
    assert two.summary.validation_documents == 2


def test_the_streams_hold_every_document_once_and_none_in_both(tmp_path: Path) -> None:
    config = write_documents(tmp_path, 100)
    tokens = prepare(config, seed=0)
    train, validation = documents_of(tokens.train), documents_of(tokens.validation)
    assert not set(train) & set(validation)
    assert sorted(train + validation) == sorted(document.text for document in read_corpus(config).documents)
    assert len(tokens.validation) >= config.validation_tokens
    longest = max(len(text.encode()) + 1 for text in validation)
    assert len(tokens.validation) < config.validation_tokens + longest
    assert tokens.train.dtype == tokens.validation.dtype == np.uint16


def test_offsets_are_the_held_out_documents(tokens: Tokens) -> None:
    pairs = zip(tokens.validation_documents[:-1], tokens.validation_documents[1:], strict=True)
    cut = [ByteTokenizer().decode(tokens.validation[start:end]) for start, end in pairs]
    assert cut == documents_of(tokens.validation)


def test_the_record_and_the_summary_count(tokens: Tokens) -> None:
    record, summary = tokens.record, tokens.summary
    assert (record.train_tokens, record.validation_tokens) == (len(tokens.train), len(tokens.validation))
    assert summary.documents == summary.train_documents + summary.validation_documents == 100
    assert summary.unique_tokens == len(tokens.train) == summary.train_bytes + summary.train_documents
    assert len(tokens.validation) == summary.validation_bytes + summary.validation_documents
    assert epochs(3 * summary.unique_tokens, summary.unique_tokens) == 3.0


def test_equal_text_and_seed_give_equal_tokens_and_another_seed_another_split(tmp_path: Path) -> None:
    config = write_documents(tmp_path, 60)
    first, again, other = prepare(config, 1), prepare(config, 1), prepare(config, 2)
    assert first.record == again.record
    assert first.record.fingerprint != other.record.fingerprint
    assert set(documents_of(first.validation)) != set(documents_of(other.validation))


def test_one_changed_character_changes_the_fingerprint(tmp_path: Path) -> None:
    config = write_documents(tmp_path, 20)
    before = prepare(config, 0).record.fingerprint
    (tmp_path / "0007.txt").write_text("7 e changed", encoding="utf-8")
    assert prepare(config, 0).record.fingerprint != before


def test_duplicates_of_a_held_out_document_do_not_train(tmp_path: Path) -> None:
    config = write_documents(tmp_path, 30)
    for path in sorted(tmp_path.glob("*.txt")):
        (tmp_path / f"copy-of-{path.name}").write_bytes(path.read_bytes())
    tokens = prepare(config, 0)
    assert tokens.summary.duplicates_dropped == 30
    assert not set(documents_of(tokens.train)) & set(documents_of(tokens.validation))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 400), min_size=12, max_size=40), st.integers(0, 5), st.integers(1, 60))
def test_any_split_keeps_documents_whole(
    tmp_path_factory: pytest.TempPathFactory, lengths: list[int], seed: int, wanted: int
) -> None:
    folder = tmp_path_factory.mktemp("text")
    for number, length in enumerate(lengths):
        (folder / f"{number}").write_text(f"{number}:" + "x" * length, encoding="utf-8")
    config = DataConfig(corpus=str(folder), validation_tokens=wanted)
    try:
        tokens = prepare(config, seed)
    except StudyError:
        hypothesis.reject()
    train, validation = documents_of(tokens.train), documents_of(tokens.validation)
    assert len(train) + len(validation) == len(lengths) == len(set(train + validation))
    assert len(tokens.validation) >= wanted


def test_a_long_document_trains_while_short_ones_suffice(tmp_path: Path) -> None:
    write_documents(tmp_path, 100)
    (tmp_path / "topics.txt").write_text("long " * 1000, encoding="utf-8")
    for seed in range(8):
        tokens = prepare(DataConfig(corpus=str(tmp_path), validation_tokens=1000), seed)
        assert max(np.diff(tokens.validation_documents)) <= 250


def test_a_validation_split_larger_than_the_text_says_how_much_there_is(tmp_path: Path) -> None:
    write_documents(tmp_path, 10)
    total = sum(path.stat().st_size + 1 for path in tmp_path.iterdir())
    with pytest.raises(StudyError) as caught:
        prepare(DataConfig(corpus=str(tmp_path), validation_tokens=5_000_000), 0)
    message = str(caught.value)
    assert message.startswith("data.validation_tokens is 5000000")
    assert f"has only {total} tokens" in message
    assert f"use at most {total // 2}," in message
    prepare(DataConfig(corpus=str(tmp_path), validation_tokens=total // 2), 0)


def test_one_document_cannot_be_split(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "only one"}', encoding="utf-8")
    with pytest.raises(StudyError, match=r"only 1 distinct document.*give more documents"):
        prepare(DataConfig(corpus=str(tmp_path), text_field="text", validation_tokens=2), 0)


def test_save_and_load(tokens: Tokens, tmp_path: Path) -> None:
    save(tokens, tmp_path / "data")
    loaded = load(tmp_path / "data")
    assert (loaded.record, loaded.summary) == (tokens.record, tokens.summary)
    for name in ("train", "validation", "validation_documents"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(tokens, name))
        assert getattr(loaded, name).dtype == getattr(tokens, name).dtype
    assert isinstance(loaded.train, np.memmap)
    assert not loaded.train.flags.writeable


def test_saving_again_writes_nothing(tokens: Tokens, tmp_path: Path) -> None:
    save(tokens, tmp_path)
    before = {path.name: path.stat().st_ino for path in tmp_path.iterdir() if path.is_file()}
    save(tokens, tmp_path)
    assert before == {path.name: path.stat().st_ino for path in tmp_path.iterdir() if path.is_file()}


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-2] ^= 1
    path.write_bytes(bytes(content))


def spoil_header(path: Path) -> None:
    path.write_bytes(b"?" + path.read_bytes()[1:])


@pytest.mark.parametrize("name", ["train.npy", "validation.npy", "validation_documents.npy", "tokens.json"])
@pytest.mark.parametrize("damage", [truncate, flip, spoil_header, Path.unlink])
def test_a_damaged_file_is_found_and_saving_repairs_it(name: str, damage, tokens: Tokens, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    save(tokens, folder)
    damage(folder / name)
    with pytest.raises(RecordError, match=r"damaged|missing"):
        load(folder)
    save(tokens, folder)
    assert load(folder).record == tokens.record


def test_a_folder_of_other_tokens_is_replaced_whole(tmp_path: Path) -> None:
    (tmp_path / "text").mkdir()
    config = write_documents(tmp_path / "text", 60)
    save(prepare(config, 1), tmp_path / "data")
    save(prepare(config, 2), tmp_path / "data")
    assert load(tmp_path / "data").record == prepare(config, 2).record


def test_nothing_saved_yet(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"tokens.json is missing"):
        load(tmp_path)


def test_the_standard_library_is_prepared_by_default() -> None:
    tokens = prepare(DataConfig(), seed=0)
    assert 200_000 <= len(tokens.validation) <= 250_000
    assert tokens.summary.unique_tokens > 5_000_000
    assert tokens.summary.validation_documents >= 8
    assert tokens.summary.files_skipped == ()
    assert np.all(tokens.train[tokens.train > 255] == 256)


def test_preparing_needs_neither_jax_nor_grain() -> None:
    code = (
        "import sys, scaling.data, scaling.data.tokenized, scaling.data.held_out\n"
        "from scaling.data import prepare, load, EvaluationBatches\n"
        "print(sorted({'jax', 'flax', 'grain', 'optax'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
