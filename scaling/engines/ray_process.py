"""What runs on a node of a Ray cluster: one process of a job, started and watched by an actor. No JAX."""

import signal
import socket
import subprocess
import threading
from collections.abc import Sequence


class JobProcess:
    """One process of a job. It ends when this actor does, for its standard input closes then."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None
        self._starting = threading.Lock()
        self._cancelled = False

    def meeting(self) -> str:
        """host:port of this node, where the processes of a job can find the one that runs here."""
        import ray

        # By the address that the node was started with, which need not be the one that its name resolves to.
        mine = ray.get_runtime_context().get_node_id()
        address: str = next(node["NodeManagerAddress"] for node in ray.nodes() if node["NodeID"] == mine)
        with socket.socket() as free:
            free.bind((address, 0))
            return f"{address}:{free.getsockname()[1]}"

    def run(self, command: Sequence[str], log: str) -> int:
        """Start the process and wait for its end: its exit status, negative for a signal."""
        with self._starting, open(log, "ab") as words:
            if self._cancelled:
                return -signal.SIGTERM
            self._child = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=words, stderr=subprocess.STDOUT, start_new_session=True
            )
        return self._child.wait()

    def cancel(self, force: bool) -> None:
        """Ask the process to end, or end it; one that has not begun never does."""
        with self._starting:
            self._cancelled = True
            if self._child is None:
                return
        if force:
            self._child.kill()
        else:
            self._child.terminate()
