"""A real Slurm of one machine: munged, slurmctld and a slurmd for each of two nodes, all on loopback, ended by pid."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

DAEMONS = ("munged", "slurmctld", "slurmd", "sbatch", "unshare")
NODES = ("n1", "n2")
CONF = """\
ClusterName=scaling
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=none
ReturnToService=2
MailProg=/bin/true
SchedulerParameters=sched_interval=1,sched_min_interval=0,bf_interval=1,batch_sched_delay=0
SlurmdTimeout=10
KillWait=5
MinJobAge=300
NodeName={nodes[0]} NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[0]} CPUs=2 RealMemory=2000
NodeName={nodes[1]} NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=2 RealMemory=2000
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def missing() -> str | None:
    """Why no Slurm can be started here; None where it can."""
    absent = [name for name in DAEMONS if shutil.which(name) is None]
    if absent:
        return f"{', '.join(absent)} not installed (Debian: slurm-wlm, munge)"
    return None if os.geteuid() == 0 else "starting Slurm's daemons takes root"


@dataclass
class SlurmCluster:
    """A running cluster."""

    folder: Path
    daemons: dict[str, subprocess.Popen[bytes]]

    @property
    def environment(self) -> dict[str, str]:
        """What Slurm's commands need to find it."""
        return {"SLURM_CONF": str(self.folder / "slurm.conf")}

    def start(self, name: str) -> None:
        """Start the slurmd of one node."""
        hosts, conf = self.folder / "hosts", self.folder / "slurm.conf"
        inside = 'mount --bind "$1" /etc/hosts && exec slurmd -D -N "$2" -f "$3"'
        command = ["unshare", "-m", "sh", "-c", inside, "sh", str(hosts), name, str(conf)]
        self.daemons[name] = self._spawn(command, name)

    def start_all(self) -> None:
        munge = self.folder / "munge"
        munge.mkdir()
        key = munge / "key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o600)
        for path in (munge, key):
            shutil.chown(path, "munge", "munge")
        munge.chmod(0o755)
        own = [f"--{name}={munge / file}" for name, file in MUNGE.items()]
        self.daemons["munged"] = self._spawn(["munged", "--foreground", *own], "munged", user="munge")
        _until((munge / "munge.socket").exists, "munged has a socket")
        (self.folder / "state").mkdir()
        names = "\n".join(f"127.0.0.1 {name}" for name in (*NODES, socket.gethostname(), "localhost"))
        (self.folder / "hosts").write_text(f"{names}\n")
        controller, *ports = _free_ports(3)
        conf = CONF.format(
            host=socket.gethostname(), controller=controller, ports=ports, folder=self.folder, nodes=NODES
        )
        (self.folder / "slurm.conf").write_text(conf)
        self.daemons["slurmctld"] = self._spawn(["slurmctld", "-D", "-f", str(self.folder / "slurm.conf")], "slurmctld")
        for name in NODES:
            self.start(name)
        _until(self.idle, "both nodes are idle")

    def lose(self, name: str) -> None:
        """SIGKILL the slurmd of one node."""
        self.daemons[name].kill()
        self.daemons[name].wait()

    def run(self, *command: str) -> str:
        """What one of Slurm's commands prints."""
        answer = subprocess.run(command, env=os.environ | self.environment, capture_output=True, text=True, check=False)
        assert answer.returncode == 0, f"{command}: {answer.stderr}"
        return answer.stdout

    def stop(self) -> None:
        """End every daemon that this started, and what they run."""
        subprocess.run(
            ["scancel", "--user=root"], env=os.environ | self.environment, capture_output=True, check=False, timeout=20
        )
        time.sleep(0.5)
        for name in (*NODES, "slurmctld", "munged"):
            daemon = self.daemons.get(name)
            if daemon is None or daemon.poll() is not None:
                continue
            daemon.terminate()
            try:
                daemon.wait(10)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()

    def idle(self) -> bool:
        answer = subprocess.run(
            ["sinfo", "--noheader", "--Node", "--format=%t"],
            env=os.environ | self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        return answer.stdout.split() == ["idle"] * len(NODES)

    def _spawn(self, command: list[str], name: str, user: str | None = None) -> subprocess.Popen[bytes]:
        # hwloc would bind itself to one core after another to ask it what it is; on some machines it hangs there.
        environment = os.environ | {"HWLOC_COMPONENTS": "-x86"}
        with (self.folder / f"{name}.out").open("ab") as out:
            return subprocess.Popen(
                command, env=environment, stdout=out, stderr=out, stdin=subprocess.DEVNULL, user=user
            )


MUNGE = {"socket": "munge.socket", "key-file": "key", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}


@contextmanager
def slurm_cluster() -> Iterator[SlurmCluster]:
    """A cluster while the block runs, in a folder that munged's user may enter."""
    with tempfile.TemporaryDirectory(prefix="scaling-slurm-") as folder:
        Path(folder).chmod(0o755)
        cluster = SlurmCluster(Path(folder), {})
        try:
            cluster.start_all()
            yield cluster
        finally:
            cluster.stop()


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def _until(condition: Callable[[], bool], what: str, seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"it took more than {seconds:.0f} s until {what}"
        time.sleep(0.05)
