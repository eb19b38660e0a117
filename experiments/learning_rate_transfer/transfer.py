"""Trains one model for each rule, width, rate and seed of a design: does the best learning rate move with the width?

    python experiments/learning_rate_transfer/transfer.py DESIGN.yaml OUT.csv [--STUDY.FIELD VALUE ...]

DESIGN.yaml: steps, each width's seeds, and for each rule what it changes in study.yaml and each width's peak rates. A
seed is the same batches everywhere. All rates and seeds of one shape share one compiled program; what is committed is
not trained again. OUT.csv holds one row a model, without a loss where it diverged.
"""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import yaml

from scaling.accounting import size_and_cost
from scaling.config import Study, override, parse_study, read_study
from scaling.data import prepare, save
from scaling.planning import check_trajectories, model_of
from scaling.records import DataRecord, RunDirectory, Trajectory
from scaling.studies.sweep import train

STUDY = Path(__file__).with_name("study.yaml")


def main(design_path: str, out_path: str, *arguments: str) -> None:
    """Train every model of the design and write the table."""
    design = yaml.safe_load(Path(design_path).read_text())
    base = study_of(arguments)
    directory = RunDirectory(Path("runs") / base.name)
    tokens = prepare(base.data, base.seed)
    directory.root.mkdir(parents=True, exist_ok=True)
    save(tokens, directory.data)
    found = list(models(design, arguments, tokens.record))
    train(base, directory, [one for _, one in found], "learning-rate transfer")
    pl.DataFrame([row(rule, one, directory) for rule, one in found]).write_csv(out_path)


def study_of(arguments: Sequence[str]) -> Study:
    """study.yaml with these overrides."""
    return parse_study(override(read_study(STUDY), list(arguments)), source=str(STUDY))


def models(design: dict[str, Any], arguments: Sequence[str], data: DataRecord) -> Iterator[tuple[str, Trajectory]]:
    """(rule, trajectory) of every model, each of design["steps"] optimiser steps."""
    for rule, part in design["rules"].items():
        chosen = [*arguments, *(f"--{name}={value}" for name, value in part["overrides"].items())]
        for width, rates in part["rates"].items():
            seeds = f"--check.seeds={design['seeds'][width]}"
            for rate in rates:
                study = study_of([*chosen, seeds, f"--training.learning-rate={rate}"])
                _, cost = size_and_cost(model_of(width, study), study.accounting)
                budget = float(design["steps"] * study.training.batch_tokens * cost)
                for one in check_trajectories(study, data, width, budget):
                    yield rule, one


def row(rule: str, one: Trajectory, directory: RunDirectory) -> dict[str, Any]:
    """What one model reached."""
    committed = directory.trajectory(one.id).observations()
    return {
        "rule": rule,
        "width": one.model.width,
        "layers": one.model.layers,
        "params": one.params,
        "tokens": one.horizons[0].tokens,
        "learning_rate": one.recipe.learning_rate,
        "seed": one.recipe.seed,
        "loss": committed[-1].loss if committed else None,
        "trajectory": one.id,
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
