"""What a person starts on a cluster, run here against programs that stand in for the cluster's own."""

import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

LAUNCH = Path(__file__).parents[2] / "launch"
SCRIPTS = sorted([*LAUNCH.glob("*/*.sh"), *LAUNCH.glob("*/*.sbatch")])
STARTED = [script for script in SCRIPTS if script.name != "setup.sh"]
BASH = shutil.which("bash") or "bash"
AWKWARD = [
    "a b",
    "it's",
    '"quoted"',
    "$HOME",
    "`id`",
    "$(id)",
    "a;b",
    "*",
    "--x=1 2",
    "back\\slash",
    "tab\there",
    "é",
    "",
]
RECORD = """\
import json, os, sys
with open({file!r}, "a") as file:
    names = ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN_PATH", "RAY_AUTH_TOKEN", "SLURM_JOB_ID", "SLURM_MEM_PER_NODE")
    environment = {{name: os.environ[name] for name in names if name in os.environ}}
    file.write(json.dumps({{"words": sys.argv[1:], "environment": environment}}) + "\\n")
{then}
"""


def bash(words: list[str], environment: dict[str, str], cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, env=environment, cwd=cwd, capture_output=True, text=True, timeout=60, check=False)


class Programs:
    """A folder of stand-ins that note how they were called."""

    def __init__(self, folder: Path):
        self.folder, self.home = folder / "bin", folder / "home"
        self.home.mkdir()
        self.path = f"{self.folder}{os.pathsep}{os.environ['PATH']}"

    def add(self, name: str, then: str = "", at: Path | None = None) -> None:
        file = (at or self.folder) / name
        file.parent.mkdir(parents=True, exist_ok=True)
        body = RECORD.format(file=str(self.home.parent / f"{name}.calls"), then=then)
        file.write_text(f"#!{sys.executable}\n{body}")
        file.chmod(0o755)

    def calls(self, name: str) -> list[dict]:
        file = self.home.parent / f"{name}.calls"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def environment(self, **more: str) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM_", "RAY_"))}
        return kept | {"PATH": self.path, "HOME": str(self.home)} | more

    def run(self, script: str, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
        return bash([str(LAUNCH / script), *words], self.environment(**more))


@pytest.fixture
def programs(tmp_path):
    return Programs(tmp_path)


@pytest.mark.parametrize("script", STARTED, ids=lambda script: f"{script.parent.name}/{script.name}")
def test_without_arguments_a_script_says_how_it_is_used(script, programs):
    ended = programs.run(f"{script.parent.name}/{script.name}")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("usage: ")
    assert ended.stderr.count("\n") == 1


@pytest.mark.parametrize("script", STARTED, ids=lambda script: f"{script.parent.name}/{script.name}")
def test_scripts_stop_at_the_first_error_and_evaluate_nothing(script):
    text = script.read_text()
    assert "\nset -euo pipefail\n" in text
    assert not re.search(r"\beval\b", text)


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
def test_shellcheck_finds_nothing():
    found = bash(["shellcheck", "--external-sources", *map(str, SCRIPTS)], dict(os.environ), LAUNCH.parent)
    assert (found.stdout, found.returncode) == ("", 0)


# TPU VMs ----------------------------------------------------------------------------------------------------------

AS_A_WORKER = """
import subprocess
command = next(word.removeprefix("--command=") for word in sys.argv if word.startswith("--command="))
sys.exit(subprocess.run(["bash", "-c", command]).returncode)
"""


def test_every_worker_of_a_tpu_vm_gets_the_words_as_they_were_given(programs):
    programs.add("gcloud", AS_A_WORKER)
    programs.add("python", "sys.exit(75)", at=programs.home / "scaling-venv/bin")
    ended = programs.run("tpu_vm/scaling.sh", "pod", "us-east5-b", "job", *AWKWARD, "--distributed")
    (call,) = programs.calls("gcloud")
    assert call["words"][:-1] == ["compute", "tpus", "tpu-vm", "ssh", "pod", "--zone=us-east5-b", "--worker=all"]
    assert programs.calls("python")[0]["words"] == ["-m", "scaling", "job", *AWKWARD, "--distributed"]
    assert ended.returncode == 75


def test_what_is_installed_on_a_tpu_vm_is_what_was_asked_for(programs):
    programs.add("gcloud", AS_A_WORKER)
    programs.add("python3")
    programs.add("pip", at=programs.home / "scaling-venv/bin")
    ended = programs.run(
        "tpu_vm/install.sh", "vm", "us-east5-b", "scaling @ git+https://host/lab/scaling", "ray[default]"
    )
    assert ended.returncode == 0, ended.stderr
    assert programs.calls("python3")[0]["words"] == ["-m", "venv", str(programs.home / "scaling-venv")]
    asked = ["scaling @ git+https://host/lab/scaling", "ray[default]"]
    assert programs.calls("pip")[0]["words"] == ["install", "--upgrade", "jax[tpu]", *asked]


# Slurm ------------------------------------------------------------------------------------------------------------

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


# GKE --------------------------------------------------------------------------------------------------------------

AND_READ = "open(os.environ['HOME'] + '/applied', 'a').write(sys.stdin.read())"


def test_manifests_are_checked_by_the_cluster_before_they_are_applied(programs):
    programs.add("scaling", "print('kind: JobSet # $(id) `id`')")
    programs.add("kubectl", AND_READ)
    ended = programs.run("gke/apply.sh", "study.yaml", "--name", "a b")
    assert ended.returncode == 0, ended.stderr
    words = ["launch", "study.yaml", "--name", "a b", "--engine", "jobset", "--dry-run"]
    assert programs.calls("scaling")[0]["words"] == words
    applied = [call["words"] for call in programs.calls("kubectl")]
    assert applied == [["apply", "--dry-run=server", "--filename=-"], ["apply", "--filename=-"]]
    assert (programs.home / "applied").read_text() == "kind: JobSet # $(id) `id`\n" * 2


@pytest.mark.parametrize(("then", "status"), [("sys.exit(2)", 2), ("", 0)])
def test_nothing_is_applied_where_nothing_was_rendered(programs, then, status):
    programs.add("scaling", then)
    programs.add("kubectl", AND_READ)
    assert programs.run("gke/apply.sh", "study.yaml").returncode == status
    assert programs.calls("kubectl") == []


def test_nothing_is_applied_that_the_cluster_refuses(programs):
    programs.add("scaling", "print('kind: JobSet')")
    programs.add("kubectl", "sys.exit(1)")
    assert programs.run("gke/apply.sh", "study.yaml").returncode == 1
    assert len(programs.calls("kubectl")) == 1


def test_the_image_is_made_of_files_that_are_there():
    lines = (LAUNCH / "gke/Dockerfile").read_text().splitlines()
    copied = [name for line in lines if line.startswith("COPY ") for name in line.split()[1:-1]]
    assert "scaling" in copied
    assert all((LAUNCH.parent / name).exists() for name in copied)


# Ray --------------------------------------------------------------------------------------------------------------


def test_head_and_workers_take_the_same_token(programs):
    programs.add("ray")
    head = programs.run("ray/start.sh", "head", "10.0.0.1:6379", "--num-cpus", "0", RAY_AUTH_TOKEN="another")
    token = programs.home / ".ray/auth_token"
    assert re.fullmatch(r"[0-9a-f]{64}", token.read_text())
    assert stat.S_IMODE(token.stat().st_mode) == 0o600
    assert token.read_text() not in head.stdout + head.stderr
    kept = token.read_text()
    programs.run("ray/start.sh", "head", "10.0.0.1:6379")
    programs.run("ray/start.sh", "worker", "10.0.0.1:6379", "--resources", '{"a b": 1}')
    assert token.read_text() == kept
    starts = programs.calls("ray")
    assert [call["words"] for call in starts] == [
        ["start", "--head", "--node-ip-address=10.0.0.1", "--port=6379", "--num-cpus", "0"],
        ["start", "--head", "--node-ip-address=10.0.0.1", "--port=6379"],
        ["start", "--address=10.0.0.1:6379", "--resources", '{"a b": 1}'],
    ]
    same = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token)}
    assert all(call["environment"] == same for call in starts)


