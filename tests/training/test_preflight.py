"""What is compiled ahead is what the job runs, and takes what was said."""

import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from scaling.config import MeshConfig, TargetConfig
from scaling.data import Tokens
from scaling.planning import usable_cores
from scaling.records import (
    BatchStage,
    Compiled,
    CompileRequest,
    Job,
    ProgramRequest,
    RunDirectory,
    Trajectory,
    read_json,
)
from tests.conftest import MODEL, trajectory_of
from tests.studies.conftest import environment

WIDE = MODEL.model_copy(update={"width": 32, "heads": 4, "kv_heads": 4, "ffn_width": 64, "layers": 2})
COUNTING = """
import sys, jax
from scaling.cli import main
hits, misses = [], []
def heard(event, **_):
    if event == "/jax/compilation_cache/cache_hits": hits.append(event)
    if event == "/jax/compilation_cache/cache_misses": misses.append(event)
jax.monitoring.register_event_listener(heard)
try:
    main(sys.argv[1:])
finally:
    print("COUNTED", len(hits), len(misses))
"""


def compiled(job: Job, folder: Path, target: TargetConfig | None = None, **variables: str) -> Compiled:
    """What a fresh process says of the job's program."""
    folder.mkdir(parents=True, exist_ok=True)
    wanted = ProgramRequest(key="k", job=job, reports=(str(folder / "report.json"),))
    request = CompileRequest(target=target or TargetConfig(), programs=(wanted,))
    (folder / "request.json").write_text(request.model_dump_json())
    command = [sys.executable, "-m", "scaling", "compile", str(folder / "request.json")]
    answer = subprocess.run(
        command, env=environment() | variables, capture_output=True, text=True, timeout=240, check=False
    )
    assert answer.returncode == 0, answer.stderr[-3000:]
    return Compiled.model_validate(read_json(folder / "report.json"))


