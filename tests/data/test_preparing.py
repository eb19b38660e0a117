"""Reading in parts, by several processes, from the cache, killed, on a full disk: always the same tokens or none."""

import errno
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from scaling.config import DataConfig, StudyError
from scaling.data import Tokens, load, prepare, read_corpus, text_files
from scaling.data import json_lines as lines
from scaling.data import pool as pools
from scaling.records import RecordError


def write_lines(folder: Path, documents: int, files: int = 3, words: int = 60) -> DataConfig:
    """JSON lines of documents of many lengths, a tenth of them copies; and a few text files between them."""
    random = np.random.default_rng(0)
    folder.mkdir(exist_ok=True)
    for file in range(files):
        rows = []
        for number in range(file, documents, files):
            of = number - files if number % 10 == 9 else number
            text = f"{of} é " + " ".join(f"w{word}" for word in random.integers(0, 99, random.integers(1, words)))
            rows.append({"text": json.loads(rows[-1])["text"] if number % 10 == 9 and rows else text})
            rows[-1] = json.dumps(rows[-1], ensure_ascii=False)  # type: ignore[call-overload]
        (folder / f"{file}.jsonl").write_text("\n".join(map(str, rows)) + "\n", encoding="utf-8")
        (folder / f"{file}b.txt").write_text(f"text {file}\n" * 50, encoding="utf-8")
    return DataConfig(corpus=str(folder), text_field="text", validation_tokens=documents * 8)


def by_hand(config: DataConfig, seed: int) -> tuple[list[str], list[str]]:
    """What trains and what is held out, in memory and one document after another: as docs/data.md says it."""
    texts = [document.text for document in read_corpus(config).documents]
    longest = config.validation_tokens // 4

    def turn(text: str) -> tuple[int, bytes]:
        length = len(text.encode()) + 1
        return max(longest, length), hashlib.sha256(f"{seed}:{text}".encode()).digest()

    held_out: set[str] = set()
    for text in sorted(texts, key=turn):
        if sum(len(one.encode()) + 1 for one in held_out) >= config.validation_tokens:
            break
        held_out.add(text)
    return [text for text in texts if text not in held_out], [text for text in texts if text in held_out]


def stream_of(texts: list[str]) -> np.ndarray:
    return np.concatenate([np.array([*text.encode(), 256], np.uint16) for text in texts])


def same(one: Tokens, other: Tokens) -> bool:
    names = ("train", "validation", "validation_documents", "validation_bytes")
    arrays = all(np.array_equal(getattr(one, name), getattr(other, name)) for name in names)
    return arrays and one.record == other.record and one.summary == other.summary


@pytest.mark.parametrize("seed", [0, 7])
def test_streams_are_what_reading_by_hand_gives(tmp_path: Path, seed: int) -> None:
    config = write_lines(tmp_path, 300)
    tokens = prepare(config, seed)
    train, held_out = by_hand(config, seed)
    np.testing.assert_array_equal(tokens.train, stream_of(train))
    np.testing.assert_array_equal(tokens.validation, stream_of(held_out))
    assert tokens.summary.duplicates_dropped >= 25
    assert tokens.validation_bytes.tolist() == [len(text.encode()) for text in held_out]


def test_several_processes_and_small_parts_give_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = write_lines(tmp_path, 300)
    alone = prepare(config, 0)
    told: list[tuple[str, int, int]] = []
    monkeypatch.setattr(pools, "PARALLEL_BYTES", 0)
    monkeypatch.setattr(lines, "UNIT_BYTES", 4000)
    assert same(prepare(config, 0, processes=2, watching=lambda *said: told.append(said)), alone)
    assert {stage for stage, _, _ in told} == {"reading", "tokenising"}
    assert [done for stage, done, _ in told if stage == "reading"][-1] == told[0][2] > 0
    assert not psutil.Process().children(recursive=True) or all(
        "resource_tracker" in " ".join(child.cmdline()) for child in psutil.Process().children(recursive=True)
    )


