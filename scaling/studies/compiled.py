"""Every cell of a plan compiled ahead of time: its memory, FLOPs and time, and whether it fits, before it is trained.

compiled/<key>.json is one program's report; the same lies beside JAX's persistent compilation cache, which the
compiled program itself is in, so that another study with this program asks nobody again.
"""

import platform
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from scaling.config import Study, StudyError
from scaling.engines import COMPILE_COMMAND, compile_programs, local_engine
from scaling.planning import available_bytes, left_in, makespan, pack, process_count
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
from scaling.studies.sweep import settings_of

TRACED = {
    "learning_rate", "warmup_tokens", "schedule", "total_steps", "final_rate", "weight_decay", "beta1", "beta2",
    "independent_weight_decay", "epsilon", "momentum", "gradient_clip", "divergence_factor", "seed",
}  # fmt: skip
"""Fields of a recipe that are numbers in a program, and not part of it."""


@dataclass(frozen=True)
class Cell:
    """The trajectories of one program, and what they take."""

    trajectories: tuple[Trajectory, ...]
    report: Compiled | Refused
    limit_bytes: int
    """Memory that one device has for it."""
    seconds: float | None
    """What is left of its trajectories, one after another, takes so long; None where nothing says how fast it is."""
    measured: bool
    """By the measured speed of the program, not by the study's expected_flops_per_second."""

    @property
    def name(self) -> str:
        model = self.trajectories[0].model
        return f"w{model.width}-l{model.layers}"

    @property
    def fits(self) -> bool:
        return isinstance(self.report, Compiled) and self.report.memory_bytes <= self.limit_bytes


@dataclass(frozen=True)
class Examined:
    """The cells of a plan, smallest model first."""

    study: Study
    cells: tuple[Cell, ...]
    asked: int
    """Programs that were compiled by this call; the others were known."""
    took_seconds: float

    @property
    def expected_seconds(self) -> float | None:
        """Wall time of what is left, on as many processes as the study has."""
        costs = []
        for cell in self.cells:
            whole = sum(trajectory.training_flops for trajectory in cell.trajectories)
            if cell.seconds is None:
                return None
            costs += [(one, cell.seconds * one.training_flops / whole) for one in cell.trajectories]
        prices = {trajectory.id: cost for trajectory, cost in costs}
        processes = process_count(self.study.engine)
        return makespan([sum(prices[one.id] for one in group) for group in pack(costs, processes)], processes)

    def refuse(self) -> None:
        """Nothing where every cell fits.

        Raises:
          StudyError: names every cell that does not, and what to change.
        """
        problems = [_problem(self.study, cell) for cell in self.cells if not cell.fits]
        if problems:
            raise StudyError("; ".join(problems) + "; nothing was trained")


def examine(
    study: Study, directory: RunDirectory | None, trajectories: Sequence[Trajectory], *, described: bool = False
) -> Examined:
    """Compile each program of `trajectories` that is not known yet, on as many processes as the study has.

    With `described` for the devices of engine.target, else for those of this machine. Reports are kept in `directory`,
    or nowhere when None, and beside the compilation cache.

    Raises:
      StudyError: a program cannot be compiled, whatever the memory.
    """
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as temporary:
        place = directory or RunDirectory(temporary)
        settings = settings_of(study, place)
        target = study.engine.target if described else type(study.engine.target)()
        keyed: dict[str, list[Trajectory]] = {}
        for trajectory in trajectories:
            keyed.setdefault(_key(settings, target.model_dump(mode="json"), trajectory), []).append(trajectory)
        if settings.stack not in ("auto", 1):  # no more are stepped at once than there are
            keyed = {content_hash([key, len(group)])[:16]: group for key, group in keyed.items()}
        known = {key: _known(settings, place, key) for key in keyed}
        wanted = [_request(settings, place, key, group) for key, group in keyed.items() if known[key] is None]
        if wanted:
            engine = local_engine(study.engine, COMPILE_COMMAND)
            compile_programs(engine, wanted, target, place.compiled)
        share = available_bytes() // process_count(study.engine)
        cells = []
        for key, group in keyed.items():
            report = known[key] or _read(_report_file(place, key))
            assert report is not None, f"{key} was compiled and left no report"
            cells.append(_cell(study, place, tuple(group), report, share))
    cells.sort(key=lambda cell: cell.trajectories[0].params)
    return Examined(study, tuple(cells), len(wanted), time.monotonic() - started)


