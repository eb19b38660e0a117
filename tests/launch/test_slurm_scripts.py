"""The sweep as a batch job: how it is told to end, and when it comes back."""

import os
import re
import shutil
import signal
import subprocess
import time

import pytest

from tests.launch.conftest import LAUNCH, Programs, bash

BASH = shutil.which("bash") or "bash"
UNTIL_TOLD = """
import signal, time
def end(*_):
    time.sleep(0.3)
    sys.exit(143)
signal.signal(signal.SIGTERM, end)
open(os.environ["HOME"] + "/ready", "w").close()
time.sleep(30)
"""


def start_sweep(programs: Programs, **more: str) -> subprocess.Popen[str]:
    environment = programs.environment(SLURM_JOB_ID="42", SLURM_MEM_PER_NODE="8192", **more)
    script = LAUNCH / "slurm/sweep.sbatch"
    words = [BASH, str(script), "study.yaml", "--name", "a b"]
    return subprocess.Popen(words, env=environment, cwd=programs.home, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize(("told", "requeued"), [(signal.SIGUSR1, [["requeue", "42"]]), (signal.SIGTERM, [])])
def test_a_sweep_is_told_to_end_and_goes_back_into_the_queue_at_its_limit_alone(programs, told, requeued):
    programs.add("scaling", UNTIL_TOLD)
    programs.add("scontrol")
    sweep = start_sweep(programs)
    until = time.monotonic() + 20
    while not (programs.home / "ready").exists():
        assert time.monotonic() < until
        time.sleep(0.02)
    sweep.send_signal(told)
    assert sweep.wait(20) == 143
    assert [call["words"] for call in programs.calls("scontrol")] == requeued


@pytest.mark.parametrize("status", [0, 2])
def test_a_sweep_that_ends_by_itself_is_not_requeued_and_its_jobs_inherit_nothing(programs, status):
    programs.add("scaling", f"sys.exit({status})")
    programs.add("scontrol")
    assert start_sweep(programs).wait(20) == status
    (call,) = programs.calls("scaling")
    assert call == {"words": ["run", "study.yaml", "--name", "a b"], "environment": {}}
    assert programs.calls("scontrol") == []


def test_a_sweep_sources_its_setup(programs):
    programs.add("scaling", "sys.exit(os.environ.get('MODULES') != 'loaded')")
    setup = programs.home / "a setup.sh"
    setup.write_text("export MODULES=loaded\n")
    assert start_sweep(programs, SCALING_SETUP=str(setup)).wait(20) == 0
    (programs.home / "launch/slurm").mkdir(parents=True)
    shutil.copy(setup, programs.home / "launch/slurm/setup.sh")
    assert start_sweep(programs, SLURM_SUBMIT_DIR=str(programs.home)).wait(20) == 0


def test_the_setup_as_it_comes_does_nothing():
    bare = {"PATH": os.defpath}
    before = bash(["bash", "-euc", "env -0"], bare)
    after = bash(["bash", "-euc", f'source "{LAUNCH}/slurm/setup.sh"; env -0'], bare)
    assert (after.stdout, after.returncode) == (before.stdout, 0)


def test_options_of_the_batch_job_are_what_the_script_counts_on():
    options = re.findall(r"^#SBATCH (\S+)$", (LAUNCH / "slurm/sweep.sbatch").read_text(), re.MULTILINE)
    assert {"--requeue", "--signal=B:USR1@120", "--open-mode=append"} <= set(options)
