"""What a corpus may be made of: compressed files, Parquet, Hugging Face data sets, arrays of tokens."""

import bz2
import json
import lzma
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from scaling.config import DataConfig, StudyError
from scaling.data import json_lines as lines
from scaling.data import parquet as tables
from scaling.data import prepare, read_corpus

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

ROWS = [{"text": f"row {number} says {'é' * (number % 5)} {number}", "id": number} for number in range(60)]
TEXTS = [str(row["text"]) for row in ROWS]


def texts_of(config: DataConfig) -> list[str]:
    return [document.text for document in read_corpus(config).documents]


@pytest.mark.parametrize(
    ("suffix", "pack"),
    [(".bz2", bz2.compress), (".xz", lzma.compress), (".zst", zstd.compress)],
)
def test_compressed_json_lines(tmp_path: Path, suffix: str, pack: Callable[[bytes], bytes]) -> None:
    content = "\n".join(json.dumps(row) for row in ROWS).encode()
    path = tmp_path / f"a.jsonl{suffix}"
    path.write_bytes(pack(content))
    config = DataConfig(corpus=str(path), text_field="text")
    assert texts_of(config) == TEXTS
    for damaged in (pack(content)[:-9], content):
        path.write_bytes(damaged)
        with pytest.raises(StudyError, match=rf"data.corpus: .*a\.jsonl\{suffix} is not a whole \w+ file"):
            read_corpus(config)


def test_compressed_text_files_and_archives(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"{number}.txt.xz").write_bytes(lzma.compress(f"text {number}".encode()))
    assert texts_of(DataConfig(corpus=str(tmp_path))) == ["text 0", "text 1", "text 2"]
    long = "".join(f"line {number}\n" for number in range(9000))
    (tmp_path / "book.txt.bz2").write_bytes(bz2.compress(long.encode()))
    book = prepare(DataConfig(corpus=str(tmp_path / "book.txt.bz2"), validation_tokens=9000), 0)
    (tmp_path / "book.txt").write_text(long)
    assert prepare(DataConfig(corpus=str(tmp_path / "book.txt"), validation_tokens=9000), 0).record == book.record
    (tmp_path / "a.tar.bz2").write_bytes(bz2.compress(b"plain"))
    with pytest.raises(StudyError, match=r"a.tar.bz2 is not UTF-8"):
        read_corpus(DataConfig(corpus=str(tmp_path)))


def test_zstandard_needs_its_extra_before_python_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if sys.version_info >= (3, 14):
        pytest.skip("the standard library reads it")
    (tmp_path / "a.jsonl.zst").write_bytes(zstd.compress(b'{"text": "x"}'))
    monkeypatch.setitem(sys.modules, "backports.zstd", None)
    monkeypatch.delattr("backports.zstd", raising=False)
    with pytest.raises(StudyError, match=r"pip install 'scaling\[zst\]'"):
        read_corpus(DataConfig(corpus=str(tmp_path), text_field="text"))


def test_a_file_of_json_lines_is_read_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever the cuts fall, every record is read once and has its own line's number."""
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(json.dumps(row, ensure_ascii=False) + "\n" * (row["id"] % 3) for row in ROWS) + "\n")
    config = DataConfig(corpus=str(path), text_field="text")
    whole = [(document.name, document.text) for document in read_corpus(config).documents]
    for size in (1, 7, 40, 333, 10**6):
        monkeypatch.setattr(lines, "UNIT_BYTES", size)
        assert [(document.name, document.text) for document in read_corpus(config).documents] == whole
    assert [text for _, text in whole] == TEXTS


def test_parquet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pl.DataFrame(ROWS[:40]).write_parquet(tmp_path / "a.parquet", row_group_size=7)
    pl.DataFrame(ROWS[40:]).write_parquet(tmp_path / "b.parquet")
    config = DataConfig(corpus=str(tmp_path), text_field="text")
    assert texts_of(config) == TEXTS
    monkeypatch.setattr(tables, "UNIT_BYTES", 100)
    corpus = read_corpus(config)
    assert [document.text for document in corpus.documents] == TEXTS
    assert corpus.documents[41].name == "b.parquet:1"


@pytest.mark.parametrize(
    ("field", "words"),
    [
        (None, "data.text_field is not given, but {} is a table; name the column of the text; columns with text there: "
         "text"),
        ("texts", "data.text_field is 'texts', which {} does not have; did you mean 'text'?"),
        ("id", "data.text_field is 'id', which in {} is not text; columns with text there: text"),
    ],
)  # fmt: skip
def test_a_parquet_that_has_no_such_text(tmp_path: Path, field: str | None, words: str) -> None:
    path = tmp_path / "a.parquet"
    pl.DataFrame(ROWS).write_parquet(path)
    with pytest.raises(StudyError) as caught:
        read_corpus(DataConfig(corpus=str(path), text_field=field))
    assert str(caught.value) == words.format(path)


def test_a_parquet_with_a_hole_or_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pl.DataFrame({"text": ["a", None]}).write_parquet(path)
    config = DataConfig(corpus=str(path), text_field="text")
    with pytest.raises(StudyError, match=r"data.text_field is 'text', which is empty in .*a.parquet row 1"):
        read_corpus(config)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(StudyError, match=r"data.corpus: .*a.parquet is not a whole Parquet file"):
        read_corpus(config)


