"""Jobs as manifests of Kubernetes: what is accepted, what each says, and what is refused."""

import copy
import dataclasses
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from scaling.config import JobSetConfig, Resources, StudyError
from scaling.engines import EXIT_BAD_INPUT, JobSetEngine, Order
from scaling.engines.kubectl import Kubectl
from scaling.engines.manifest import manifest, name_of, render

kubernetes_validate = pytest.importorskip("kubernetes_validate", reason="Kubernetes' schemas come with scaling[test]")
from tests.engines.jobset_schema import validated  # noqa: E402

GOLDEN = Path(__file__).with_name("manifest.golden.yaml")
RUN = Path("/runs/quickstart")
BASE = JobSetConfig(image="registry.example/scaling:1", claim="runs", mount_path="/runs", namespace="lab")
TPU = BASE.model_copy(update={"accelerator": "tpu-v5-lite-podslice", "topology": "4x4"})
EVERYTHING = JobSetConfig(
    image="registry.example/scaling:1",
    namespace="lab",
    accelerator="tpu-v5-lite-podslice",
    topology="4x4",
    claim="runs",
    mount_path="/runs",
    queue="lab-queue",
    spot=True,
    grace_seconds=25,
    prefix=("uv", "run"),
    working_dir="/app",
    service_account="trainer",
    priority_class="low",
    secrets=("wandb",),
)


def order(name="w64", hosts=1, folder=RUN, **asked) -> Order:
    file = folder / "jobs" / f"{name}.json"
    return Order(name, file, file.with_suffix(".log"), Resources(hosts=hosts, **asked))


CASES = {
    "cpu": (order(cores=4, memory_bytes=8e9), BASE),
    "cpus": (order(hosts=2), BASE),
    "chip": (order(), BASE.model_copy(update={"accelerator": "tpu-v6e-slice", "topology": "1x1"})),
    "host": (order(), BASE.model_copy(update={"accelerator": "tpu-v5-lite-podslice", "topology": "2x4"})),
    "hosts": (order(hosts=2), BASE.model_copy(update={"accelerator": "tpu-v5-lite-podslice", "topology": "2x4"})),
    "cube": (order(hosts=16), BASE.model_copy(update={"accelerator": "tpu-v4-podslice", "topology": "4x4x4"})),
    "gpus": (order(hosts=2, accelerators=8), BASE.model_copy(update={"accelerator": "nvidia-h100-80gb"})),
    "limit": (order(seconds=3600), BASE),
    "long": (order("a" * 200 + "_b", hosts=4), TPU),
    "everything": (order("w64_l4", hosts=4, cores=100, seconds=86400), EVERYTHING),
}


@pytest.mark.parametrize("case", CASES)
def test_manifests_are_what_kubernetes_and_jobset_accept(case):
    made = manifest(*CASES[case])
    validated(made)
    assert yaml.safe_load(render(made)) == made


def test_the_manifest_of_everything_is_the_golden_one():
    assert render(manifest(*CASES["everything"])) == GOLDEN.read_text()


def test_several_manifests_are_one_file_of_documents():
    every = [manifest(*CASES[case]) for case in ("cpu", "gpus", "everything")]
    assert list(yaml.safe_load_all(render(*every))) == every


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("spec", "suspended"), True, "spec.suspended"),
        (("spec", "failurePolicy", "maxRestarts"), "3", "maxRestarts"),
        (("spec", "failurePolicy", "rules", 0, "action"), "Fail", "FailJobSet"),
        (("spec", "failurePolicy", "rules", 0, "onJobFailureReasons"), ["ExitCode"], "PodFailurePolicy"),
        (("spec", "failurePolicy", "rules", 0, "name"), "own-cause", "pattern"),
        (("metadata", "name"), "a" * 48, "exceed 63"),
        (("metadata", "name"), "Upper", "pattern"),
        (("spec", "replicatedJobs", 0, "template", "spec", "backoffLimits"), 0, "backoffLimits"),
        (("spec", "replicatedJobs", 0, "template", "spec", "completions"), "4", "is not of type"),
        (("spec", "replicatedJobs", 0, "template", "spec", "template", "spec", "nodeSelectors"), {}, "nodeSelectors"),
        (("spec", "replicatedJobs", 0, "template", "spec", "template", "spec", "restartPolicy"), "OnFailure", "Never"),
    ],
)  # fmt: skip
def test_the_check_itself_refuses_what_is_wrong(path, value, said):
    wrong = copy.deepcopy(manifest(*CASES["everything"]))
    at = wrong
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    with pytest.raises((ValidationError, ValueError, kubernetes_validate.ValidationError), match=said):
        validated(wrong)


