"""Records: whole or not at all, never over what is there, equal bytes for equal data."""

import errno
import json
import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from scaling.records import (
    RecordError,
    RunDirectory,
    TrajectoryDirectory,
    canonical_json,
    commit_once,
    content_hash,
    exclusive,
    is_disk_full,
    provenance,
    read_json,
    replace,
    replace_all,
)
from tests.conftest import horizon


def test_commit_once_never_changes_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "a" / "horizon.json"
    assert commit_once(path, b"first")
    assert not commit_once(path, b"second")
    assert path.read_bytes() == b"first"
    assert [entry.name for entry in path.parent.iterdir()] == ["horizon.json"]


def _commit(path: str, content: int) -> bool:
    return commit_once(Path(path), str(content).encode() * 1000)


def test_of_many_writers_one_commits(tmp_path: Path) -> None:
    path = tmp_path / "record"
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        wrote = pool.starmap(_commit, [(str(path), digit) for digit in range(8)])
    assert sum(wrote) == 1
    assert path.read_bytes() == str(wrote.index(True)).encode() * 1000


def test_replace_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "index.csv"
    replace(path, b"one")
    replace(path, b"two")
    assert path.read_bytes() == b"two"


def test_several_files_are_replaced_whole(tmp_path: Path) -> None:
    files = {tmp_path / "jobs" / f"{at}.json": str(at).encode() for at in range(150)}
    replace(tmp_path / "jobs" / "7.json", b"old")
    replace_all(files)
    assert {path: path.read_bytes() for path in (tmp_path / "jobs").iterdir()} == files


def test_several_files_of_which_one_cannot_be_written_leave_no_temporary(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(OSError, match="taken"):
        replace_all({tmp_path / "fine": b"1", tmp_path / "taken": b"2", tmp_path / "late": b"3"})
    assert {entry.name for entry in tmp_path.iterdir()} <= {"fine", "taken"}


def test_a_full_disk_leaves_what_was_there_and_no_temporary(tmp_path: Path) -> None:
    path = tmp_path / "record"
    replace(path, b"old")
    script = (
        "import resource, sys, signal; from pathlib import Path; from scaling.records import replace\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
        "replace(Path(sys.argv[1]), b'x' * 1000)"
    )
    answer = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=False)
    assert "File too large" in answer.stderr
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["record"]


def test_is_disk_full_looks_through_causes() -> None:
    wrapped = RuntimeError("cannot save")
    wrapped.__cause__ = OSError(errno.ENOSPC, "No space left on device")
    assert is_disk_full(wrapped)
    assert not is_disk_full(OSError(errno.EACCES, "Permission denied"))


def test_a_lock_is_held_by_one_process_and_ends_with_it(tmp_path: Path) -> None:
    lock = tmp_path / ".lock"
    script = (
        "import sys, time; from pathlib import Path; from scaling.records import exclusive\n"
        "with exclusive(Path(sys.argv[1]), wait=False, holder='x'): print('held', flush=True); time.sleep(60)"
    )
    child = subprocess.Popen([sys.executable, "-c", script, str(lock)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "held\n"
    with (
        pytest.raises(RecordError, match="in use by another scaling run"),
        exclusive(lock, wait=False, holder="scaling run"),
    ):
        pass
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    with exclusive(lock, wait=False, holder="scaling run"):
        pass


def test_hashes_do_not_depend_on_the_order_of_keys() -> None:
    assert content_hash({"a": 1, "b": [1.5, None]}) == content_hash({"b": [1.5, None], "a": 1})
    assert canonical_json({"b": 1, "a": 2}) == b'{"a":2,"b":1}'
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json(float("nan"))


def test_a_damaged_record_is_named(tmp_path: Path) -> None:
    path = tmp_path / "horizon.json"
    path.write_text('{"loss": 1.')
    with pytest.raises(RecordError, match=r"horizon\.json is damaged"):
        read_json(path)


def test_a_horizons_name_is_its_settings_not_its_budget() -> None:
    assert horizon(100).name == horizon(100, budget=5.0).name
    assert len({horizon(100).name, horizon(101).name, horizon(100, decay_steps=11).name}) == 3


def test_what_is_kept_of_an_identity_is_not_that_of_a_copy_with_other_settings() -> None:
    first = horizon(100)
    assert first.name == first.name
    assert first.model_copy(update={"tokens": 101}).name.startswith("horizon-101-")
    assert first.model_copy().name == first.name
    assert first == horizon(100)
    assert hash(first) == hash(horizon(100))
    assert first.model_dump() == horizon(100).model_dump()


def test_last_metrics_skips_a_torn_line(tmp_path: Path) -> None:
    directory = TrajectoryDirectory(tmp_path)
    assert directory.last_metrics() is None
    lines = [json.dumps({"step": step, "pad": "x" * 300}) for step in range(40)]
    directory.metrics.write_text("\n".join(lines) + '\n{"step": 40, "lo')
    found = directory.last_metrics()
    assert found is not None
    assert found["step"] == 39


def test_only_begun_trajectories_are_listed(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    assert run.trajectory_directories() == []
    (run.trajectories / "empty").mkdir(parents=True)
    replace(run.trajectory("begun").record, b"{}")
    assert [directory.root.name for directory in run.trajectory_directories()] == ["begun"]


def test_provenance_names_versions() -> None:
    assert {"python", "jax", "flax", "numpy"} <= provenance().keys()
