"""One command on every worker of a TPU VM, whatever is in its words."""

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
