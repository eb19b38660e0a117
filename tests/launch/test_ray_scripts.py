"""Ray clusters, by hand and by Ray's own launcher."""

import re
import stat
import subprocess

import pytest
import yaml

from tests.launch.conftest import LAUNCH


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
