"""Every cell of a plan compiled ahead of time: its memory, FLOPs and time, and whether it fits, before it is trained.

compiled/<key>.json is one program's report; the same lies beside JAX's persistent compilation cache, which the
compiled program itself is in, so that another study with this program asks nobody again.
"""

import os
import platform
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from scaling.config import Study, TargetConfig
from scaling.engines import COMPILE_COMMAND, compile_programs, local_engine
from scaling.planning import available_bytes, left_in
from scaling.records import (
    Compiled,
    Job,
    JobSettings,
    ProgramRequest,
    RecordError,
    Refused,
    RunDirectory,
    Trajectory,
    content_hash,
    pretty_json,
    provenance,
    read_json,
    replace,
)
from scaling.studies.examined import Cell, Examined, side_by_side
from scaling.studies.job_settings import settings_of

TRACED = {
    "learning_rate", "warmup_tokens", "schedule", "total_steps", "final_rate", "weight_decay", "beta1", "beta2",
    "independent_weight_decay", "epsilon", "momentum", "gradient_clip", "divergence_factor", "seed", "mixture",
}  # fmt: skip
"""Fields of a recipe that are numbers in a program, and not part of it."""
CHOOSING = ("JAX_PLATFORMS", "CUDA_VISIBLE_DEVICES", "TPU_VISIBLE_CHIPS", "XLA_FLAGS")
"""What JAX itself reads of the environment to choose devices and compiler."""


def examine(
    study: Study, directory: RunDirectory | None, trajectories: Sequence[Trajectory], *, described: bool = False
) -> Examined:
    """Compile each program of `trajectories` that is not known yet, on as many processes as the study has.

    With `described` for the devices of engine.target, else for those of this machine. Reports are kept in `directory`,
    or nowhere when None, and beside the compilation cache.

    Raises:
      StudyError: a program cannot be compiled, whatever the memory.
      OSError: no space is left.
    """
    started = time.monotonic()
    target = study.engine.target if described else TargetConfig()
    with tempfile.TemporaryDirectory() as temporary:
        place = directory or RunDirectory(temporary)
        settings = settings_of(study, place)
        groups = _groups(settings, target, trajectories)
        wanted = [
            _request(settings, place, key, group)
            for key, group in groups.items()
            if _known(settings, place, key) is None
        ]
        if wanted:
            compile_programs(local_engine(study.engine, COMPILE_COMMAND), wanted, target, place.compiled)
        found = _cells(study, place, settings, groups)
    assert len(found) == len(groups), "a program was compiled and left no report"
    return Examined(study, found, len(wanted), time.monotonic() - started)


def known(study: Study, directory: RunDirectory, trajectories: Sequence[Trajectory]) -> Examined:
    """What is known of the programs of `trajectories` on this machine; nothing is compiled."""
    settings = settings_of(study, directory)
    cells = _cells(study, directory, settings, _groups(settings, TargetConfig(), trajectories))
    return Examined(study, cells, 0, 0.0)


def memory_of(study: Study, directory: RunDirectory) -> Callable[[Trajectory], float | None]:
    """Host memory of a trajectory's job on CPUs, where its program was compiled ahead; None where nothing is known."""
    settings = settings_of(study, directory)

    @cache
    def of_program(key: str) -> float | None:
        report = _known(settings, directory, key)
        return report.memory_bytes if isinstance(report, Compiled) and report.limit_bytes is None else None

    def memory(trajectory: Trajectory) -> float | None:
        (key,) = _groups(settings, TargetConfig(), [trajectory])
        return of_program(key)

    return memory


def _groups(
    settings: JobSettings, target: TargetConfig, trajectories: Sequence[Trajectory]
) -> dict[str, list[Trajectory]]:
    """The trajectories of each program, by its key."""
    keyed: dict[str, list[Trajectory]] = {}
    for trajectory in trajectories:
        keyed.setdefault(_key(settings, target.model_dump(mode="json"), trajectory), []).append(trajectory)
    if settings.stack in ("auto", 1):
        return keyed
    # No more are stepped at once than there are.
    return {content_hash([key, len(group)])[:16]: group for key, group in keyed.items()}


