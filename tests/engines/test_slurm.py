"""What is Slurm's own: arrays, time limits, nodes that are lost, batch scripts that are killed, jobs on two nodes."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from scaling.config import EngineConfig, Resources, SlurmConfig, Study, StudyError, parse_study
from scaling.engines import EngineState, Order, SlurmEngine, engine_of, slurm_queue
from scaling.engines.base import Ended
from scaling.engines.slurm import REQUEUE_LOOKS, SCRIPT, SlurmTask
from tests.clusters.slurm_nodes import SlurmCluster
from tests.engines.conftest import Bench, alive, ordered, run_all, until

HOUR = Resources(hosts=2, cores=4, accelerators=8, memory_bytes=3.5e9, seconds=3601)


@pytest.fixture
def engine(bench: Bench, slurm: SlurmCluster) -> SlurmEngine:
    return SlurmEngine(SlurmConfig(srun={"mpi": "none"}), 8, bench.command)


def test_an_arrays_list_is_read_once_for_all_of_its_tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = "".join(f"7_{at}|scaling-k|{'PENDING' if at else 'COMPLETED'}|None|\n" for at in range(50))
    (tmp_path / "array-k.list").write_text("".join(f"{tmp_path}/j{at}.json\n" for at in range(50)))
    read: list[Path] = []
    text = Path.read_text
    monkeypatch.setattr(slurm_queue, "_run", lambda _: subprocess.CompletedProcess([], 0, rows, ""))
    monkeypatch.setattr(Path, "read_text", lambda path: read.append(path) or text(path))
    engine = SlurmEngine(SlurmConfig(), 64)
    paths = [tmp_path / f"j{at}.json" for at in range(50)]
    adopted = [engine.adopt(Order(path.stem, path, path.with_suffix(".log"))) for path in paths]
    assert [task and task.task for task in adopted] == [None, *(f"7_{at}" for at in range(1, 50))]
    assert engine.queued(tmp_path) == paths[1:]
    assert len(read) == 1


def test_a_job_that_checkpointed_may_still_be_requeued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its script leaves the status before it asks for that, and for a moment the queue may show neither."""
    rows = iter(["", "", "7_0|scaling-k|PENDING|BeginTime|\n", *[""] * 4])
    monkeypatch.setattr(slurm_queue, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(
        slurm_queue,
        "_run",
        lambda words: subprocess.CompletedProcess(words, 0, next(rows) if "squeue" in words else "", ""),
    )
    task = SlurmTask(slurm_queue.Queue(), Order("j", tmp_path / "j.json", tmp_path / "j.log"), "7_0", [])
    (tmp_path / "j.exit-0").write_text("7 75")
    assert [task.poll() for _ in range(6)] == [None] * 6
    assert task.poll() == Ended(75)


def test_a_requeued_job_is_started_some_looks_after_it_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At once, its node would refuse it."""
    asked: list[int] = []

    def run(words: list[str]) -> subprocess.CompletedProcess[str]:
        if "StartTime=now" in words:
            asked.append(queue.looks)
        return subprocess.CompletedProcess(words, 0, "7_0|scaling-k|PENDING|BeginTime|\n", "")

    monkeypatch.setattr(slurm_queue, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(slurm_queue, "_run", run)
    queue = slurm_queue.Queue()
    task = SlurmTask(queue, Order("j", tmp_path / "j.json", tmp_path / "j.log"), "7_0", [])
    assert [task.poll() for _ in range(REQUEUE_LOOKS + 3)] == [None] * (REQUEUE_LOOKS + 3)
    assert asked == [1 + REQUEUE_LOOKS]


ENDS_AT_ONCE = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: os._exit(75))
open(os.path.dirname(sys.argv[1]) + "/up", "w").close()
time.sleep(60)
"""


def test_a_job_that_ends_while_its_script_passes_a_signal_on_keeps_its_status(tmp_path: Path) -> None:
    slow = {
        "BASH_FUNC_kill%%": '() { builtin kill "$@"; local found=$?; sleep 0.5; return $found; }',
        "SLURM_JOB_ID": "7",
    }
    words = ["bash", str(SCRIPT), "rank", str(tmp_path / "j.json"), sys.executable, "-c", ENDS_AT_ONCE]
    process = subprocess.Popen(words, env=os.environ | slow)
    until((tmp_path / "up").exists)
    process.terminate()
    assert process.wait(timeout=20) == 75
    assert (tmp_path / "j.exit-0").read_text() == "7 75\n"


def test_the_words_of_sbatch(tmp_path: Path) -> None:
    config = SlurmConfig(options={"partition": "gpu", "exclusive": True, "contiguous": False}, grace_seconds=300)
    engine = SlurmEngine(config, 4)
    assert list(engine._options(HOUR, tmp_path)) == [
        "--partition=gpu",
        "--exclusive",
        "--nodes=2",
        "--ntasks-per-node=1",
        "--requeue",
        "--open-mode=append",
        f"--output={tmp_path}/slurm-%A_%a.out",
        "--signal=B:USR1@300",
        "--cpus-per-task=4",
        "--gpus-per-node=8",
        "--mem=3338M",
        "--time=61",
    ]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"array": "0-9"}, "engine.slurm.options.array is '0-9', but the engine numbers its jobs itself; leave"),
        (
            {"time": "1:00:00"},
            "engine.slurm.options.time is '1:00:00', but it follows from engine.resources.seconds; leave",
        ),
        (
            {"--partition": "gpu"},
            "; '--partition' is no long option's name without its dashes",
        ),
        (
            {"partition": "gpu\n#SBATCH --uid=0"},
            "engine.slurm.options.partition is 'gpu\\n#SBATCH --uid=0'; an option is",
        ),
    ],
)
def test_options_that_are_not_the_users(options: dict[str, str], said: str) -> None:
    with pytest.raises(StudyError) as error:
        parse_study({"name": "x", "engine": {"kind": "slurm", "slurm": {"options": options}}})
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("resources", "said"),
    [
        ({"accelerators": 0.5}, "engine.resources.accelerators is 0.5; Slurm gives whole ones"),
        ({"labels": {"TPU": 1}}, "engine.resources.labels are Ray's"),
    ],
)
def test_what_slurm_never_gives(resources: dict[str, object], said: str) -> None:
    with pytest.raises(StudyError, match=said):
        SlurmEngine(SlurmConfig(), 4).refuse(Resources.model_validate(resources))


