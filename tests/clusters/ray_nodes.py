"""A real Ray cluster of two nodes on loopback, each of its processes ended by pid."""

import importlib.util
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

ADDRESSES = ("127.0.0.2", "127.0.0.3")
"""On loopback. Ray takes 127.0.0.1 for the machine's outward address wherever it has one."""
TOKEN = secrets.token_hex(32)
"""Of every cluster that this process starts: Ray reads it once in a process's life."""


def missing() -> str | None:
    """Why no Ray cluster can be started here; None where it can."""
    return None if importlib.util.find_spec("ray") else "ray is not installed (pip install 'scaling[ray]')"


@dataclass
class RayCluster:
    """A running cluster: `ray start --block` for each node, in a process group of its own."""

    folder: Path
    port: int
    nodes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def address(self) -> str:
        return f"{ADDRESSES[0]}:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """What every node and everyone who connects needs: the same token."""
        return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(self.folder / "token")}

    def start(self, address: str, *options: str) -> None:
        """Start one node, the head at the first address."""
        if address == ADDRESSES[0]:
            place = ["--head", f"--port={self.port}", "--include-dashboard=false", f"--temp-dir={self.folder / 'ray'}"]
        else:
            place = [f"--address={self.address}"]
        command = [str(Path(sys.executable).with_name("ray")), "start", "--block", f"--node-ip-address={address}"]
        command += ["--disable-usage-stats", "--num-cpus=2", "--object-store-memory=100000000", *place, *options]
        with (self.folder / f"{address}.out").open("ab") as out:
            self.nodes[address] = subprocess.Popen(
                command,
                env=os.environ | self.environment | {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "1"},
                stdout=out,
                stderr=out,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )

    def raylet(self, address: str) -> int:
        """The pid of a node's raylet."""
        for child in psutil.Process(self.nodes[address].pid).children(recursive=True):
            if child.name() == "raylet":
                return child.pid
        raise AssertionError(f"{address} has no raylet")

    def stop(self, address: str) -> None:
        """End one node: everything that descends from what this started."""
        node = self.nodes.pop(address)
        family = [psutil.Process(node.pid), *psutil.Process(node.pid).children(recursive=True)] if _lives(node) else []
        for process in family:
            _signal(process, signal.SIGTERM)
        _, left = psutil.wait_procs(family, timeout=5)
        for process in left:
            _signal(process, signal.SIGKILL)
        node.wait()


@contextmanager
def ray_cluster() -> Iterator[RayCluster]:
    """Two nodes of two cores each while the block runs."""
    folder = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))
    token = folder / "token"
    token.write_text(TOKEN)
    token.chmod(0o600)
    with socket.socket() as free:
        free.bind((ADDRESSES[0], 0))
        port = free.getsockname()[1]
    cluster = RayCluster(folder, port)
    try:
        for address in ADDRESSES:
            cluster.start(address)
            _until_answers(cluster, address)
        yield cluster
    finally:
        for address in reversed(ADDRESSES):
            if address in cluster.nodes:
                cluster.stop(address)
        shutil.rmtree(folder, ignore_errors=True)


def _until_answers(cluster: RayCluster, address: str, seconds: float = 60.0) -> None:
    said = cluster.folder / f"{address}.out"
    deadline = time.monotonic() + seconds
    while "Ray runtime started" not in said.read_text(errors="replace"):
        assert time.monotonic() < deadline, said.read_text(errors="replace")
        assert cluster.nodes[address].poll() is None, said.read_text(errors="replace")
        time.sleep(0.1)


def _lives(node: subprocess.Popen[bytes]) -> bool:
    return node.poll() is None


def _signal(process: psutil.Process, number: int) -> None:
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return
