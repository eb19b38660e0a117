"""Jobs on a Ray cluster: its nodes, and what they have room for. What a job is there is in ray_job.py."""

import logging
import shlex
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scaling.config import RayConfig, Resources, StudyError
from scaling.engines.base import GRACE_SECONDS, Order
from scaling.engines.ray_job import RayJob, asked

JOB_COMMAND = (sys.executable, "-m", "scaling", "job")
QUEUED = 64
"""Jobs handed to a cluster that grows, where the study does not say."""
SLACK = 1e-9
ANSWER_SECONDS = 10.0


class RayEngine:
    """Connects when it is first used: to a running cluster, or to a local one that it starts and that ends with it."""

    outlives, grace_seconds = False, GRACE_SECONDS

    def __init__(
        self, config: RayConfig, processes: int | None, resources: Resources, command: Sequence[str] = JOB_COMMAND
    ):
        """`resources`: what each job takes, from which follows how many run at once where `processes` is None."""
        self._config, self._processes, self._each, self._command = config, processes, resources, tuple(command)

    @property
    def processes(self) -> int:
        """As the study says; else as many as the cluster has room for when it is empty, or 64 where it grows."""
        if self._processes is not None:
            return self._processes
        if self._config.autoscales:
            return QUEUED
        return max(1, sum(_times(asked(self._each, node), node) for node in self._nodes()) // self._each.hosts)

    def refuse(self, resources: Resources) -> None:
        """StudyError where the cluster's nodes do not have `resources`, unless it grows."""
        if self._config.autoscales:
            return
        nodes = self._nodes()
        able = [node for node in nodes if _times(asked(resources, node), node)]
        if len(able) < resources.hosts:
            wanted = _said(asked(resources, nodes[0])) if nodes else "what a job takes"
            has = "; ".join(sorted({_said(node) for node in nodes}))
            raise StudyError(
                f"engine.resources asks for {resources.hosts} node(s) with {wanted} each; {len(able)} of the cluster's "
                f"{len(nodes)} have that (there is: {has}); ask for less, or set engine.ray.autoscales if it grows"
            )

    def room(self, resources: Resources, beside: Sequence[Resources]) -> bool:
        """Ray lets wait what it has no room for."""
        return True

    def submit(self, orders: Sequence[Order]) -> list[RayJob]:
        """One actor for each process of each job."""
        nodes = self._nodes()
        return [RayJob(order, self._command, asked(order.resources, nodes[0] if nodes else {})) for order in orders]

    def dry_run(self, orders: Sequence[Order]) -> str:
        """The command of each job."""
        return "".join(f"{shlex.join([*self._command, str(order.job_file)])}\n" for order in orders)

    def queued(self, jobs: Path) -> list[Path]:
        """Nothing outlives its sweep."""
        return []

    def adopt(self, order: Order) -> None:
        """Nothing outlives its sweep."""
        return None

    def _nodes(self) -> list[Mapping[str, float]]:
        """What each living node has, by Ray's names."""
        ray = connected(self._config)
        return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def connected(config: RayConfig) -> Any:
    """The module ray, in touch with the cluster of `config`.

    Raises:
      StudyError: Ray is not installed, or no cluster answers.
    """
    try:
        import ray
    except ImportError:
        raise StudyError("engine.kind is ray, which is not installed; pip install 'scaling[ray]'") from None
    if not ray.is_initialized():
        if config.address is not None:
            _refuse_silence(config.address)
        place: dict[str, Any] = {"address": config.address} if config.address else {"include_dashboard": False}
        try:
            ray.init(logging_level=logging.ERROR, log_to_driver=False, **place)
        except (ConnectionError, RuntimeError, ValueError, OSError) as error:
            said = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise StudyError(f"engine.ray.address is {config.address}, where no cluster answers: {said}") from error
    return ray


def _refuse_silence(address: str) -> None:
    """StudyError where nobody listens at host:port: Ray itself would try for minutes."""
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdigit():
        return  # auto, or a name that Ray resolves
    try:
        socket.create_connection((host.rpartition("/")[2], int(port)), timeout=ANSWER_SECONDS).close()
    except OSError as error:
        raise StudyError(f"engine.ray.address is {address}, where no cluster answers: {error}") from None


def _times(wanted: Mapping[str, float], node: Mapping[str, float]) -> int:
    """How many jobs an empty node has room for."""
    return min((int(node.get(name, 0.0) / value + SLACK) for name, value in wanted.items() if value), default=1)


def _said(resources: Mapping[str, float]) -> str:
    shown = {name: value for name, value in resources.items() if not name.startswith(("node:", "object_store"))}
    return ", ".join(f"{name} {value:g}" for name, value in sorted(shown.items()))
