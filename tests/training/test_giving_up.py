"""A trajectory that is far above the best of its size at some horizon ends there, and says so."""

from collections.abc import Callable

from scaling.data import Tokens
from scaling.planning import left_of
from scaling.records import Job, RunDirectory, read_json
from scaling.training import job as jobs
from tests.conftest import trajectory_of

GOOD, POOR = 1e-2, 1e-6


def test_one_that_learns_nothing_ends_at_its_first_horizon(tokens: Tokens, job_of: Callable[..., Job]) -> None:
    good, poor = (trajectory_of(tokens, 80, 160, 240, learning_rate=rate) for rate in (GOOD, POOR))
    job = job_of(good, poor, stop_above=1.2)
    jobs.run(job)
    directory = RunDirectory(job.settings.run_dir)
    whole, ended = directory.trajectory(good.id), directory.trajectory(poor.id)
    assert len(whole.observations()) == 3
    assert not whole.stopped.exists()
    (only,) = ended.observations()
    said = read_json(ended.stopped)
    assert said["tokens"] == only.tokens == good.horizons[0].tokens
    assert said["loss"] == only.loss > 1.2 * said["best"]["loss"]
    assert said["best"] == {"trajectory": good.id, "loss": whole.observations()[0].loss}
    assert left_of(job, directory) == 0
    jobs.run(job)
    assert len(ended.observations()) == 1


def test_nothing_ends_without_the_rule_or_within_its_factor(tokens: Tokens, job_of: Callable[..., Job]) -> None:
    good, poor = (trajectory_of(tokens, 80, 160, learning_rate=rate) for rate in (GOOD, POOR))
    job = job_of(good, poor, stop_above=10.0)
    jobs.run(job)
    directory = RunDirectory(job.settings.run_dir)
    assert [len(directory.trajectory(one.id).observations()) for one in (good, poor)] == [2, 2]
