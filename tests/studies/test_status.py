"""How far a run is, from its records as they are now; the records here are those of a simulation."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from scaling.config import dump_study, load_study
from scaling.data import Tokens, save
from scaling.engines import Conditions, simulate
from scaling.planning import plan
from scaling.records import Job, RecordError, RunDirectory, Trajectory, TrajectoryDirectory, pretty_json, replace
from scaling.studies import progress, show_status, status
from scaling.studies.job_settings import settings_of
from scaling.studies.progress import Progress

Tiny = Callable[..., Path]


class Simulated:
    """A run directory of a tiny study, of which nothing is done."""

    def __init__(self, study_file: Path, tokens: Tokens, root: Path):
        self.directory, self.study = RunDirectory(root), load_study(study_file)
        save(tokens, self.directory.data)
        replace(self.directory.study, dump_study(self.study).encode())
        self.trajectories = plan(self.study, tokens.record).trajectories

    def run(self, trajectories: tuple[Trajectory, ...], failure_probability: float = 0.0) -> None:
        """A job a trajectory."""
        settings = settings_of(self.study, self.directory)
        jobs = [Job(name=f"job-{one.id}", settings=settings, trajectories=(one,)) for one in trajectories]
        conditions = Conditions(slices=2, flops_per_second=1e9, failure_probability=failure_probability)
        simulate(jobs, conditions, self.directory)

    def states(self) -> dict[str, str]:
        return {one.trajectory.id: one.state for one in status.read(self.directory.root).trajectories}


@pytest.fixture
def simulated(tiny: Tiny, tokens: Tokens, tmp_path: Path) -> Simulated:
    return Simulated(tiny(), tokens, tmp_path / "run")


def test_a_record_that_is_committed_after_a_look_is_seen_at_the_next(simulated: Simulated) -> None:
    first, *rest = simulated.trajectories
    assert set(simulated.states().values()) == {"waiting"}
    simulated.run((first,))
    assert simulated.states() == {first.id: "done"} | {one.id: "waiting" for one in rest}
    simulated.run(tuple(rest))
    assert set(simulated.states().values()) == {"done"}
    found = status.read(simulated.directory.root)
    assert found.done_flops == found.total_flops
    losses = {one.trajectory.id: one.loss for one in found.trajectories}
    for one in simulated.trajectories:
        rows = simulated.directory.trajectory(one.id).observations()
        assert losses[one.id] == rows[-1].loss
        assert rows[-1].tokens == max(horizon.tokens for horizon in one.horizons)


def test_jobs_that_failed_are_told_with_their_cause(simulated: Simulated, capsys: pytest.CaptureFixture[str]) -> None:
    first, *rest = simulated.trajectories
    simulated.run(tuple(rest))
    simulated.run((first,), failure_probability=1.0)
    assert simulated.states()[first.id] == "failed"
    found = status.read(simulated.directory.root)
    show_status.status(found)
    said = capsys.readouterr().out
    assert "the records of a simulation: nothing was trained" in said
    assert f"failed by itself: job job-{first.id} ended with exit status 1\n" in said
    assert f"scaling retry {simulated.directory.root} starts what failed again" in said
    (failure,) = json.loads(json.dumps(status.as_json(found)))["failures"]
    assert (failure["job"], failure["cause"], failure["attempts"]) == (f"job-{first.id}", "yours", 1)
    assert "simulated: it fails by itself" in failure["message"]


def test_a_job_that_failed_and_was_done_since_has_not_failed(simulated: Simulated) -> None:
    first = simulated.trajectories[0]
    simulated.run((first,), failure_probability=1.0)
    assert len(status.read(simulated.directory.root).failures) == 1
    job = Job(name="b", settings=settings_of(simulated.study, simulated.directory), trajectories=(first,))
    simulate([job], Conditions(1, 1e9), simulated.directory)
    assert [one.job for one in simulated.directory.failures()] == [f"job-{first.id}"]
    assert status.read(simulated.directory.root).failures == ()
    assert simulated.states()[first.id] == "done"


def test_what_was_lost_from_outside_is_said_so(simulated: Simulated, capsys: pytest.CaptureFixture[str]) -> None:
    first = simulated.trajectories[0]
    jobs = [Job(name="a", settings=settings_of(simulated.study, simulated.directory), trajectories=(first,))]
    simulate(jobs, Conditions(1, 1e9, start_seconds=50.0, preemption_seconds=1.0), simulated.directory)
    show_status.status(status.read(simulated.directory.root))
    assert "lost from outside: job a was lost: its slice was preempted (started 6 times)\n" in capsys.readouterr().out


def test_a_trajectory_that_diverged_is_told(simulated: Simulated, capsys: pytest.CaptureFixture[str]) -> None:
    first = simulated.trajectories[0]
    directory = simulated.directory.trajectory(first.id)
    directory.commit_diverged(pretty_json({"step": 17, "loss": 11.5}))
    assert simulated.states()[first.id] == "diverged"
    show_status.status(status.read(simulated.directory.root))
    assert f"diverged: {first.id} at step 17, loss 11.5\n" in capsys.readouterr().out


def test_a_large_run_has_a_line_a_size(
    simulated: Simulated, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "LINES", 3)
    simulated.run(simulated.trajectories[:2])
    found = status.read(simulated.directory.root)
    show_status.status(found)
    said = capsys.readouterr().out
    assert f"{len(simulated.trajectories)} trajectories by size; scaling status DIR --json has each" in said
    assert not any(one.id in said for one in simulated.trajectories)
    sizes = {one.model.width for one in simulated.trajectories}
    lines = [line.split() for line in said.splitlines() if line.startswith("w")]
    assert [line[0] for line in lines] == [f"w{width}-l1" for width in sorted(sizes)]
    assert len(status.as_json(found)["trajectories"]) == len(simulated.trajectories)


def test_a_damaged_record_is_named(simulated: Simulated) -> None:
    first = simulated.trajectories[0]
    simulated.run((first,))
    path = simulated.directory.trajectory(first.id).horizon(max(first.horizons, key=lambda horizon: horizon.tokens))
    path.write_text("{}")
    with pytest.raises(RecordError, match=f"{path.name} is damaged"):
        status.read(simulated.directory.root)


def test_live_progress_reads_what_is_done_once(simulated: Simulated, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[str] = []
    names = TrajectoryDirectory.names

    def counted(directory: TrajectoryDirectory) -> frozenset[str]:
        looked.append(directory.root.name)
        return names(directory)

    monkeypatch.setattr(TrajectoryDirectory, "names", counted)
    done, *left = simulated.trajectories
    simulated.run((done,))
    shown = Progress(simulated.directory, simulated.trajectories, "tiny")
    looked.clear()
    shown.update(force=True)
    assert sorted(looked) == sorted(one.id for one in left)