def test_what_is_wrong_in_another_process_is_said_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = write_lines(tmp_path, 60)
    with (tmp_path / "2.jsonl").open("a") as file:
        file.write('{"text": \n')
    monkeypatch.setattr(pools, "PARALLEL_BYTES", 0)
    monkeypatch.setattr(lines, "UNIT_BYTES", 500)
    with pytest.raises(StudyError, match=r"^data.corpus: .*2.jsonl line 21 is not JSON"):
        prepare(config, 0, processes=2)


def test_a_long_text_is_cut_the_same_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sections of one file do not depend on how much of it is in memory."""
    text = "".join(f"line {number} é {'x' * (number % 90)}\n" * (number % 7 > 0) for number in range(60_000))
    (tmp_path / "book.txt").write_text(text, encoding="utf-8")
    config = DataConfig(corpus=str(tmp_path), validation_tokens=100_000)
    whole = [document.text for document in read_corpus(config).documents]
    assert "".join(whole) == text
    alone = prepare(config, 0)
    for piece in (1000, 70_000):
        monkeypatch.setattr("scaling.data.units.PIECE", piece)
        monkeypatch.setattr(text_files, "PIECE", piece)
        monkeypatch.setattr(text_files, "UNIT_BYTES", 50_000)
        assert [document.text for document in read_corpus(config).documents] == whole
        assert same(prepare(config, 0), alone)


def test_a_share_is_held_out(tmp_path: Path) -> None:
    config = write_lines(tmp_path, 300)
    total = prepare(config, 0).summary
    size = total.train_bytes + total.validation_bytes + total.documents
    for share in (0.1, 0.3):
        held_out = prepare(DataConfig(corpus=config.corpus, text_field="text", validation_share=share), 0)
        assert share * size <= len(held_out.validation) <= share * size + 700
    with pytest.raises(StudyError, match=r"data.validation_share is 1e-06 \(1 tokens\), which holds out a single"):
        prepare(DataConfig(corpus=config.corpus, text_field="text", validation_share=1e-6), 0)
    with pytest.raises(ValueError, match=r"validation_share is 0\.2, and validation_tokens 500; give one of them"):
        DataConfig(validation_share=0.2, validation_tokens=500)


def test_the_same_text_is_taken_from_the_cache(tmp_path: Path) -> None:
    config, cache = write_lines(tmp_path / "text", 60), tmp_path / "cache"
    first = prepare(config, 0, cache=cache)
    told: list[str] = []

    def again(config: DataConfig = config, seed: int = 0) -> bool:
        """Whether the text was read."""
        told.clear()
        prepare(config, seed, cache=cache, watching=lambda stage, *_: told.append(stage))
        return bool(told)

    assert not again()
    assert same(load(first.folder), first)  # type: ignore[arg-type]
    assert again(seed=1)
    assert again(config.model_copy(update={"validation_tokens": 300}))
    assert not again()
    (tmp_path / "text" / "0b.txt").write_text("other\n")
    assert again()
    changed = prepare(config, 0, cache=cache)
    assert changed.record != first.record
    assert changed.folder is not None
    (changed.folder / "train.npy").unlink()  # a file that is mapped must not be cut short
    (changed.folder / "train.npy").write_bytes(b"spoilt")
    assert again(), "damage is found, and made anew"
    assert same(prepare(config, 0, cache=cache), changed)


def test_what_is_made_is_not_kept(tmp_path: Path) -> None:
    config = DataConfig(corpus="grammar", synthetic={"tokens": 5000}, validation_tokens=1000)
    assert prepare(config, 0, cache=tmp_path).folder is None
    assert not list(tmp_path.iterdir())


SLOW = """
import sys, time
from pathlib import Path
from scaling.config import DataConfig
from scaling.data import prepare, pool
pool.PARALLEL_BYTES = 0
if __name__ == "__main__":
    config = DataConfig(corpus=sys.argv[1], text_field="text", validation_tokens=int(sys.argv[3]))
    def watch(stage, done, total):
        if stage == "tokenising" and done:
            print("tokenising", flush=True)
            time.sleep(60)
    prepare(config, 0, cache=Path(sys.argv[2]), processes=2, watching=watch)
