"""What was found of a plan's cells before they are trained: memory, time, and a refusal of those that cannot fit."""

from dataclasses import dataclass
from typing import Any

from scaling.config import Study, StudyError
from scaling.planning import makespan, pack, process_count
from scaling.records import Compiled, Refused, Trajectory

SAFETY = 4.0
"""A model that is not compiled must fit so many times over."""


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


def side_by_side(study: Study, trajectories: int) -> int:
    """Jobs that run at once on this machine: as many as the study has processes, and trajectories for them."""
    return max(1, min(process_count(study.engine), trajectories))


@dataclass(frozen=True)
class Examined:
    """The cells of a plan, smallest model first."""

    study: Study
    cells: tuple[Cell, ...]
    asked: int
    """Programs that were compiled by this call; the others were known."""
    took_seconds: float

    @property
    def processes(self) -> int:
        """Jobs that run at once; on devices that are not here one, unless the study says otherwise."""
        if any(isinstance(cell.report, Compiled) and cell.report.where != "here" for cell in self.cells):
            return self.study.engine.processes or 1
        return side_by_side(self.study, sum(len(cell.trajectories) for cell in self.cells))

    @property
    def expected_seconds(self) -> float | None:
        """Wall time of what is left, on as many processes as the study has."""
        costs = []
        for cell in self.cells:
            whole = sum(trajectory.training_flops for trajectory in cell.trajectories)
            if cell.seconds is None:
                return None
            if cell.seconds:  # done is done, and nothing to pack
                costs += [(one, cell.seconds * one.training_flops / whole) for one in cell.trajectories]
        prices = {trajectory.id: cost for trajectory, cost in costs}
        groups = pack(costs, self.processes)
        return makespan([sum(prices[one.id] for one in group) for group in groups], self.processes)

    def surely_holds(self, trajectory: Trajectory) -> bool:
        """Whether a model that was not compiled fits beyond doubt, by the fullest that was.

        Memory grows no faster than parameters times batch; four times what that gives must fit.
        """
        compiled = [(cell, cell.report) for cell in self.cells if isinstance(cell.report, Compiled)]
        if not compiled:
            return False
        cell, report = max(compiled, key=lambda one: one[1].memory_bytes)
        like = cell.trajectories[0]
        grown = max(1.0, trajectory.params_with_embeddings / like.params_with_embeddings)
        grown *= max(1.0, max(trajectory.recipe.batches.sizes) / max(like.recipe.batches.sizes))
        own = report.memory_bytes - report.process_bytes
        return SAFETY * grown * own + report.process_bytes <= cell.limit_bytes

    def refuse(self) -> None:
        """Nothing where every cell fits.

        Raises:
          StudyError: names every cell that does not, and what to change.
        """
        isoflop = self.study.sweep.design == "isoflop"
        problems = [_problem(self.processes, cell, isoflop) for cell in self.cells if not cell.fits]
        if problems:
            raise StudyError("\n".join([*problems, "nothing was trained"]))


def as_json(found: Examined) -> dict[str, Any]:
    """What was found as plain data."""
    return {
        "study": found.study.name,
        "processes": found.processes,
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


def _problem(processes: int, cell: Cell, isoflop: bool) -> str:
    model, report = cell.trajectories[0].model, cell.report
    where = f"width {model.width} ({model.layers} layers, {cell.trajectories[0].params:,} parameters)"
    if cell.trajectories[0].role == "check":
        where = f"the check's {where}"
        drop = "a smaller check.budget_multiple, or check.enabled false"
    else:
        drop = f"{model.width} left out of sweep.widths" if isoflop else f"width {model.width} left out by sweep.skip"
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
    of = f", 1/{processes} of what is free" if report.limit_bytes is None and processes > 1 else ""
    fewer = f"engine.processes below {processes}, " if of else ""
    return (
        f"{where} needs {gigabytes(report.memory_bytes)} on each {report.device} ({told}), and "
        f"{gigabytes(cell.limit_bytes)} are there{of}; use {fewer}engine.compute.microbatch_tokens "
        "or remat, a smaller training.batch_tokens or family.sequence_length, engine.mesh.fsdp over more devices, or "
        f"{drop}"
    )


def gigabytes(size: float) -> str:
    """Bytes as people say them: 0.43 GB."""
    return f"{size / 1e9:.3g} GB" if size >= 1e7 else f"{size / 1e6:.2g} MB"