def test_a_setup_file_that_is_not_there(tmp_path: Path) -> None:
    config = EngineConfig(kind="slurm", slurm=SlurmConfig(setup=str(tmp_path / "none.sh")))
    with pytest.raises(StudyError, match=r"engine.slurm.setup is .*none.sh, which is no file"):
        engine_of(config).refuse(Resources())


def test_no_slurm_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(StudyError, match=r"engine.kind is slurm, and there is no squeue here"):
        SlurmEngine(SlurmConfig(), 4).queued(tmp_path)


def test_what_sbatch_refuses_is_said(bench: Bench, slurm: SlurmCluster) -> None:
    engine = SlurmEngine(SlurmConfig(options={"partition": "none-such"}), 4, bench.command)
    with pytest.raises(StudyError, match=r"engine.slurm: sbatch refuses the jobs: .*invalid partition"):
        engine.submit([ordered(bench, "a")])


def test_arrays_are_no_longer_than_allowed(bench: Bench, slurm: SlurmCluster) -> None:
    engine = SlurmEngine(SlurmConfig(array_size=2), 5, bench.command)
    tasks = engine.submit([ordered(bench, f"j{at}") for at in range(5)])
    assert len({task.task.partition("_")[0] for task in tasks}) == 3
    until(lambda: all(task.poll() for task in tasks))
    assert sorted(bench.started()) == [f"j{at}" for at in range(5)]


def test_setup_is_sourced_and_names_are_no_shell(bench: Bench, slurm: SlurmCluster, tmp_path: Path) -> None:
    setup = tmp_path / "set up; touch here.sh"
    setup.write_text("echo the module is loaded\n")
    engine = SlurmEngine(SlurmConfig(setup=str(setup)), 2, bench.command)
    (result,) = run_all(engine, [bench.job("a")], bench.directory)
    assert result.status == "done"
    assert (bench.directory.jobs / "a.log").read_text() == "the module is loaded\na speaks\n"


