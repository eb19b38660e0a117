"""Jobs: each trajectory that is left in exactly one, one program a shape, balanced over the processes."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling.planning import jobs, left_flops, makespan, packing, plan
from scaling.planning.packing import pack
from scaling.records import JobSettings, RunDirectory

SETTINGS = JobSettings(
    run_dir="run",
    tokens_dir="data",
    steps_per_dispatch=8,
    checkpoint_seconds=60,
    keep_forks="last",
    compilation_cache=None,
)


def commit(directory, trajectory, *horizons):
    for horizon in horizons:
        path = directory.trajectory(trajectory.id).horizon(horizon)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")


def cost(job):
    return sum(left_flops(trajectory, (), "last") for trajectory in job.trajectories)


def test_one_job_a_shape_on_one_process_longest_first(study_of, data, tmp_path):
    made = jobs(plan(study_of(), data).trajectories, SETTINGS, directory=RunDirectory(tmp_path), processes=1)
    assert sorted(job.trajectories[0].model.width for job in made) == [8, 16, 24, 32]
    assert [cost(job) for job in made] == sorted((cost(job) for job in made), reverse=True)
    assert all(len({t.model for t in job.trajectories}) == 1 for job in made)


def test_two_seeds_of_one_shape_run_side_by_side(study_of, data, tmp_path):
    check = plan(study_of(), data).expected_check
    assert len(jobs(check, SETTINGS, directory=RunDirectory(tmp_path), processes=2)) == 2
    assert len(jobs(check, SETTINGS, directory=RunDirectory(tmp_path), processes=1)) == 1


def test_what_is_done_or_diverged_is_dropped(study_of, data, tmp_path):
    directory, trajectories = RunDirectory(tmp_path), plan(study_of(), data).trajectories
    done, begun, diverged = trajectories[:3]
    commit(directory, done, *done.horizons)
    commit(directory, begun, begun.horizons[0])
    commit(directory, diverged)
    directory.trajectory(diverged.id).commit_diverged(b"{}")
    assert directory.trajectory(diverged.id).diverged.exists()
    left = [t for job in jobs(trajectories, SETTINGS, directory=directory, processes=2) for t in job.trajectories]
    assert {t.id for t in left} == {t.id for t in trajectories} - {done.id, diverged.id}
    assert next(t for t in left if t.id == begun.id).horizons == begun.horizons
    for trajectory in trajectories:
        commit(directory, trajectory, *trajectory.horizons)
    assert jobs(trajectories, SETTINGS, directory=directory, processes=2) == []


def test_what_is_left_by_hand(study_of, data):
    study = study_of(sweep={"budgets": [1e10, 2e10, 4e10]})
    trajectory = next(t for t in plan(study, data).trajectories if t.model.width == 16)
    one, two, three = trajectory.horizons
    step = trajectory.batch_tokens * trajectory.flops_per_token_exact

    def steps(*committed, keep="last"):
        return left_flops(trajectory, committed, keep) / step

    decays = one.decay_steps + two.decay_steps + three.decay_steps
    assert steps() == three.fork_step + decays
    assert steps(one) == three.fork_step - one.fork_step + two.decay_steps + three.decay_steps
    assert steps(one, two) == three.fork_step - two.fork_step + three.decay_steps
    assert steps(one, two, three) == 0
    # The fork before the one that is left is gone unless all are kept.
    assert steps(one, three) == two.fork_step + two.decay_steps
    assert steps(one, three, keep="all") == two.fork_step - one.fork_step + two.decay_steps


@pytest.mark.parametrize(
    ("costs", "processes", "end"),
    [([], 2, 0), ([5], 2, 5), ([4, 3, 3, 2], 2, 6), ([3, 3, 2, 2, 2], 2, 7), ([1, 1, 1], 5, 1), ([2, 1], 1, 3)],
)
def test_the_makespan_by_hand(costs, processes, end):
    assert makespan(costs, processes) == end


@settings(max_examples=25, deadline=None)
@given(processes=st.integers(1, 6), done=st.sets(st.integers(0, 11)), seeds=st.integers(2, 6))
def test_jobs_cover_what_is_left_once_and_never_mix_shapes(study_of, data, tmp_path_factory, processes, done, seeds):
    study = study_of(sweep={"replicate_widths": [16, 24], "replicate_seeds": seeds})
    trajectories = plan(study, data).trajectories
    directory = RunDirectory(tmp_path_factory.mktemp("run"))
    finished = {trajectory.id for at, trajectory in enumerate(trajectories) if at in done}
    for trajectory in trajectories:
        if trajectory.id in finished:
            commit(directory, trajectory, *trajectory.horizons)
    made = jobs(trajectories, SETTINGS, directory=directory, processes=processes)
    counted = Counter(t.id for job in made for t in job.trajectories)
    assert counted == Counter({t.id: 1 for t in trajectories if t.id not in finished})
    assert len({job.name for job in made}) == len(made)
    assert all(len({t.model for t in job.trajectories}) == 1 for job in made)
    whole = [cost(job) for job in made]
    longest = max((left_flops(t, (), "last") for job in made for t in job.trajectories), default=0)
    assert 0.97 * makespan(whole, processes) <= sum(whole) / processes + longest


def test_what_takes_no_time_is_packed_too(study_of, data):
    """Three shapes that two processes cannot share evenly, and a fourth with nothing left of its three seeds."""
    trajectories = plan(study_of(sweep={"replicate_widths": [16]}), data).trajectories
    priced = [(trajectory, float(trajectory.model.width != 16)) for trajectory in trajectories]
    assert sorted(cost for _, cost in priced) == [0, 0, 0, 1, 1, 1]
    groups = pack(priced, 2)
    assert sorted(one.id for group in groups for one in group) == sorted(one.id for one in trajectories)


def test_thousands_are_packed_without_a_look_at_every_stage(study_of, data, monkeypatch):
    (first, *_) = plan(study_of(), data).trajectories
    many = [first.model_copy(update={"recipe": first.recipe.model_copy(update={"seed": k})}) for k in range(3000)]
    looks = []
    monkeypatch.setattr(packing, "makespan", lambda costs, processes: looks.append(1) or makespan(costs, processes))
    costs = {one.id: 1.0 + one.recipe.seed % 7 for one in many}
    groups = pack([(one, costs[one.id]) for one in many], 300)
    assert Counter(one.id for group in groups for one in group) == Counter(one.id for one in many)
    bound = sum(costs.values()) / 300
    assert makespan([sum(costs[one.id] for one in group) for group in groups], 300) < 1.1 * bound
    assert len(looks) < 300


def test_names_are_the_same_in_the_next_run(study_of, data, tmp_path):
    trajectories = plan(study_of(), data).trajectories
    first = jobs(trajectories, SETTINGS, directory=RunDirectory(tmp_path), processes=2)
    again = jobs(reversed(trajectories), SETTINGS, directory=RunDirectory(tmp_path), processes=2)
    assert {job.name for job in first} == {job.name for job in again}