def test_names_are_stable_and_unique_and_short():
    names = [name_of(order(name)) for name in ("w64", "w64_l4", "W64-L4", "x" * 100, "x" * 101, "...")]
    assert names == [name_of(order(name)) for name in ("w64", "w64_l4", "W64-L4", "x" * 100, "x" * 101, "...")]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"scaling-[a-z0-9]([-a-z0-9]*[a-z0-9])?", name) and len(name) <= 44 for name in names)
    assert name_of(order(folder=Path("/runs/other"))) != name_of(order())
    assert name_of(order(hosts=2)) == name_of(order())


def pod_of(made):
    return made["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]["spec"]


@pytest.mark.parametrize(
    ("case", "arguments"),
    [
        ("cpu", []),
        ("host", []),
        ("hosts", ["--distributed"]),
        (
            "gpus",
            [
                *("--coordinator", "{name}-slice-0-0.{name}:8476"),
                *("--processes", "2", "--process", "$(SCALING_PROCESS)"),
            ],
        ),
    ],
)
def test_how_processes_meet(case, arguments):
    made = manifest(*CASES[case])
    (container,) = pod_of(made)["containers"]
    name = made["metadata"]["name"]
    assert container["command"] == ["python", "-m", "scaling"]
    assert container["args"] == [
        "job",
        "/runs/quickstart/jobs/w64.json",
        *[word.format(name=name) for word in arguments],
    ]


@pytest.mark.parametrize("case", ["cpu", "gpus"])
def test_the_command_line_itself_understands_the_words(case, tmp_path):
    """Up to the job file, which it refuses: a real process, without joining anybody."""
    made, config = CASES[case]
    file = tmp_path / "job.json"
    file.write_text("{}")
    given = dataclasses.replace(made, job_file=file, next_file=file)
    (container,) = pod_of(manifest(given, config.model_copy(update={"mount_path": str(tmp_path)})))["containers"]
    words = [word.replace("$(SCALING_PROCESS)", "1") for word in (*container["command"][1:], *container["args"])]
    ended = subprocess.run([sys.executable, *words], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == EXIT_BAD_INPUT
    assert f"{file}: name is missing" in ended.stderr


@pytest.mark.parametrize(("case", "hosts", "chips"), [("host", 1, "8"), ("hosts", 2, "4"), ("cube", 16, "4")])
def test_each_host_asks_for_its_chips_and_a_gang_has_its_slice_to_itself(case, hosts, chips):
    made = manifest(*CASES[case])
    job = made["spec"]["replicatedJobs"][0]["template"]["spec"]
    assert (job["completions"], job["parallelism"], job["completionMode"]) == (hosts, hosts, "Indexed")
    amounts = pod_of(made)["containers"][0]["resources"]
    assert amounts == {"requests": {"google.com/tpu": chips}, "limits": {"google.com/tpu": chips}}
    exclusive = made["metadata"].get("annotations", {})
    key = "alpha.jobset.sigs.k8s.io/exclusive-topology"
    assert exclusive == ({key: "cloud.google.com/gke-nodepool"} if hosts > 1 else {})


def test_paths_and_words_with_a_dollar_reach_the_container_unchanged():
    config = BASE.model_copy(update={"mount_path": "/runs"})
    (container,) = pod_of(manifest(order(folder=Path("/runs/$(HOME) a'b")), config))["containers"]
    assert container["args"][1] == "/runs/$$(HOME) a'b/jobs/w64.json"


@pytest.mark.parametrize(
    ("config", "asked", "said"),
    [
        ({"image": None}, {}, "engine.jobset.image is null"),
        ({"claim": None}, {}, "engine.jobset.claim is null"),
        ({"topology": "2x4", "accelerator": "tpu-v6e-slice"}, {"hosts": 4}, "hosts: 1 of 8 chips or 2 of 4 chips"),
        ({"topology": "4x4", "accelerator": "tpu-v6e-slice"}, {}, "engine.resources.hosts is 1, and a slice 4x4"),
        ({"topology": "2x2", "accelerator": "tpu-v6e-slice"}, {"accelerators": 2}, "accelerators 2, and a slice 2x2"),
        ({"accelerator": "nvidia-l4"}, {}, "say how many GPUs"),
        ({"accelerator": "nvidia-l4"}, {"accelerators": 0.5}, "accelerators is 0.5; Kubernetes gives whole ones"),
        ({"accelerator": "nvidia-l4", "chips_per_host": 4}, {"accelerators": 8}, "use at most that"),
        ({}, {"accelerators": 1}, "engine.jobset.accelerator is null"),
        ({}, {"labels": {"TPU-v4-16-head": 1}}, "Ray's own"),
    ],
)  # fmt: skip
def test_what_no_slice_has_is_refused(config, asked, said):
    engine = JobSetEngine(BASE.model_copy(update=config), 1, Kubectl("lab"))
    with pytest.raises(StudyError, match=re.escape(said)):
        engine.refuse(Resources(**asked))


def test_a_run_directory_outside_of_the_claim_is_refused():
    with pytest.raises(StudyError, match=r"mount_path is /runs, and /home/me/x/jobs/w64\.json"):
        manifest(order(folder=Path("/home/me/x")), BASE)