def as_json(found: Examined) -> dict[str, Any]:
    """What was found as plain data."""
    return {
        "study": found.study.name,
        "processes": process_count(found.study.engine),
        "expected_seconds": found.expected_seconds,
        "cells": [
            {
                "cell": cell.name,
                "width": cell.trajectories[0].model.width,
                "layers": cell.trajectories[0].model.layers,
                "role": cell.trajectories[0].role,
                "params": cell.trajectories[0].params,
                "trajectories": [trajectory.id for trajectory in cell.trajectories],
                "fits": cell.fits,
                "limit_bytes": cell.limit_bytes,
                "memory_bytes": cell.report.memory_bytes if isinstance(cell.report, Compiled) else None,
                "expected_seconds": cell.seconds,
                "measured": cell.measured,
                "program": cell.report.model_dump(mode="json"),
            }
            for cell in found.cells
        ],
    }


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


def _problem(study: Study, cell: Cell) -> str:
    model, report = cell.trajectories[0].model, cell.report
    where = f"width {model.width} ({model.layers} layers, {cell.trajectories[0].params:,} parameters)"
    if cell.trajectories[0].role == "check":
        where = f"the check's {where}"
        drop = "a smaller check.budget_multiple, or check.enabled false"
    else:
        drop = f"{model.width} left out of sweep.widths"
    if isinstance(report, Refused):
        return f"{where} cannot fit on {report.device}: {report.refused}; change engine.mesh, or {drop}"
    parts = (
        ("state", report.state_bytes),
        ("the trunk's beside a decay", report.kept_bytes),
        ("batch and temporaries", report.batch_bytes + report.temporary_bytes),
        ("evaluation", report.evaluation_bytes),
        ("process", report.process_bytes),
    )
    told = ", ".join(f"{name} {gigabytes(size)}" for name, size in parts if size)
    processes = process_count(study.engine)
    of = f", 1/{processes} of what is free" if report.limit_bytes is None and processes > 1 else ""
    fewer = f"engine.processes below {processes}, " if of else ""
    return (
        f"{where} needs {gigabytes(report.memory_bytes)} on each {report.device} ({told}), and "
        f"{gigabytes(cell.limit_bytes)} are there{of}; use {fewer}a smaller training.batch_tokens or "
        f"family.sequence_length, engine.mesh.fsdp over more devices, or {drop}"
    )


def gigabytes(size: float) -> str:
    """Bytes as people say them: 0.43 GB."""
    return f"{size / 1e9:.3g} GB" if size >= 1e7 else f"{size / 1e6:.2g} MB"


def _key(settings: JobSettings, target: dict[str, Any], trajectory: Trajectory) -> str:
    """Hash of the program, and of what compiles it where."""
    program = {
        "model": trajectory.model.model_dump(mode="json"),
        "recipe": trajectory.recipe.model_dump(mode="json", exclude=TRACED | {"batch_ramp"}),
        "batches": sorted(set(trajectory.recipe.batches.sizes)),
        "decays": any(horizon.decay_steps for horizon in trajectory.horizons),
        "steps_per_dispatch": settings.steps_per_dispatch,
        "mesh": settings.mesh.model_dump(mode="json"),
        "stack": settings.stack,
        "target": target,
        "compilation_cache": settings.compilation_cache,
        "compiler": provenance(),
        "machine": platform.node(),
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