def counted(job: Job, folder: Path, *options: str) -> tuple[int, int]:
    """(programs found in the cache, programs compiled) of a job in a fresh process."""
    (folder / "job.json").write_text(job.model_dump_json())
    answer = subprocess.run(
        [sys.executable, "-c", COUNTING, "job", str(folder / "job.json"), *options],
        env=environment(), capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr[-3000:]
    hits, misses = answer.stdout.rpartition("COUNTED")[2].split()
    return int(hits), int(misses)


def losses(job: Job, trajectory: Trajectory) -> list[float]:
    return [row.loss for row in RunDirectory(job.settings.run_dir).trajectory(trajectory.id).observations()]


@pytest.mark.full
@pytest.mark.parametrize(
    "recipe",
    [
        pytest.param({}, id="adamw"),
        pytest.param({"optimizer": "schedule_free", "schedule": "constant"}, id="averaged"),
    ],
)
def test_the_job_that_follows_compiles_nothing(
    recipe: dict[str, Any], job_of: Callable[..., Job], tokens: Tokens, tmp_path: Path
) -> None:
    """A trunk, two decays, a checkpoint in between, evaluations, models that are kept: all from the cache."""
    job = job_of(trajectory_of(tokens, 30, 40, **recipe), compilation_cache=str(tmp_path / "cache"))
    found = compiled(job, tmp_path)
    assert found.cached
    hits, misses = counted(job, tmp_path)
    assert (hits, misses) == (6 + ("optimizer" in recipe), 0)


def test_memory_is_what_can_be_counted_by_hand(job_of: Callable[..., Job], tokens: Tokens, tmp_path: Path) -> None:
    """Three float32 a parameter and two counters, kept twice beside a decay; int32 batches and some scalars."""
    trajectory = trajectory_of(tokens, 30, model=WIDE)
    found = compiled(job_of(trajectory), tmp_path)
    counters = 3 * 4
    assert found.state_bytes == pytest.approx(12 * trajectory.params_with_embeddings, abs=2 * counters)
    assert found.kept_bytes == found.state_bytes
    batches = 4 * 8 * 4 * (WIDE.sequence_length + 1)
    assert batches <= found.batch_bytes <= batches + 400
    logits = 4 * trajectory.batch_tokens * WIDE.vocabulary
    gradients = 4 * trajectory.params_with_embeddings
    assert found.temporary_bytes > logits + gradients
    assert found.flops_per_step == trajectory.flops_per_token_exact * trajectory.batch_tokens
    # XLA counts elementwise operations too.
    assert 1 < found.compiled_flops_per_step / found.flops_per_step < 1.5  # type: ignore[operator]
    assert found.seconds_per_step is not None
    assert 1e-5 < found.seconds_per_step < 10
    assert found.limit_bytes is None, "a CPU shares the host's memory"
    assert found.process_bytes > 50e6


def test_a_described_mesh_is_partitioned_for_devices_that_are_not_here(
    job_of: Callable[..., Job], tokens: Tokens, tmp_path: Path
) -> None:
    trajectory = trajectory_of(tokens, 30, model=WIDE)
    target = TargetConfig(memory_bytes=1e6, flops_per_second=1e9)
    split = compiled(job_of(trajectory, mesh=MeshConfig(fsdp=4)), tmp_path, target)
    assert (split.where, split.devices, split.limit_bytes) == ("simulated", 4, 1_000_000)
    assert split.state_bytes < 12 * trajectory.params_with_embeddings / 3, "what fsdp divides lies on four devices"
    assert split.batch_bytes < 4 * 8 * (WIDE.sequence_length + 1) + 400, "one of four sequences"
    assert split.seconds_per_step is None
    assert not split.cached


@pytest.mark.full
@pytest.mark.skipif(find_spec("libtpu") is None, reason="libtpu is not installed")
def test_a_tpu_slice_that_is_not_here_is_compiled_for(
    job_of: Callable[..., Job], tokens: Tokens, tmp_path: Path
) -> None:
    trajectory = trajectory_of(tokens, 30, model=WIDE)
    job = job_of(trajectory.model_copy(update={"recipe": trajectory.recipe.model_copy(update={"sequences": 8})}),
                 mesh=MeshConfig(fsdp=4, data=2))  # fmt: skip
    found = compiled(job, tmp_path, TargetConfig(topology="v5e:2x4"))
    assert (found.where, found.device, found.devices) == ("topology", "TPU v5 lite", 8)
    assert found.limit_bytes == 16 * 2**30
    assert found.state_bytes < 12 * trajectory.params_with_embeddings


@pytest.mark.full
@pytest.mark.skipif(len(usable_cores()) < 2, reason="one usable core: nothing is compiled beside the training")
def test_the_next_jobs_programs_are_compiled_beside_the_training(
    job_of: Callable[..., Job], tokens: Tokens, tmp_path: Path
) -> None:
    """And the training finds what it finds without."""
    cache = str(tmp_path / "cache")
    first, second = trajectory_of(tokens, 300), trajectory_of(tokens, 30, model=WIDE)
    following = job_of(second, compilation_cache=cache)
    (tmp_path / "next.json").write_text(following.model_dump_json())
    job = job_of(first, compilation_cache=cache, run_dir=str(tmp_path / "with"))
    _, misses = counted(job, tmp_path, "--next", str(tmp_path / "next.json"))
    assert 10 <= misses <= 12, "six of each; two are the same, and are compiled twice where both begin at once"
    assert counted(following, tmp_path) == (6, 0)
    alone = job_of(first, compilation_cache=cache, run_dir=str(tmp_path / "without"))
    assert counted(alone, tmp_path) == (6, 0)
    assert losses(job, first) == losses(alone, first)


@pytest.mark.full
@pytest.mark.parametrize(
    ("recipe", "settings", "programs"),
    [
        pytest.param({"batch_ramp": (BatchStage(step=16, sequences=8),)}, {}, 6, id="a batch that grows"),
        pytest.param({}, {"stack": 2}, 9, id="two trajectories at once"),
    ],
)
def test_it_compiles_nothing_either_with(
    recipe: dict[str, Any],
    settings: dict[str, Any],
    programs: int,
    job_of: Callable[..., Job],
    tokens: Tokens,
    tmp_path: Path,
) -> None:
    both = [trajectory_of(tokens, 30, 40, seed=seed, **recipe) for seed in (0, 1)]
    job = job_of(*both, compilation_cache=str(tmp_path / "cache"), **settings)
    found = compiled(job, tmp_path)
    places = settings.get("stack", 1)
    assert found.places == places
    assert found.state_bytes == pytest.approx(places * 12 * both[0].params_with_embeddings, abs=64)
    hits, misses = counted(job, tmp_path)
    assert misses == 0
    assert hits >= programs, "stacking numbers takes small programs of its own"