def test_before_its_time_limit_a_job_checkpoints_and_is_requeued(bench: Bench, engine: SlurmEngine) -> None:
    """USR1 is what sbatch was told to send then."""
    order = ordered(bench, "long", seconds=30, resumes=True)
    (task,) = engine.submit([order])
    until(lambda: bench.events("start"))
    slurm_queue._run(["scancel", "--signal=USR1", "--batch", task.task])
    until(lambda: task.poll() or len(bench.events("start")) == 2)
    assert task.poll() is None
    assert [path.name for path in engine.queued(bench.directory.jobs)] == ["long.json"]
    task.cancel(force=True)
    until(task.poll)


def test_a_batch_script_that_is_killed_is_submitted_again(bench: Bench, engine: SlurmEngine) -> None:
    """Slurm does not requeue it."""
    killed = []

    def kill(state: EngineState) -> None:
        events = bench.events("start")
        if events and not killed:
            rank = int(Path(f"/proc/{events[0]['pid']}/stat").read_text().rsplit(")", 1)[1].split()[1])
            batch = int(Path(f"/proc/{rank}/stat").read_text().rsplit(")", 1)[1].split()[1])
            assert "slurm_script" in Path(f"/proc/{batch}/cmdline").read_text()
            killed.append(batch)
            for pid in (batch, rank, events[0]["pid"]):
                os.kill(pid, signal.SIGKILL)

    (result,) = run_all(engine, [bench.job("a", seconds=1)], bench.directory, kill, retries=2)
    assert (result.status, result.attempts) == ("done", 2)
    assert killed


def test_a_person_may_cancel(bench: Bench, engine: SlurmEngine) -> None:
    def cancel(state: EngineState) -> None:
        if bench.events("start"):
            slurm_queue._run(["scancel", "--me"])

    (result,) = run_all(engine, [bench.job("a", seconds=30)], bench.directory, cancel, retries=2)
    assert result.status in ("failed", "lost")


def test_a_job_on_two_nodes_has_a_process_on_each(bench: Bench, engine: SlurmEngine, slurm: SlurmCluster) -> None:
    (task,) = engine.submit([ordered(bench, "gang", Resources(hosts=2), env="SLURM_JOB_NODELIST SLURMD_NODENAME")])
    until(task.poll)
    assert task.poll().status == 0  # type: ignore[union-attr]
    assert sorted(event["env"] for event in bench.events("start")) == [["n[1-2]", "n1"], ["n[1-2]", "n2"]]
    assert all("--distributed" in event["options"] for event in bench.events("start"))


def test_the_cause_of_a_gang_is_that_of_the_process_that_failed(bench: Bench, engine: SlurmEngine) -> None:
    (task,) = engine.submit([ordered(bench, "gang", Resources(hosts=2), exits_by_rank={"0": 75, "1": 1})])
    until(task.poll)
    assert task.poll().status == 1  # type: ignore[union-attr]


@pytest.mark.full
def test_a_node_that_is_lost_costs_an_attempt(bench: Bench, engine: SlurmEngine, slurm: SlurmCluster) -> None:
    """slurmd and what it runs killed: Slurm finds the node down, and the job runs again elsewhere."""
    lost: list[str] = []

    def lose(state: EngineState) -> None:
        events = bench.events("start")
        if events and not lost:
            lost.append(events[0]["env"][0])
            slurm.lose(lost[0])
            os.kill(events[0]["pid"], signal.SIGKILL)

    job = bench.job("a", seconds=3, env="SLURMD_NODENAME")
    (result,) = run_all(engine, [job], bench.directory, lose, retries=3)
    slurm.start(lost[0])
    until(slurm.idle, 60)
    assert result.status == "done"
    assert [event["env"][0] for event in bench.events("start")][-1] != lost[0]
    assert not any(alive(event["pid"]) for event in bench.events("start"))


def test_a_study_names_it() -> None:
    study: Study = parse_study({"name": "x", "engine": {"kind": "slurm", "processes": 3}})
    assert isinstance(engine_of(study.engine), SlurmEngine)
    assert engine_of(study.engine).processes == 3
    assert engine_of(parse_study({"name": "x", "engine": {"kind": "slurm"}}).engine).processes == 64
