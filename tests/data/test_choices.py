"""Questions with choices: likelihoods token by token, how choices are compared, what does not fit, what is refused."""

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scaling.config import SetConfig, StudyError
from scaling.data import ByteTokenizer, EvaluationSet, read_set
from scaling.data.choices import ChoiceBatches, Choices

NONE = np.array([0], np.uint16)
QUESTIONS: list[dict[str, Any]] = [
    {"prompt": "The sky is", "choices": [" blue", " a green cheese", " é"], "answer": 0},
    {"prompt": "", "choices": ["yes", "no"], "answer": "no"},
    {"prompt": "One and one, and then another one, is", "choices": [" three", " 3"], "answer": 1},
]


def write(folder: Path, records: list[Any], name: str = "quiz.jsonl") -> Path:
    path = folder / name
    path.write_text("\n".join(json.dumps(record) for record in records), encoding="utf-8")
    return path


def quiz(folder: Path, records: list[Any] | None = None, **config: Any) -> EvaluationSet:
    path = write(folder, QUESTIONS if records is None else records)
    return read_set("quiz", SetConfig(path=str(path), **config), ByteTokenizer(), NONE, "--set quiz")


def choices(folder: Path, records: list[Any] | None = None) -> Choices:
    content = quiz(folder, records).content
    assert isinstance(content, Choices)
    return content


def table() -> np.ndarray[Any, Any]:
    """(257, 257) -ln p(next | this) of a model that sees one token."""
    logits = np.random.default_rng(0).normal(size=(257, 257))
    return np.asarray(np.log(np.exp(logits).sum(1, keepdims=True)) - logits)


def losses(batches: ChoiceBatches) -> np.ndarray[Any, Any]:
    """What that model says of each target; nothing that is no target may count."""
    nats = table()[batches.tokens[..., :-1], batches.tokens[..., 1:]].astype(np.float32)
    return np.where(batches.mask > 0, nats, np.nan)


@pytest.mark.parametrize(("sequences", "length"), [(2, 64), (3, 16), (4, 8), (1, 3)])
def test_the_likelihood_of_a_choice_is_the_sum_over_its_own_tokens(tmp_path: Path, sequences: int, length: int) -> None:
    """However the windows are cut: this model needs one token of context, which every window has."""
    batches = ChoiceBatches(choices(tmp_path), sequences, length, "bytes")
    expected = []
    for question in QUESTIONS:
        for choice in question["choices"]:
            nats, last = 0.0, ([256, *question["prompt"].encode()])[-1]
            for byte in choice.encode():
                nats += table()[last, byte]
                last = byte
            expected.append(nats)
    np.testing.assert_allclose(batches.choice_nats(losses(batches)), expected, rtol=1e-5)


def test_a_model_that_knows_nothing_guesses(tmp_path: Path) -> None:
    batches = quiz(tmp_path).batches(2, 64)
    score = batches.score(np.full(batches.tokens[..., 1:].shape, np.log(257)))
    assert score.kind == "choices"
    assert score.bits_per_byte == pytest.approx(np.log2(257))
    assert score.bits_per_byte_se == pytest.approx(0, abs=1e-12)
    assert score.chance == pytest.approx((1 / 3 + 1 / 2 + 1 / 2) / 3)
    assert score.accuracy == pytest.approx(score.chance), "choices that are as likely share what is won"
    assert score.likelihood == pytest.approx(score.chance)


def test_the_three_measures_are_those_of_their_definition(tmp_path: Path) -> None:
    batches = ChoiceBatches(choices(tmp_path), 2, 64, "bytes")
    score, nats = batches.score(losses(batches)), batches.choice_nats(losses(batches))
    sizes = np.array([len(choice.encode()) for question in QUESTIONS for choice in question["choices"]])
    parts = [slice(0, 3), slice(3, 5), slice(5, 7)]
    right = [0, 1, 1]
    bits = [nats[part][one] / sizes[part][one] / np.log(2) for part, one in zip(parts, right, strict=True)]
    odds = [np.exp(-nats[part] / sizes[part]) for part in parts]
    shares = [own[one] / own.sum() for own, one in zip(odds, right, strict=True)]
    won = [float(own.argmax() == one) for own, one in zip(odds, right, strict=True)]
    for name, values in (("bits_per_byte", bits), ("likelihood", shares), ("accuracy", won)):
        assert getattr(score, name) == pytest.approx(np.mean(values)), name
        assert getattr(score, f"{name}_se") == pytest.approx(np.std(values, ddof=1) / np.sqrt(3)), name


def test_normalisation_keeps_a_long_choice_from_losing_by_its_length(tmp_path: Path) -> None:
    """-ln p is 6 of the long right choice and 4 of the short wrong one: a byte costs 1 and 2."""
    records = [{"prompt": "a", "choices": [" right", "no"], "answer": 0}] * 2
    found = {}
    for how in ("bytes", "none"):
        batches = ChoiceBatches(choices(tmp_path, records), 4, 16, how)  # type: ignore[arg-type]
        nats = np.where(batches.mask.sum(-1, keepdims=True) == 6, 1.0, 2.0) * np.ones_like(batches.mask)
        found[how] = batches.score(nats)
    assert (found["bytes"].accuracy, found["none"].accuracy) == (1.0, 0.0)
    assert found["bytes"].likelihood == pytest.approx(1 / (1 + np.exp(1 - 2)))
    assert found["none"].likelihood == pytest.approx(1 / (1 + np.exp(6 - 4)))
    assert found["bytes"].bits_per_byte == found["none"].bits_per_byte == pytest.approx(1 / np.log(2))


