"""Which documents a DataConfig names, and what is refused, in which words."""

import gzip
import json
import os
from pathlib import Path

import pytest

from scaling.config import DataConfig, StudyError
from scaling.data.corpora import read_corpus


def names_of(config: DataConfig) -> list[str]:
    return [document.name for document in read_corpus(config).documents]


def texts_of(config: DataConfig) -> list[str]:
    return [document.text for document in read_corpus(config).documents]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Files made in another order than their names'; an equal pair, an empty and a hidden one."""
    for name, text in {
        "b.txt": "second\r\n",
        "a/z.txt": "deep é\u2028x",
        "c.md": "second\r\n",
        "a/empty.txt": "",
        ".hidden": "no",
        ".git/config": "no",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(text.encode())
    return tmp_path


def test_a_folder_is_read_in_order_of_names_each_content_once(folder: Path) -> None:
    corpus = read_corpus(DataConfig(corpus=str(folder)))
    assert [(d.name, d.text) for d in corpus.documents] == [("a/z.txt", "deep é\u2028x"), ("b.txt", "second\r\n")]
    assert (corpus.duplicates, corpus.empty, corpus.skipped) == (1, 1, ())


def test_a_glob(folder: Path) -> None:
    assert names_of(DataConfig(corpus=f"{folder}/**/*.txt")) == ["a/z.txt", "b.txt"]
    assert read_corpus(DataConfig(corpus=f"{folder}/[bc].*")).duplicates == 1


def test_home_is_expanded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder))
    (folder / "a/y.txt").write_text("y", encoding="utf-8")
    assert names_of(DataConfig(corpus="~/a")) == ["y.txt", "z.txt"]


def test_a_single_file_is_cut_into_sections_at_line_ends(tmp_path: Path) -> None:
    text = "".join(f"line {number}\n" * (number % 3) for number in range(4000))
    (tmp_path / "book.txt").write_text(text, encoding="utf-8", newline="")
    sections = texts_of(DataConfig(corpus=str(tmp_path / "book.txt")))
    assert "".join(sections) == text
    assert all(section.endswith("\n") for section in sections)
    assert 32 <= len(sections) <= 65
    assert names_of(DataConfig(corpus=str(tmp_path)))[:2] == ["book.txt#0", "book.txt#1"]


def test_a_single_line_is_cut_too(tmp_path: Path) -> None:
    text = " ".join(str(number) for number in range(300_000))
    (tmp_path / "text8").write_text(text, encoding="utf-8")
    (tmp_path / "nothing").touch()
    sections = texts_of(DataConfig(corpus=str(tmp_path)))
    assert "".join(sections) == text
    assert max(map(len, sections)) == 2 * 16_384


def test_equal_sections_are_kept_once(tmp_path: Path) -> None:
    (tmp_path / "book.txt").write_text("the same line\n" * 1000, encoding="utf-8")
    corpus = read_corpus(DataConfig(corpus=str(tmp_path)))
    assert len(corpus.documents) == 2
    assert corpus.duplicates > 50


def test_json_lines_plain_and_compressed(tmp_path: Path) -> None:
    rows = [{"text": "one\u2028still one", "id": 1}, {"text": "zwei", "id": 2}]
    lines = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    (tmp_path / "a.jsonl").write_text(lines + "\n\n", encoding="utf-8")
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(lines.replace("one", "three").encode("utf-8-sig")))
    config = DataConfig(corpus=str(tmp_path), text_field="text")
    assert names_of(config) == ["a.jsonl:1", "a.jsonl:2", "b.jsonl.gz:1"]
    assert texts_of(config) == ["one\u2028still one", "zwei", "three\u2028still three"]


def test_what_is_not_utf8_is_skipped_and_listed_when_told(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"caf\xe9")
    (tmp_path / "b.jsonl").write_bytes(b'{"text": "caf\xe9"}')
    (tmp_path / "c.jsonl").write_text('{"text": "good"}\n{"text": "\\ud800"}', encoding="utf-8")
    config = DataConfig(corpus=str(tmp_path), text_field="text", bad_encoding="skip")
    assert read_corpus(config).skipped == ("a.txt", "b.jsonl", "c.jsonl:2")
    assert texts_of(config) == ["good"]


def test_the_standard_library() -> None:
    corpus = read_corpus(DataConfig())
    names = [document.name for document in corpus.documents]
    assert names == sorted(names)
    assert {"argparse.py", "json/decoder.py", "asyncio/tasks.py"} <= set(names)
    parts = {part for name in names for part in Path(name).parts[:-1]}
    assert not parts & {"encodings", "test", "tests", "idle_test", "site-packages", "dist-packages"}
    assert not [name for name in names if name.startswith("_sysconfigdata")]
    assert all(name.endswith(".py") for name in names)
    assert sum(len(document.text) for document in corpus.documents) > 5_000_000