def _cells(
    study: Study, place: RunDirectory, settings: JobSettings, groups: Mapping[str, Sequence[Trajectory]]
) -> tuple[Cell, ...]:
    """Those of which there is a report, smallest model first."""
    share = available_bytes() // side_by_side(study, sum(map(len, groups.values())))
    reports = {key: _known(settings, place, key) for key in groups}
    cells = [_cell(study, place, tuple(groups[key]), found, share) for key, found in reports.items() if found]
    return tuple(sorted(cells, key=lambda cell: cell.trajectories[0].params))


def _cell(
    study: Study, place: RunDirectory, group: tuple[Trajectory, ...], report: Compiled | Refused, share: int
) -> Cell:
    if isinstance(report, Refused):
        return Cell(group, report, 0, None, False)
    flops = sum(left_in(place, trajectory, study.checkpoints.keep_forks) for trajectory in group)
    limit = share if report.limit_bytes is None else report.limit_bytes
    if report.seconds_per_step is not None:
        return Cell(group, report, limit, flops / report.flops_per_step * report.seconds_per_step, True)
    if report.where == "here":
        return Cell(group, report, limit, flops / study.engine.expected_flops_per_second, False)
    each = study.engine.target.flops_per_second
    return Cell(group, report, limit, None if each is None else flops / (each * report.devices), False)


def _key(settings: JobSettings, target: dict[str, Any], trajectory: Trajectory) -> str:
    """Hash of the program, and of what compiles it where."""
    program = {
        "model": trajectory.model.model_dump(mode="json"),
        "recipe": trajectory.recipe.model_dump(mode="json", exclude=TRACED | {"batch_ramp"}),
        "schedule": own.model_dump(mode="json") if (own := trajectory.shape[2]) else None,
        "batches": sorted(set(trajectory.recipe.batches.sizes)),
        "decays": any(horizon.decay_steps for horizon in trajectory.horizons),
        "steps_per_dispatch": settings.steps_per_dispatch,
        "mesh": settings.mesh.model_dump(mode="json"),
        "compute": settings.compute.model_dump(mode="json"),
        "stack": settings.stack,
        "target": target,
        "compilation_cache": settings.compilation_cache,
        "compiler": provenance(),
        "machine": platform.node(),
        "devices": {name: os.environ.get(name) for name in CHOOSING},
    }
    return content_hash(program)[:16]


def _request(settings: JobSettings, place: RunDirectory, key: str, group: Sequence[Trajectory]) -> ProgramRequest:
    model = group[0].model
    job = Job(name=f"w{model.width}-l{model.layers}-{key[:8]}", settings=settings, trajectories=tuple(group))
    files = [_report_file(place, key), *_beside_cache(settings, key)]
    return ProgramRequest(key=key, job=job, reports=tuple(str(path.absolute()) for path in files))


def _known(settings: JobSettings, place: RunDirectory, key: str) -> Compiled | Refused | None:
    """An earlier report; one from beside the cache is copied into the run directory."""
    own = _report_file(place, key)
    found = _read(own)
    for path in () if found else _beside_cache(settings, key):
        found = _read(path)
        if found:
            replace(own, pretty_json(found.model_dump(mode="json")))
    return found


def _read(path: Path) -> Compiled | Refused | None:
    """None where there is no report, or one of another version."""
    try:
        said = read_json(path)
        return Refused.model_validate(said) if "refused" in said else Compiled.model_validate(said)
    except (RecordError, ValidationError, TypeError):
        return None


def _report_file(place: RunDirectory, key: str) -> Path:
    return place.compiled / f"{key}.json"


def _beside_cache(settings: JobSettings, key: str) -> list[Path]:
    return [] if settings.compilation_cache is None else [Path(settings.compilation_cache) / "reports" / f"{key}.json"]