def test_a_hugging_face_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("datasets")
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    folder = tmp_path / "set"
    folder.mkdir()
    (folder / "train.jsonl").write_text("\n".join(json.dumps(row) for row in ROWS))
    (folder / "test.jsonl").write_text(json.dumps(ROWS[0]))
    name = f"hf:{folder}"
    assert texts_of(DataConfig(corpus=name, text_field="text")) == TEXTS
    assert texts_of(DataConfig(corpus=name, text_field="text", hf={"split": "test"})) == TEXTS[:1]
    assert texts_of(DataConfig(corpus=name, text_field="text", hf={"split": "train[:10]"})) == TEXTS[:10]
    with pytest.raises(StudyError, match=r"data.text_field is 'txt', which hf:.* does not have; did you mean 'text'"):
        read_corpus(DataConfig(corpus=name, text_field="txt"))
    with pytest.raises(StudyError, match=r"which `datasets` cannot load with config None, split 'tests'"):
        read_corpus(DataConfig(corpus=name, text_field="text", hf={"split": "tests"}))
    with pytest.raises(StudyError, match=r"data.corpus is 'hf:.*nowhere', which `datasets` cannot load"):
        read_corpus(DataConfig(corpus=f"hf:{tmp_path}/nowhere", text_field="text"))


def test_hugging_face_needs_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(StudyError, match=r"data.corpus is 'hf:wikitext', which takes the extra hf: pip install"):
        read_corpus(DataConfig(corpus="hf:wikitext", text_field="text"))


END = 9
ARRAYS: dict[str, Any] = {"tokenizer": "pretokenized", "pretokenized": {"vocabulary": 10, "end_of_document": END}}
DOCUMENTS = [[number % 9, 1, number // 9, *range(number % 4)] for number in range(60)]
STREAM = [token for document in DOCUMENTS for token in (*document, END)]


def documents_of(stream: np.ndarray[Any, Any]) -> list[list[int]]:
    assert stream[-1] == END
    return [part.tolist() for part in np.split(stream, np.flatnonzero(stream == END)[:-1] + 1)]


@pytest.mark.parametrize("name", ["a.npy", "a.bin"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "int64"])
@pytest.mark.parametrize("ended", [True, False])
def test_arrays_of_tokens(tmp_path: Path, name: str, dtype: str, ended: bool) -> None:
    stream = np.array(STREAM if ended else STREAM[:-1], dtype=dtype)
    with (tmp_path / name).open("wb") as file:
        np.save(file, stream) if name == "a.npy" else file.write(stream.tobytes())
    pretokenized = ARRAYS["pretokenized"] | {"dtype": dtype}
    config = DataConfig(corpus=str(tmp_path), validation_tokens=40, **(ARRAYS | {"pretokenized": pretokenized}))
    tokens = prepare(config, seed=0)
    found = documents_of(tokens.train) + documents_of(tokens.validation)
    assert sorted(found) == sorted([*document, END] for document in DOCUMENTS)
    assert len(tokens.validation) >= 40
    assert (config.vocabulary, tokens.summary.vocabulary, tokens.train.dtype) == (10, 10, np.uint16)
    assert (tokens.summary.validation_bytes, len(tokens.validation_bytes)) == (0, 0), "their text is not known"


@pytest.mark.parametrize(
    ("array", "settings", "words"),
    [
        (np.array([1.0, 9.0]), {}, "holds float64 of shape [2]; tokens are whole numbers in one dimension"),
        (np.array([[1, 9]]), {}, "holds int64 of shape [1, 2]; tokens are whole numbers"),
        (np.array([1, 9, 12, 9, 3, 9]), {}, "data.pretokenized.vocabulary is 10, but {} holds 12 at token 2; name the"),
        (np.array([1, 9, -1, 9, 3, 9]), {}, "holds -1 at token 2"),
        (np.array([1, 2, 3]), {}, "only 1 distinct document(s)"),
        (np.array([1, 9]), {"tokenizer": "bytes", "pretokenized": {}}, "arrays of numbers, but data.tokenizer is"),
    ],
)  # fmt: skip
def test_arrays_that_will_not_do(
    tmp_path: Path, array: np.ndarray[Any, Any], settings: dict[str, Any], words: str
) -> None:
    path = tmp_path / "a.npy"
    np.save(path, array)
    with pytest.raises(StudyError) as caught:
        prepare(DataConfig(corpus=str(path), validation_tokens=1, **(ARRAYS | settings)), seed=0)
    assert words.format(path) in str(caught.value)


def test_what_is_no_array(tmp_path: Path) -> None:
    (tmp_path / "a.npy").write_bytes(b"\x93NUMPY no")
    config = DataConfig(corpus=str(tmp_path), validation_tokens=2, **ARRAYS)
    with pytest.raises(StudyError, match=r"a.npy is not a whole .npy file"):
        prepare(config, seed=0)
    (tmp_path / "a.npy").rename(tmp_path / "a.bin")
    with pytest.raises(StudyError, match=r"data.pretokenized.dtype is uint16, but the bytes of .* are not whole such"):
        prepare(config, seed=0)
    (tmp_path / "a.bin").rename(tmp_path / "a.txt")
    with pytest.raises(StudyError, match=r"data.tokenizer is 'pretokenized', but data.corpus has .*a.txt, no array"):
        prepare(config, seed=0)


@pytest.mark.parametrize(
    ("pretokenized", "words"),
    [
        ({"end_of_document": 1}, "pretokenized.vocabulary is missing"),
        ({"vocabulary": 5}, "pretokenized.end_of_document is missing"),
        ({"vocabulary": 5, "end_of_document": 5}, "pretokenized.end_of_document is 5, not below"),
    ],
)
def test_what_numbers_mean_has_to_be_said(pretokenized: dict[str, int], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        DataConfig(tokenizer="pretokenized", pretokenized=pretokenized)