def test_a_worker_without_the_token_does_not_start(programs):
    programs.add("ray")
    ended = programs.run("ray/start.sh", "worker", "10.0.0.1:6379")
    assert (ended.returncode, programs.calls("ray")) == (1, [])
    assert "copy the head's there first" in ended.stderr


@pytest.mark.parametrize("words", [("tail", "a:1"), ("head", "10.0.0.1"), ("worker", "host:port"), ("head", ":1")])
def test_an_address_that_is_none_is_said(programs, words):
    assert programs.run("ray/start.sh", *words).returncode == 2


CLUSTERS = sorted(LAUNCH.glob("ray/*.yaml"))


def started_by(cluster: dict) -> list[str]:
    return [*cluster["head_start_ray_commands"], *cluster["worker_start_ray_commands"]]


@pytest.mark.parametrize("file", CLUSTERS, ids=lambda file: file.name)
def test_ray_itself_accepts_its_clusters_and_adds_no_stop(file):
    pytest.importorskip("ray", reason="ray is not installed")
    from ray.autoscaler._private.util import prepare_config, validate_config

    cluster = yaml.safe_load(file.read_text())
    filled = prepare_config(cluster)
    validate_config(filled)
    assert not any("ray stop" in command for command in started_by(filled))
    cluster["max_worker"] = 1
    with pytest.raises(Exception, match="max_worker"):
        validate_config(cluster)


def test_nodes_on_google_cloud_are_a_machine_and_a_tpu_vm_of_one_host():
    pytest.importorskip("ray", reason="ray is not installed")
    pytest.importorskip("google_auth_httplib2", reason="Google's client libraries are not installed")
    from ray.autoscaler._private.gcp.config import _is_single_host_tpu, get_node_type

    kinds = yaml.safe_load((LAUNCH / "ray/gcp.yaml").read_text())["available_node_types"]
    types = {name: get_node_type(one["node_config"]).value for name, one in kinds.items()}
    assert types == {"head": "compute", "tpu": "tpu"}
    assert _is_single_host_tpu(kinds["tpu"]["node_config"])


@pytest.mark.parametrize("file", CLUSTERS, ids=lambda file: file.name)
def test_every_node_of_a_cluster_starts_with_the_token(file, programs):
    text = file.read_text().replace("/home/ubuntu", str(programs.home)).replace("/home/USER", str(programs.home))
    cluster = yaml.safe_load(text.replace("VENV", str(programs.home / "scaling-venv")))
    programs.add("ray", at=programs.home / "scaling-venv/bin")
    token = programs.home / ".ray/auth_token"
    assert cluster["file_mounts"] == {str(token): "~/.ray/auth_token"}
    for command in [*cluster["initialization_commands"], *cluster["initialization_commands"], *started_by(cluster)]:
        subprocess.run(["bash", "-c", command], check=True, env=programs.environment(RAY_HEAD_IP="10.0.0.1"))
    same = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token)}
    head, worker = programs.calls("ray")
    assert head["environment"] == worker["environment"] == same
    assert worker["words"] == ["start", "--address=10.0.0.1:6379"]
    assert (programs.home / ".bashrc").read_text() == f"export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH={token}\n"
