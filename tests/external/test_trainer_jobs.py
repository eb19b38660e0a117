"""A job that a command trains: what is committed, how it ends, and what it says where something is wrong."""

import fcntl
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from scaling.data import Tokens
from scaling.engines import EXIT_BAD_INPUT, EXIT_DONE, EXIT_ELSEWHERE, EXIT_FAILED, EXIT_RESUME
from scaling.planning import reached
from scaling.records import LeaseLost, Result, RunDirectory, Task, leases_of, read_json
from tests.external.conftest import ROOT, CommandJob
from tests.test_imports import HEAVY

Make = Callable[..., CommandJob]
BOTH = [40 * 64, 80 * 64]


def until(told: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not told():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


def test_each_horizon_is_committed_with_what_is_known_of_it_and_nothing_else(commanded: Make) -> None:
    made = commanded()
    assert made.run() == EXIT_DONE, made.said
    assert made.committed == BOTH
    (first, _), one = made.directory.observations(), made.trajectory
    assert first.loss > 1.69
    assert (first.params, first.flops) == (one.params, 2560.0 * one.flops_per_token)
    assert first.loss_se is first.train_loss is first.bits_per_byte is None
    record = read_json(made.directory.horizon(one.horizons[0]))
    assert record["command"] == one.command.model_dump(mode="json") == record["identity"]["command"]
    assert "device" not in record
    assert "precision" not in record
    assert "the trainer speaks" in made.said
    before = made.directory.horizon(one.horizons[0]).read_bytes()
    assert made.run() == EXIT_DONE
    assert made.directory.horizon(one.horizons[0]).read_bytes() == before


def test_the_task_file_tells_the_plan_and_where_the_tokens_lie(commanded: Make, tokens: Tokens) -> None:
    made = commanded()
    made.run()
    task = Task.model_validate(read_json(made.directory.trainer / "task.json"))
    one = made.trajectory
    assert (task.id, task.params, task.seed, task.batch_tokens) == (one.id, one.params, 0, 64)
    assert (task.model, task.recipe) == (one.model, one.recipe)
    assert [(each.tokens, each.steps, each.decay_steps) for each in task.horizons] == [(2560, 40, 10), (5120, 80, 10)]
    for named, array in (
        (task.text.train, tokens.train),
        (task.text.validation_documents, tokens.validation_documents),
    ):
        mapped = np.memmap(named.file, named.dtype, "r", named.offset, (named.count,))
        assert np.array_equal(mapped, array)
    assert Path(task.checkpoints).is_dir()


def test_the_job_imports_no_jax(commanded: Make) -> None:
    made = commanded()
    script = f"""
import sys
import scaling.cli
try:
    scaling.cli.main(["job", {str(made.file)!r}])
except SystemExit as end:
    assert end.code == 0
print("MODULES", *{{name.split(".")[0] for name in sys.modules}})
"""
    told = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert made.committed == BOTH
    assert not set(told.rpartition("MODULES")[2].split()) & set(HEAVY)


@pytest.mark.parametrize(
    ("do", "words"),
    [
        ("wrong", "loss is 'low'; input should be a valid number"),
        ("unknown", "lossy is not a field; did you mean loss?"),
        ("nan", "loss is nan; input should be a finite number"),
        ("other_n", "flops is missing: params is 10"),
        ("half", "is no whole JSON"),
        ("missing", "ended with exit status 0 at w16-l1-s0-"),
        ("die", "ended with exit status 3 at w16-l1-s0-"),
    ],
)
def test_what_is_wrong_is_the_users_failure_and_what_was_right_stays(commanded: Make, do: str, words: str) -> None:
    made = commanded("--do", do)
    assert made.run() == EXIT_FAILED
    last = made.said.splitlines()[-1]
    assert words in last
    assert made.committed == BOTH[:1]
    if do in ("wrong", "missing", "half"):
        assert str(made.directory.output(made.trajectory.horizons[1])) in last
    if do == "wrong":
        assert made.run() == EXIT_FAILED
        assert "removed, to be written again" in made.said


def test_a_file_that_is_being_written_is_waited_for(commanded: Make) -> None:
    made = commanded("--do", "slowly")
    assert made.run() == EXIT_DONE, made.said
    assert made.committed == BOTH


def test_divergence_is_recorded(commanded: Make) -> None:
    made = commanded("--do", "diverge")
    assert made.run() == EXIT_DONE, made.said
    assert read_json(made.directory.diverged)["step"] == 7
    assert made.run() == EXIT_DONE


def test_a_failure_after_everything_is_committed_is_only_said(commanded: Make) -> None:
    made = commanded("--do", "late")
    assert made.run() == EXIT_DONE
    assert "all is committed" in made.said
    assert "ended with 9" in made.said


def test_a_trainer_may_ask_to_be_started_again(commanded: Make) -> None:
    made = commanded("--do", "again")
    assert made.run() == EXIT_RESUME
    assert made.run() == EXIT_DONE, made.said


@pytest.mark.parametrize(("do", "status"), [("resume", EXIT_RESUME), ("exit0", EXIT_RESUME), ("train", EXIT_RESUME)])
def test_sigterm_reaches_the_trainer_which_goes_on_from_its_checkpoint(
    commanded: Make, tmp_path: Path, do: str, status: int
) -> None:
    ticks = tmp_path / "ticks"
    made = commanded("--do", do, "--seconds", 0.1, "--ticks", ticks)
    process = made.start()
    until(lambda: ticks.exists() and len(ticks.read_text().splitlines()) >= 2)
    process.terminate()
    assert process.wait(20) == status, made.said
    assert made.run() == EXIT_DONE, made.said
    told = [int(line.split()[1]) for line in ticks.read_text().splitlines()]
    assert told == sorted(set(told)) == list(range(1, 11)), "no step twice"


def test_a_killed_trainer_ends_its_job_by_the_same_signal(commanded: Make) -> None:
    made = commanded("--do", "killed")
    assert made.run() == -signal.SIGKILL
    assert made.committed == BOTH[:1]
    assert "was ended by signal 9 (Killed)" in made.said


@pytest.mark.parametrize("do", ["deaf", "children"])
def test_a_killed_job_leaves_no_trainer_behind(commanded: Make, tmp_path: Path, do: str) -> None:
    ticks = tmp_path / "ticks"
    made = commanded("--do", do, "--seconds", 0.1, "--ticks", ticks)
    process = made.start()
    until(lambda: ticks.exists() and len(ticks.read_text().splitlines()) >= 3)
    mine = [int(pid) for pid in os.listdir("/proc") if pid.isdigit() and _names(int(pid), str(ticks))]
    assert len(mine) == (2 if do == "children" else 1)
    process.kill()
    process.wait()
    until(lambda: not any(map(alive, mine)), 5)
    before = len(ticks.read_text().splitlines())
    assert made.run() == EXIT_DONE, made.said
    assert made.committed == BOTH
    assert len(ticks.read_text().splitlines()) > before


def test_a_result_that_the_job_did_not_live_to_commit_is_taken_up(commanded: Make) -> None:
    made = commanded()
    output = made.directory.output(made.trajectory.horizons[0])
    output.parent.mkdir(parents=True)
    output.write_text(json.dumps({"loss": 3.25}))
    assert made.run() == EXIT_DONE
    assert made.directory.observations()[0].loss == 3.25
    assert [one["tokens"] for one in read_json(made.directory.trainer / "task.json")["horizons"]] == BOTH[1:]


def test_what_others_hold_is_left_to_them(commanded: Make) -> None:
    made = commanded()
    lease = leases_of(made.job.settings).take(made.directory.lease)
    assert lease is not None
    assert made.run() == EXIT_ELSEWHERE
    assert not made.directory.trainer.exists()
    lease.release()


def test_a_lost_lease_ends_the_trainer_before_it_commits(commanded: Make, tmp_path: Path) -> None:
    ticks = tmp_path / "ticks"
    made = commanded("--do", "deaf", "--seconds", 0.2, "--ticks", ticks, leases="heartbeat", lease_seconds=2.0)
    process = made.start()
    until(ticks.exists)
    (made.directory.lease / "00000001.ended").write_text("{}")  # as who takes a silent holder for dead
    lease = leases_of(made.job.settings).take(made.directory.lease)
    assert lease is not None
    assert process.wait(30) == EXIT_ELSEWHERE, made.said
    assert "taken over" in made.said
    assert made.committed == []
    try:
        lease.check()
    except LeaseLost:
        pytest.fail("the new holder keeps it")
    lease.release()


def test_a_trainer_that_checkpoints_has_got_further(commanded: Make) -> None:
    made = commanded()
    run = RunDirectory(made.job.settings.run_dir)
    at_first = reached(made.job, run)
    made.directory.own_checkpoints.mkdir(parents=True)
    assert reached(made.job, run) == at_first
    (made.directory.own_checkpoints / "step").write_text("1")
    further = reached(made.job, run)
    assert further != at_first
    assert reached(made.job, run) == further
    (made.directory.own_checkpoints / "step").write_text("2")
    assert reached(made.job, run) != further


def test_the_trainer_of_the_documentation_runs(commanded: Make, tmp_path: Path) -> None:
    page = (ROOT / "docs" / "any_trainer.md").read_text()
    script = tmp_path / "train.py"
    script.write_text(re.findall(r"^```py\n(.*?)^```", page, re.MULTILINE | re.DOTALL)[0])
    made = commanded(words=[sys.executable, str(script)])
    assert made.run() == EXIT_DONE, made.said
    assert made.committed == BOTH
    tables = {Task: page.partition("## The task file")[2].partition("## Result")[0]}
    tables[Result] = page.partition("## Result files")[2].partition("## How")[0]
    for model, section in tables.items():
        missing = {name for name in model.model_fields if f"`{name}`" not in section}
        assert missing <= {"schema_version"}


def test_a_changed_script_is_refused(commanded: Make, tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text("")
    made = commanded(words=[sys.executable, str(script)])
    script.write_text("changed = 1")
    assert made.run() == EXIT_BAD_INPUT
    assert "was planned with command" in made.said
    assert f"{script} is source" in made.said


def test_a_command_that_is_gone_is_refused(commanded: Make, tmp_path: Path) -> None:
    script = tmp_path / "train"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    made = commanded(words=[str(script)])
    script.chmod(0o644)
    assert made.run() == EXIT_BAD_INPUT
    assert f"command cannot be started: {script} is not executable; chmod +x it" in made.said
    script.unlink()
    assert made.run() == EXIT_BAD_INPUT
    assert "no file here and source" in made.said


@pytest.mark.parametrize("content", ["no first line", "#!/nowhere/python\n"])
def test_a_script_without_an_interpreter_is_refused(commanded: Make, tmp_path: Path, content: str) -> None:
    script = tmp_path / "train"
    script.write_text(content)
    script.chmod(0o755)
    made = commanded(words=[str(script)])
    assert made.run() == EXIT_BAD_INPUT
    assert f"command cannot be started: {script}: " in made.said
    assert "does its first line (#!) name an interpreter that is here?" in made.said


def test_a_trainer_waits_until_the_one_before_is_gone(commanded: Make, tmp_path: Path) -> None:
    made = commanded()
    made.directory.trainer.mkdir(parents=True)
    with (made.directory.trainer / ".running").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        process = made.start()
        until((made.directory.trainer / "task.json").exists)
        time.sleep(0.5)
        assert process.poll() is None
        assert made.committed == []
    assert process.wait(30) == EXIT_DONE, made.said


def _names(pid: int, words: str) -> bool:
    """Whether a trainer of these words is this process, or a child of one."""
    try:
        said = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
    except OSError:
        return False
    return words in said and "--ticks" in said
