"""Shared by all tests: small trajectories on small text, trained in this process, compiled programs on disk."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from scaling.accounting import size_and_cost
from scaling.config import AccountingConfig, DataConfig, ModelConfig, Own
from scaling.data import Tokens, prepare, save
from scaling.models import counted
from scaling.records import Horizon, Job, JobSettings, Recipe, Trajectory, exclusive

MODEL = ModelConfig(layers=1, width=16, heads=2, kv_heads=1, ffn_width=24, vocabulary=257, sequence_length=16)
RECIPE = Recipe(
    learning_rate=1e-2,
    sequences=4,
    warmup_tokens=256,
    weight_decay=0.1,
    beta1=0.9,
    beta2=0.99,
    epsilon=1e-8,
    gradient_clip=1.0,
    divergence_factor=2.0,
    seed=0,
)


LONG_FIRST = ("faults", "studies", "training", "external", "engines")
"""Folders whose files take long: begun first, so that short ones are left to fill the workers' last minutes."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first, in their order."""
    ranks = {name: rank for rank, name in enumerate(LONG_FIRST)}
    items.sort(key=lambda item: ranks.get(item.path.parent.name, len(ranks)))


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of the session, which pytest-xdist's workers have in common."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@contextmanager
def made_once(folder: Path) -> Iterator[bool]:
    """Whether `folder` is still to be made, in here, while the other workers wait; it stands when this ends well."""
    done = folder.with_name(f"{folder.name}.done")
    with exclusive(folder.with_name(f"{folder.name}.lock"), wait=True, holder="worker"):
        yield not done.exists()
        done.touch()


@pytest.fixture(scope="session", autouse=True)
def compilation_cache(shared: Path) -> Path:
    """One persistent compilation cache for the session, shared with the processes that tests start."""
    folder = shared / "compiled"
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    return folder


@pytest.fixture(scope="session")
def text(shared: Path) -> Path:
    """A folder of text files with some structure to learn."""
    folder = shared / "text"
    words = ["the", "model", "learns", "a", "law", "of", "loss", "and", "compute"]
    with made_once(folder) as needed:
        if needed:
            folder.mkdir()
            for number in range(40):
                chosen = np.random.default_rng(number).choice(words, 200)
                (folder / f"{number:02d}.txt").write_text(" ".join(chosen))
    return folder


@pytest.fixture(scope="session")
def tokens(text: Path) -> Tokens:
    return prepare(DataConfig(corpus=str(text), validation_tokens=2000), seed=0)


@pytest.fixture(scope="session")
def tokens_dir(tokens: Tokens, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokens")
    save(tokens, folder)
    return folder


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, 100 MB small."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=100m", "tmpfs", str(folder)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"cannot mount a small file system here: {error}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)  # what a test mapped may still be in memory


def fill(disk: Path) -> Path:
    """Leave no room on a small file system; deleting the file that is returned makes it again."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(2**20) if shutil.disk_usage(disk).free > 2**21 else bytes(512))
    return filler


def horizon(steps: int, decay_steps: int = 10, **changes: Any) -> Horizon:
    values = {"tokens": steps * 64, "steps": steps, "decay_steps": decay_steps, "decay_shape": "1-sqrt", "budget": 1e6}
    return Horizon(**(values | changes))


def trajectory_of(
    tokens: Tokens, *steps: int, model: ModelConfig = MODEL, metrics: tuple[Own, ...] = (), **recipe: Any
) -> Trajectory:
    """A trajectory with a horizon at each of `steps`."""
    accounting = AccountingConfig()
    params, cost = size_and_cost(model, accounting, counted)
    counts = counted(model)
    return Trajectory(
        model=model,
        recipe=RECIPE.model_copy(update=recipe),
        data=tokens.record,
        accounting=accounting,
        role="fit",
        params=params,
        flops_per_token=cost,
        params_with_embeddings=counts.params,
        params_non_embedding=counts.params_non_embedding,
        flops_per_token_exact=counts.flops_per_token_exact,
        flops_per_token_causal=counts.flops_per_token_causal,
        metrics=metrics,
        horizons=tuple(horizon(count, **({"decay_steps": 0} if "total_steps" in recipe else {})) for count in steps),
    )


@pytest.fixture
def job_of(tokens_dir: Path, compilation_cache: Path, tmp_path: Path) -> Callable[..., Job]:
    """A job of given trajectories in tmp_path/run; settings can be changed by name."""

    def make(*trajectories: Trajectory, **settings: Any) -> Job:
        values: dict[str, Any] = {
            "run_dir": str(tmp_path / "run"),
            "tokens_dir": str(tokens_dir),
            "steps_per_dispatch": 8,
            "checkpoint_seconds": 3600.0,
            "keep_forks": "last",
            "compilation_cache": str(compilation_cache),
        }
        return Job(name="job", settings=JobSettings(**(values | settings)), trajectories=trajectories)

    return make