"""


def test_a_killed_tokenisation_leaves_nothing_that_is_taken_for_whole(tmp_path: Path) -> None:
    config, cache = write_lines(tmp_path / "text", 300), tmp_path / "cache"
    (tmp_path / "slow.py").write_text(SLOW)
    command = [sys.executable, str(tmp_path / "slow.py"), str(config.corpus), str(cache), str(config.validation_tokens)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "tokenising\n"
    workers = psutil.Process(process.pid).children(recursive=True)
    (partial,) = cache.glob("*.partial")
    assert (partial / "train.npy").exists()
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    _, alive = psutil.wait_procs(workers, timeout=10)
    assert not alive, "workers end with the process that started them"
    assert partial.exists()
    with pytest.raises(RecordError, match="holds no whole tokens"):
        load(partial)
    assert same(prepare(config, 0, cache=cache), prepare(config, 0))
    assert not list(cache.glob("*.partial")), "what the killed one left is gone"


def test_a_disk_that_fills_up_leaves_nothing(tmp_path: Path, small_disk: Path) -> None:
    config = write_lines(tmp_path / "text", 3000, words=600)
    filler = small_disk / "filler"
    filler.write_bytes(bytes(98 * 2**20))
    with pytest.raises(OSError, match="No space left") as caught:
        prepare(config, 0, cache=small_disk / "cache")
    assert caught.value.errno == errno.ENOSPC
    assert not list((small_disk / "cache").glob("*.partial"))
    filler.unlink()
    assert same(prepare(config, 0, cache=small_disk / "cache"), prepare(config, 0))


def test_text_that_changes_while_it_is_read_is_refused(tmp_path: Path) -> None:
    config = write_lines(tmp_path, 60)

    def change(stage: str, done: int, total: int) -> None:
        if stage == "tokenising" and done == 0:
            path = tmp_path / "1.jsonl"
            path.write_text(path.read_text().replace("w", "ww"))

    with pytest.raises(StudyError, match=r"data.corpus: 1.jsonl changed while it was read"):
        prepare(config, 0, watching=change)


MEASURED = """
import sys
from pathlib import Path
from scaling.config import DataConfig
from scaling.data import prepare
if __name__ == "__main__":
    config = DataConfig(corpus=sys.argv[1], text_field="text", validation_tokens=100_000)
    prepare(config, 0, cache=Path(sys.argv[2]), processes=2)
"""


@pytest.mark.full
def test_memory_does_not_grow_with_the_corpus(tmp_path: Path) -> None:
    """Six times the text, half a gigabyte, takes as much memory: a few units of text, and 40 bytes a document."""
    (tmp_path / "measured.py").write_text(MEASURED)
    peaks = []
    for size in (1, 6):
        folder = tmp_path / f"text-{size}"
        folder.mkdir()
        for file in range(size):
            body = " ".join(f"w{word}" for word in np.random.default_rng(file).integers(0, 10**6, 4000))
            with (folder / f"{file}.jsonl").open("w") as out:
                out.writelines(json.dumps({"text": f"{file} {row} {body}"}) + "\n" for row in range(3300))
        arguments = [str(tmp_path / "measured.py"), str(folder), str(tmp_path / f"cache-{size}")]
        process = subprocess.Popen([sys.executable, *arguments])
        peaks.append(peak_bytes(process))
        assert process.returncode == 0
    assert peaks[1] < 1.3 * peaks[0]
    assert peaks[1] < 2**30


def peak_bytes(process: subprocess.Popen[bytes]) -> int:
    """Most memory of a process and all that it starts, shared pages counted once, until it ends."""
    me, peak = psutil.Process(process.pid), 0
    while process.poll() is None:
        found = 0
        for one in (me, *me.children(recursive=True)):
            try:
                found += one.memory_full_info().pss
            except psutil.Error:
                continue
        peak = max(peak, found)
        time.sleep(0.05)
    return peak