def test_a_prompt_that_does_not_fit_is_cut_from_the_left_and_counted(tmp_path: Path) -> None:
    batches = ChoiceBatches(choices(tmp_path), 1, 16, "bytes")
    score = batches.score(losses(batches))
    assert (score.cut, score.split) == (2, 0)  # the sky with cheese, and the sum
    row = batches.tokens[-1, 0]
    assert bytes(row.astype(np.uint8)).decode() == "another one, is 3"
    narrow = ChoiceBatches(choices(tmp_path), 1, 4, "bytes")
    assert narrow.score(losses(narrow)).split == 2


class Pairs:
    """A tokeniser of two letters a token, from the start on: what follows a prompt can change its last token."""

    vocabulary, end_of_document, identity = 65536, 65535, "pairs"

    def encode(self, text: str) -> np.ndarray[Any, Any]:
        padded = text + "\0" * (len(text) % 2)
        return np.array([ord(a) * 128 + ord(b) for a, b in zip(padded[::2], padded[1::2], strict=True)], np.uint16)

    def decode(self, tokens: np.ndarray[Any, Any]) -> str:
        raise NotImplementedError


def test_a_token_that_spans_prompt_and_choice_is_the_choices(tmp_path: Path) -> None:
    path = write(tmp_path, [{"prompt": "abc", "choices": ["d", "efg"], "answer": 0}] * 2)
    found = read_set("quiz", SetConfig(path=str(path)), Pairs(), NONE, "--set quiz")
    assert isinstance(found.content, Choices)
    assert found.content.answers.tolist() == [2, 2, 2, 2]  # behind the end of document and "ab"
    assert np.diff(found.content.offsets).tolist() == [3, 4, 3, 4]
    assert found.content.choice_bytes.tolist() == [1, 3, 1, 3]


def test_a_gzipped_file_and_other_field_names(tmp_path: Path) -> None:
    plain = quiz(tmp_path).record
    renamed = [{"q": one["prompt"], "options": one["choices"], "label": one["answer"]} for one in QUESTIONS]
    packed = tmp_path / "other.jsonl.gz"
    packed.write_bytes(gzip.compress(write(tmp_path, renamed).read_bytes()))
    config = SetConfig(path=str(packed), prompt_field="q", choices_field="options", answer_field="label")
    found = read_set("quiz", config, ByteTokenizer(), NONE, "--set quiz").record
    assert found == plain
    assert (plain.kind, plain.units, plain.text_bytes) == ("choices", 3, len(" blue" + "no" + " 3"))


def test_how_choices_are_compared_is_part_of_the_fingerprint(tmp_path: Path) -> None:
    assert quiz(tmp_path).record.fingerprint != quiz(tmp_path, normalize="none").record.fingerprint


GOOD = {"prompt": "a", "choices": ["b", "c"], "answer": 0}


@pytest.mark.parametrize(
    ("records", "words"),
    [
        ([GOOD], r"path is '.*quiz.jsonl', with 1 question\(s\); a standard error needs 2"),
        (
            [GOOD, {"prompt": "a", "choices": ["b", "c"]}],
            "answer_field is 'answer', which quiz.jsonl:2 does not have",
        ),
        ([GOOD, GOOD | {"answer": 2}], "answer_field: quiz.jsonl:2 holds 2; give the right choice's index, 0 to 1, or"),
        ([GOOD, GOOD | {"answer": "A"}], "answer_field: quiz.jsonl:2 holds 'A'"),
        ([GOOD, GOOD | {"answer": True}], "answer_field: quiz.jsonl:2 holds True"),
        (
            [GOOD, GOOD | {"choices": ["b", "b"]}],
            r"choices_field: quiz.jsonl:2 holds \['b', 'b'\]; give two or",
        ),
        ([GOOD, GOOD | {"choices": ["b", ""]}], "choices_field: quiz.jsonl:2"),
        ([GOOD, GOOD | {"choices": "bc"}], "choices_field: quiz.jsonl:2 holds 'bc'"),
        ([GOOD, GOOD | {"prompt": None}], "prompt_field: quiz.jsonl:2 holds None, not text"),
        ([GOOD, GOOD | {"prompt": "\ud800"}], "path: quiz.jsonl:2 holds a lone surrogate"),
        ([GOOD, 3], "path: .* line 2 holds int, not an object"),
    ],
)
def test_what_is_no_question_is_refused_by_line_and_field(tmp_path: Path, records: list[Any], words: str) -> None:
    with pytest.raises(StudyError, match=f"^--set quiz.{words}"):
        quiz(tmp_path, records)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, [GOOD, GOOD])
    path.write_text(path.read_text() + "\n{")
    with pytest.raises(StudyError, match=r"line 3 is not JSON in UTF-8"):
        read_set("quiz", SetConfig(path=str(path)), ByteTokenizer(), NONE, "--set quiz")
    (tmp_path / "bad.jsonl.gz").write_bytes(gzip.compress(path.read_bytes())[:-9])
    with pytest.raises(StudyError, match="is not a whole gzip file"):
        read_set("quiz", SetConfig(path=str(tmp_path / "bad.jsonl.gz")), ByteTokenizer(), NONE, "--set quiz")
    with pytest.raises(StudyError, match=r"questions are one file of JSON lines"):
        read_set("quiz", SetConfig(path=str(tmp_path), kind="choices"), ByteTokenizer(), NONE, "--set quiz")
