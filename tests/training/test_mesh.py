"""One model on every mesh: equal losses, parameters that are never whole, and no collective that need not be."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import jax
import pytest

from scaling.config import MeshConfig, StudyError
from scaling.data import Tokens
from scaling.records import Job, RunDirectory
from scaling.training.mesh import check_model, make_mesh
from scaling.training.state import architecture
from tests.conftest import MODEL as SMALL
from tests.conftest import trajectory_of
from tests.training.eight_devices import MESHES, MODEL, STACKED

LAYER = max(MODEL.width * 2 * MODEL.ffn_width // 2, MODEL.vocabulary * MODEL.width)
"""Elements of the largest matrix of one layer; the embedding is one."""


SHORT = ("data 2 x fsdp 2 x tensor 2", "population 2 x data 2 x fsdp 2")
"""Every axis at least once; the others are left to the full tests."""
LONG = tuple(name for name in (*MESHES, *STACKED) if name not in SHORT)
Report = dict[str, Any]


def measured(names: Sequence[str]) -> Report:
    environment = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=8", "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-m", "tests.training.eight_devices", *names]
    said = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr[-2000:]
    report: Report = json.loads(said.stdout)
    assert report["devices"] == 8
    assert "Involuntary full rematerialization" not in said.stderr
    found: Report = report["meshes"]
    return found


@pytest.fixture(scope="module")
def short() -> Report:
    return measured(SHORT)


@pytest.fixture(scope="module")
def long() -> Report:
    return measured(LONG)


@pytest.fixture
def found(request: pytest.FixtureRequest, name: str) -> Report:
    """What was measured of the mesh `name`."""
    report: Report = request.getfixturevalue("short" if name in SHORT else "long")[name]
    return report


def of_each(names: Iterable[str]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        "name", [pytest.param(name, marks=[pytest.mark.full] if name in LONG else []) for name in names]
    )


@of_each([*MESHES, *STACKED])
def test_losses_of_twenty_steps_agree_with_one_device(found: Report) -> None:
    assert found["difference"] < 1e-5


@of_each(MESHES)
def test_each_mesh_has_its_collectives_and_no_others(found: Report, name: str) -> None:
    """On CPU all-reduce stands for reduce-scatter. Only fsdp gathers, and never more than one layer's matrix."""
    kinds = set(found["collectives"])
    assert kinds == ({"all-gather", "all-reduce"} if "fsdp" in MESHES[name] else {"all-reduce"})
    assert found["widest_all_gather"] <= LAYER


def test_a_kernel_gets_the_sequences_and_heads_of_its_device(short: Report) -> None:
    assert short["kernel"]["seen"] == [2, 2, 16, 4]
    assert short["kernel"]["difference"] < 1e-6


@of_each(STACKED)
def test_members_of_a_population_tell_each_other_nothing(found: Report, name: str) -> None:
    axes = set(STACKED[name]) - {"population"}
    expected = ({"all-gather", "all-reduce"} if "fsdp" in axes else {"all-reduce"}) if axes else set()
    assert set(found["collectives"]) == expected


@of_each(MESHES)
def test_parameters_are_initialised_in_pieces(found: Report, name: str) -> None:
    declared = architecture(MODEL).declared
    axes = MESHES[name]
    for parameter, (whole, piece) in found["largest_piece"].items():
        ways = axes.get("fsdp", 1) if "width" in declared[parameter].axes else 1
        if {"heads", "kv_heads", "ffn", "vocabulary"} & set(declared[parameter].axes):
            ways *= axes.get("tensor", 1)
        assert piece * ways == whole, parameter


def test_a_mesh_that_does_not_fit_is_refused_by_name() -> None:
    with pytest.raises(StudyError, match=r"engine.mesh is population 1 x data 3 .* 3 devices, but 1 are here"):
        make_mesh(MeshConfig(data=3), jax.devices()[:1])
    with pytest.raises(StudyError, match=r"engine.mesh.tensor is 8, which does not divide the 4 kv_heads"):
        check_model(MeshConfig(tensor=8), MODEL, 8)
    with pytest.raises(StudyError, match=r"does not divide the batch of 6 sequences"):
        check_model(MeshConfig(data=2, fsdp=2), MODEL, 6)


def on_devices(count: int, job: Job, folder: Path) -> None:
    """The job in a process of its own, on `count` simulated devices."""
    path = folder / f"{job.name}-{count}.json"
    path.write_text(job.model_dump_json())
    environment = os.environ | {"XLA_FLAGS": f"--xla_force_host_platform_device_count={count}", "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-m", "scaling", "job", str(path)]
    said = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr[-2000:]


@pytest.mark.full
def test_a_trajectory_goes_on_where_it_was_left_on_another_mesh(
    job_of: Callable[..., Job], tokens: Tokens, tmp_path: Path
) -> None:
    model = SMALL.model_copy(update={"kv_heads": 2})
    short, long = trajectory_of(tokens, 30, model=model), trajectory_of(tokens, 30, 60, model=model)
    losses = {}
    for name, legs in (
        ("one", [(long, MeshConfig())]),
        ("split", [(short, MeshConfig(fsdp=2, tensor=2)), (long, MeshConfig(data=2))]),
    ):
        folder = tmp_path / name
        for trajectory, mesh in legs:
            job = job_of(trajectory, run_dir=str(folder), mesh=mesh)
            on_devices(mesh.data * mesh.fsdp * mesh.tensor, job, tmp_path)
        losses[name] = [row.loss for row in RunDirectory(folder).trajectory(long.id).observations()]
    assert losses["split"] == pytest.approx(losses["one"], abs=1e-5)
    assert len(losses["one"]) == 2


@pytest.mark.full
def test_trajectories_side_by_side_on_a_mesh_find_what_they_find_alone(
    job_of: Callable[..., Job], tokens: Tokens, tmp_path: Path
) -> None:
    """Three on two lanes, each lane split over two devices."""
    ours = [trajectory_of(tokens, 30, 40 + seed, model=SMALL, seed=seed) for seed in range(3)]
    losses = {}
    for name, mesh in (("alone", MeshConfig()), ("together", MeshConfig(population=2, fsdp=2))):
        job = job_of(*ours, run_dir=str(tmp_path / name), mesh=mesh, checkpoint_steps=8)
        on_devices(mesh.population * mesh.fsdp, job, tmp_path)
        directory = RunDirectory(tmp_path / name)
        losses[name] = [row.loss for one in ours for row in directory.trajectory(one.id).observations()]
    assert losses["together"] == pytest.approx(losses["alone"], abs=1e-5)
    assert len(losses["alone"]) == 6