BAD = {
    "nothing there": ({}, {"corpus": "corpsu"}, "which does not exist", "give a file, a folder, a glob"),
    "nearest name": ({"notes/a.txt": "x"}, {"corpus": "{}/nots"}, "which does not exist", "did you mean '{}/notes'?"),
    "nearest in the middle": ({"notes/a.txt": "x"}, {"corpus": "{}/nots/a.txt"}, "{}/nots/a.txt", "'{}/notes'?"),
    "misspelt stdlib": ({}, {"corpus": "stdlb"}, "data.corpus is 'stdlb'", "did you mean 'stdlib'?"),
    "empty folder": ({}, {"corpus": "{}"}, "data.corpus is '{}', an empty folder", "or use 'stdlib'"),
    "empty files": ({"a": "", "b": ""}, {"corpus": "{}"}, "without any text", "all are empty"),
    "all skipped": ({"a": b"\xff"}, {"corpus": "{}", "bad_encoding": "skip"}, "without any text", "1 are not UTF-8"),
    "glob": ({"a.txt": "x"}, {"corpus": "{}/*.md"}, "data.corpus is '{}/*.md', a glob", "matches no file"),
    "encoding": ({"a.txt": "x", "b.txt": b"ab\xff"}, {"corpus": "{}"}, "{}/b.txt is not UTF-8 (byte 2)", "'skip'"),
    "json encoding": (
        {"b.jsonl": b'{"text": "\xff"}'},
        {"corpus": "{}", "text_field": "text"},
        "{}/b.jsonl is not UTF-8",
        "data.bad_encoding to 'skip'",
    ),
    "surrogate": (
        {"b.jsonl": '{"text": "\\udfff"}'},
        {"corpus": "{}", "text_field": "text"},
        "{}/b.jsonl line 1 holds a lone surrogate",
        "data.bad_encoding to 'skip'",
    ),
    "no text_field": (
        {"b.jsonl": '{"body": "x", "n": 3, "title": "t"}'},
        {"corpus": "{}"},
        "data.text_field is not given",
        "fields with text there: body, title",
    ),
    "field missing in line 7": (
        {"b.jsonl": '{"text": "x"}\n' * 6 + '{"texts": "x"}'},
        {"corpus": "{}/b.jsonl", "text_field": "text"},
        "data.text_field is 'text', which {}/b.jsonl line 7 does not have",
        "did you mean 'texts'?",
    ),
    "field holds no text": (
        {"b.jsonl": '{"text": 12}'},
        {"corpus": "{}", "text_field": "text"},
        "line 1 holds 12, not text",
        "no field there holds text",
    ),
    "broken line": (
        {"b.jsonl": '{"text": "x"}\n{"text": '},
        {"corpus": "{}", "text_field": "text"},
        "{}/b.jsonl line 2 is not JSON",
        "each line must be one object",
    ),
    "too deep": (
        {"b.jsonl": "[" * 200_000},
        {"corpus": "{}", "text_field": "text"},
        "{}/b.jsonl line 1 is not JSON",
        "each line must be one object",
    ),
    "not an object": (
        {"b.jsonl": '["x"]'},
        {"corpus": "{}", "text_field": "text"},
        "line 1 holds list",
        "each line must be one object",
    ),
    "text_field for plain text": (
        {"a.txt": "x"},
        {"corpus": "{}", "text_field": "text"},
        "data.text_field is 'text', but data.corpus '{}' has no JSON lines",
        "leave text_field out",
    ),
    "cut gzip": (
        {"a.jsonl.gz": gzip.compress(b'{"text": "x"}' * 100)[:-9]},
        {"corpus": "{}", "text_field": "text"},
        "{}/a.jsonl.gz is not a whole gzip file",
        "compress it again",
    ),
    "no gzip": (
        {"a.jsonl.gz": '{"text": "x"}'},
        {"corpus": "{}", "text_field": "text"},
        "{}/a.jsonl.gz is not a whole gzip file",
        "compress it again",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_names_the_field_the_value_and_the_fix(case: str, tmp_path: Path) -> None:
    files, settings, what, fix = BAD[case]
    for name, content in files.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    here = {name: value.replace("{}", str(tmp_path)) for name, value in settings.items()}
    with pytest.raises(StudyError) as caught:
        read_corpus(DataConfig.model_validate(here))
    message = str(caught.value)
    assert message.startswith("data.")
    assert what.replace("{}", str(tmp_path)) in message
    assert fix.replace("{}", str(tmp_path)) in message


@pytest.mark.skipif(os.name != "posix", reason="needs permissions")
@pytest.mark.parametrize("name", ["a.txt", "a.jsonl"])
def test_an_unreadable_file_is_named(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: object, *rest: object) -> object:
        if Path(str(path)) == tmp_path / name:
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, *rest)

    (tmp_path / name).write_text("{}", encoding="utf-8")
    real = open
    monkeypatch.setattr("builtins.open", refuse)  # a test run by root may read everything
    with pytest.raises(StudyError, match=rf"{name} cannot be read: Permission denied"):
        read_corpus(DataConfig(corpus=str(tmp_path), text_field="text" if name == "a.jsonl" else None))
