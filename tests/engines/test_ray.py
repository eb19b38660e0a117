"""What is Ray's own: resources by label, what no node has, gangs, raylets that die, clusters that do not answer."""

import os
import signal
from collections.abc import Callable

import pytest

from scaling.config import RayConfig, Resources, StudyError, parse_study
from scaling.engines import EngineState, RayEngine, engine_of
from tests.clusters.ray_nodes import ADDRESSES, RayCluster
from tests.engines.conftest import Bench, alive, ordered, run_all, until

Cluster = Callable[[Resources], RayEngine]


@pytest.fixture
def engine_for(bench: Bench, ray_nodes: RayCluster) -> Cluster:
    def engine(resources: Resources) -> RayEngine:
        return RayEngine(RayConfig(address=ray_nodes.address), None, resources, bench.command)

    return engine


def test_as_many_at_once_as_the_nodes_have_cores_for(engine_for: Cluster) -> None:
    assert engine_for(Resources()).processes == 4
    assert engine_for(Resources(cores=2)).processes == 2
    assert engine_for(Resources(hosts=2)).processes == 2
    assert engine_for(Resources(hosts=2, cores=2)).processes == 1


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"cores": 3}, "engine.resources asks for 1 node(s) with CPU 3 each; 0 of the cluster's 2 have that"),
        (
            {"accelerators": 1},
            "asks for 1 node(s) with CPU 1, GPU 1 each; 0 of the cluster's 2 have that",
        ),
        ({"labels": {"TPU-v4-16-head": 1}}, "with CPU 1, TPU-v4-16-head 1 each; 0 of the cluster's 2 have that"),
        ({"hosts": 3}, "engine.resources asks for 3 node(s) with CPU 1 each; 2 of the cluster's 2 have that"),
    ],
)
def test_what_no_node_has_is_said_and_not_waited_for(engine_for: Cluster, asked: dict[str, object], said: str) -> None:
    resources = Resources.model_validate(asked)
    with pytest.raises(StudyError) as error:
        engine_for(resources).refuse(resources)
    assert said in str(error.value)


def test_a_cluster_that_grows_is_waited_for(ray_nodes: RayCluster) -> None:
    engine = RayEngine(RayConfig(address=ray_nodes.address, autoscales=True), None, Resources())
    engine.refuse(Resources(cores=64))
    assert engine.processes == 64


def test_a_gang_has_a_process_on_each_node_and_one_place_to_meet(bench: Bench, engine_for: Cluster) -> None:
    both = Resources(hosts=2)
    (job,) = engine_for(both).submit([ordered(bench, "gang", both)])
    until(job.poll, 60)
    ended = job.poll()
    assert ended is not None
    assert ended.status == 0
    meetings = [event["options"][event["options"].index("--coordinator") + 1] for event in bench.events("start")]
    ranks = sorted(event["options"][event["options"].index("--process") + 1] for event in bench.events("start"))
    assert ranks == ["0", "1"]
    assert len(set(meetings)) == 1
    assert meetings[0].rpartition(":")[0] in ADDRESSES


def test_a_gang_ends_by_the_cause_of_the_process_that_failed(bench: Bench, engine_for: Cluster) -> None:
    both = Resources(hosts=2)
    (job,) = engine_for(both).submit([ordered(bench, "gang", both, exits_by_rank={"0": 75, "1": 1})])
    until(job.poll, 60)
    ended = job.poll()
    assert ended is not None
    assert ended.status == 1


@pytest.mark.full
def test_a_raylet_that_dies_costs_an_attempt(bench: Bench, engine_for: Cluster, ray_nodes: RayCluster) -> None:
    import ray

    killed = []
    ray.shutdown()
    # Of two nodes on one machine Ray takes any for this process, which would die with its own.
    ray.init(ray_nodes.address, _node_ip_address=ADDRESSES[0], log_to_driver=False)

    def kill(state: EngineState) -> None:
        where = [job.where for job in state.running]
        if bench.events("start") and where and ADDRESSES[1] in where[0] and not killed:
            killed.append(ray_nodes.raylet(ADDRESSES[1]))
            os.kill(killed[0], signal.SIGKILL)

    label = Resources(labels={f"node:{ADDRESSES[1]}": 0.01})
    job = bench.job("a", seconds=4)
    try:
        (result,) = run_all(
            RayEngine(RayConfig(address=ray_nodes.address, autoscales=True), 1, label, bench.command),
            [job],
            bench.directory,
            lambda state: (kill(state), _bring_back(ray_nodes, killed))[0],
            retries=3,
            resources_of=lambda _: label,
        )
    finally:
        _bring_back(ray_nodes, killed or [0])
    assert result.status == "done"
    assert result.attempts > 1
    assert killed
    assert not any(alive(event["pid"]) for event in bench.events("start"))


def _bring_back(cluster: RayCluster, killed: list[int]) -> None:
    """Start the second node again once it has ended, as it does without its raylet."""
    if not killed:
        return
    node = cluster.nodes.get(ADDRESSES[1])
    if node is not None and node.poll() is None:
        return
    cluster.nodes.pop(ADDRESSES[1], None)
    cluster.start(ADDRESSES[1])


def test_no_cluster_at_that_address(tmp_path: object) -> None:
    ray = pytest.importorskip("ray", reason="ray is an extra")
    ray.shutdown()
    with pytest.raises(StudyError, match=r"engine.ray.address is 127.0.0.1:1, where no cluster answers"):
        RayEngine(RayConfig(address="127.0.0.1:1"), None, Resources()).refuse(Resources())


def test_a_study_names_it() -> None:
    study = parse_study({"name": "x", "engine": {"kind": "ray", "processes": 3}})
    assert isinstance(engine_of(study.engine), RayEngine)
    assert engine_of(study.engine).processes == 3
