"""Named sets of text: bits per byte, losses by position, what of them was trained on, and what they are on disk."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scaling.config import DataConfig, SetConfig, StudyError
from scaling.data import ByteTokenizer, EvaluationBatches, EvaluationSet, Tokens, load_set, prepare, read_set, save_set
from scaling.data.evaluation_sets import in_training
from scaling.data.tokenizers import Pretokenized
from scaling.records import RecordError

NONE = np.array([0], np.uint16)
TEXTS = ["The first text.", "A second, which is longer than the first.", "éé", "And the last one of these."]


def texts(folder: Path, contents: list[str] | None = None) -> EvaluationSet:
    folder.mkdir(exist_ok=True)
    for place, text in enumerate(TEXTS if contents is None else contents):
        (folder / f"{place}.txt").write_text(text, encoding="utf-8")
    return read_set("news", SetConfig(path=str(folder)), ByteTokenizer(), NONE, "--set news")


def test_bits_per_byte_counts_the_ends_of_documents_and_the_bytes_of_the_text(tmp_path: Path) -> None:
    found = texts(tmp_path / "news")
    size = len("".join(TEXTS).encode())
    assert (found.record.units, found.record.text_bytes, found.record.tokens) == (4, size, size + 4)
    batches = found.batches(2, 8)
    score = batches.score(np.full(batches.tokens[..., 1:].shape, np.log(257)))
    assert score.kind == "text"
    assert score.loss == pytest.approx(np.log(257))
    assert score.bits_per_byte == pytest.approx(np.log2(257) * (size + 4) / size)
    assert score.loss_se == pytest.approx(0, abs=1e-12)


def test_bits_per_byte_are_those_of_the_text_whatever_a_token_is(text: Path, tmp_path: Path) -> None:
    """Of the same nats a byte, bytes and subwords have the same bits per byte; their losses differ by bytes a token."""
    config = DataConfig(corpus=str(text), tokenizer="bpe", bpe={"vocabulary": 290}, validation_tokens=2000)
    subwords = prepare(config, seed=0, cache=tmp_path / "cache").tokenizer
    found = {}
    for name, tokenizer in (("bytes", ByteTokenizer()), ("subwords", subwords)):
        made = read_set("news", SetConfig(path=str(text)), tokenizer, NONE, "--set news")
        batches = made.batches(2, 16)
        # A nat for each byte of a token, and one for the end of a document, which has none.
        sizes = [max(1, len(tokenizer.decode(np.array([one])).encode())) for one in range(tokenizer.vocabulary)]
        sizes[: 256 if name == "bytes" else 0] = [1] * (256 if name == "bytes" else 0)
        found[name] = made.record, batches.score(np.array(sizes, float)[batches.tokens[..., 1:]])
    (one, score), (other, coarse) = found["bytes"], found["subwords"]
    assert one.text_bytes == other.text_bytes
    assert one.tokens > 2 * other.tokens
    assert one.fingerprint != other.fingerprint
    assert score.bits_per_byte == pytest.approx((1 + one.units / one.text_bytes) / np.log(2), rel=1e-6)
    assert coarse.bits_per_byte == pytest.approx(score.bits_per_byte, rel=1e-3), "but for the stream's first token"
    assert coarse.bits_per_byte_se < 1e-3
    assert score.kind == coarse.kind == "text"
    assert coarse.loss > 2 * score.loss


def test_errors_are_those_between_documents(tmp_path: Path) -> None:
    """By the jackknife over documents, which the linearised variance agrees with for many documents."""
    contents = ["x" * int(n) for n in np.random.default_rng(0).integers(20, 60, 200)]
    contents = [f"{place}{text}" for place, text in enumerate(contents)]
    batches = texts(tmp_path / "many", contents).batches(4, 32)
    tokens = batches.tokens[..., 1:].reshape(-1)
    owner = np.cumsum(np.concatenate([[0], tokens[:-1] == 256]))
    nats = np.random.default_rng(1).normal(2.0, 0.3, owner.max() + 1)[owner].reshape(batches.tokens[..., 1:].shape)
    score = batches.score(nats)
    order = [path.name for path in sorted((tmp_path / "many").iterdir(), key=lambda path: path.name)]
    sizes = np.array([len((tmp_path / "many" / name).read_bytes()) for name in order], float)
    counts = sizes + 1
    counts[0] -= 1  # the stream's first token is no target
    sums = np.bincount(owner, weights=nats.reshape(-1))[: len(sizes)]
    for name, below, factor in (("loss", counts, 1.0), ("bits_per_byte", sizes, 1 / np.log(2))):
        left_out = factor * (sums.sum() - sums) / (below.sum() - below)
        jackknife = np.sqrt((len(sizes) - 1) / len(sizes) * np.sum((left_out - left_out.mean()) ** 2))
        assert getattr(score, name) == pytest.approx(factor * sums.sum() / below.sum(), rel=1e-3), name
        assert getattr(score, f"{name}_se") == pytest.approx(jackknife, rel=0.05), name


def test_losses_by_position_are_those_of_the_places(tokens: Tokens) -> None:
    held_out = EvaluationBatches(tokens.validation, tokens.validation_documents, 3, 12)
    at = np.arange(1.0, 13.0)
    found = held_out.by_position(np.broadcast_to(at, held_out.mask.shape))
    assert [(one.first, one.last) for one in found] == [(1, 1), (2, 2), (3, 4), (5, 8), (9, 12)]
    for one in found[:-1]:  # the last window ends in padding
        assert one.loss == pytest.approx(at[one.first - 1 : one.last].mean(), rel=1e-2)
    all_of_them = sum(one.loss * held_out.mask[..., one.first - 1 : one.last].sum() for one in found)
    assert all_of_them / held_out.mask.sum() == pytest.approx(held_out.score(at * held_out.mask).mean)


def test_documents_of_the_training_text_are_named(tmp_path: Path) -> None:
    train = np.concatenate([[*text.encode(), 256] for text in ("Something else.", TEXTS[2], TEXTS[0] + "!")])
    texts(tmp_path / "news")
    found = read_set("news", SetConfig(path=str(tmp_path / "news")), ByteTokenizer(), train, "--set news").record
    assert found.in_training == ("2.txt",)
    documents = [np.array([1, 2]), np.array([3]), np.array([1, 2]), np.array([7])]
    assert in_training(documents, np.array([3, 9, 1, 2, 9, 7], np.uint16), 9) == [0, 1, 2]
    assert in_training(documents, np.array([3, 1, 2], np.uint16), 9) == []


def test_a_fingerprint_is_of_the_content(tmp_path: Path) -> None:
    one, other = texts(tmp_path / "one").record, texts(tmp_path / "other", [*TEXTS[:3], "Another."]).record
    assert texts(tmp_path / "same").record.key == one.key
    assert one.key.startswith("news-")
    assert one.key != other.key


def test_a_set_on_disk_is_whole_or_refused(tmp_path: Path) -> None:
    found = texts(tmp_path / "news")
    folder = tmp_path / found.record.key
    save_set(found, folder)
    again = load_set(folder)
    assert again.record == found.record
    for name in ("tokens", "documents", "document_bytes"):
        np.testing.assert_array_equal(getattr(again.content, name), getattr(found.content, name))
    whole = (folder / "arrays.npz").read_bytes()
    (folder / "arrays.npz").write_bytes(whole[:-40])
    with pytest.raises(RecordError, match=r"is damaged"):
        load_set(folder)
    save_set(found, folder)
    assert (folder / "arrays.npz").read_bytes() == whole
    (folder / "set.json").unlink()
    with pytest.raises(RecordError, match=r"set.json does not exist"):
        load_set(folder)


def test_a_study_of_tokens_alone_reads_no_text(tmp_path: Path) -> None:
    (tmp_path / "news").mkdir()
    for place, text in enumerate(TEXTS):
        (tmp_path / "news" / f"{place}.txt").write_text(text, encoding="utf-8")
    with pytest.raises(StudyError, match=r"^--set news: data.tokenizer is 'pretokenized', which knows tokens alone"):
        read_set("news", SetConfig(path=str(tmp_path / "news")), Pretokenized(300, 299), NONE, "--set news")


@pytest.mark.parametrize(
    ("make", "config", "words"),
    [
        (None, {}, r"--set news.path is '.*news', which does not exist"),
        ('{"body": "x"}', {"text_field": "body"}, r"--set news.path is '.*news.jsonl', a single document"),
        ({"a.txt": ""}, {}, r"--set news.path is '.*news', without any text"),
        ({"a.jsonl": '{"body": "x"}'}, {}, r"--set news.text_field is not given"),
        ('{"body": "x"}', {}, r"text_field is not given.* \(as questions it would have prompt, choices, answer\)"),
        ({"a.txt": "x"}, {"text_field": "body"}, r"--set news.text_field is 'body', but path .* has no JSON lines"),
    ],
)
def test_what_is_no_text_is_refused(tmp_path: Path, make: Any, config: dict[str, Any], words: str) -> None:
    path = tmp_path / "news"
    if isinstance(make, str):
        path = tmp_path / "news.jsonl"
        path.write_text(make)
    elif make is not None:
        path.mkdir()
        for name, text in make.items():
            (path / name).write_text(text)
    with pytest.raises(StudyError, match=words):
        read_set("news", SetConfig(path=str(path), **config), ByteTokenizer(), NONE, "--set news")
