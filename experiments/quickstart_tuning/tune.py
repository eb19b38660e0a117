"""Trains single models of the quickstart's family under other settings: how its recipe was chosen.

    python experiments/quickstart_tuning/tune.py CASES.yaml OUT.csv

CASES.yaml is a list of cases: {label, width, flops, seeds, overrides: {training.learning_rate: 3e-3, ...}}. All cases
train side by side on every core; what is committed is not trained again. OUT.csv holds one row a model.
"""

import sys
from pathlib import Path
from typing import Any

import polars as pl
import yaml

from scaling.config import Study, override, parse_study, read_study
from scaling.data import prepare, save
from scaling.planning import check_trajectories
from scaling.records import RunDirectory, Trajectory
from scaling.studies.sweep import train

STUDY = Path("configs/quickstart.yaml")
RUNS = Path("runs/quickstart_tuning")


def main(cases_path: str, out_path: str) -> None:
    """Train every case and write the table."""
    base = parse_study(read_study(STUDY), source=str(STUDY))
    directory = RunDirectory(RUNS)
    tokens = prepare(base.data, base.seed)
    RUNS.mkdir(parents=True, exist_ok=True)
    save(tokens, directory.data)
    cases = yaml.safe_load(Path(cases_path).read_text())
    found = [(case, one) for case in cases for one in trajectories(case, tokens.record)]
    train(base, directory, [one for _, one in found], "tuning")
    rows = [row(case, one, directory) for case, one in found]
    table = pl.DataFrame(rows)
    table.write_csv(out_path)
    keys = ["label", "width", "flops", "learning_rate", "batch_tokens"]
    means = table.group_by(keys, maintain_order=True).agg(
        pl.len().alias("seeds"),
        pl.col("loss").mean().round(4),
        (pl.col("loss").log().std() * 100).round(2).alias("sd_percent"),
    )
    with pl.Config(tbl_rows=200, tbl_cols=20, fmt_str_lengths=60, tbl_width_chars=160):
        print(means)


def trajectories(case: dict[str, Any], data: Any) -> tuple[Trajectory, ...]:
    """The case's models, one for each seed."""
    arguments = [f"--{name}={value}" for name, value in case.get("overrides", {}).items()]
    arguments += [f"--check.seeds={case['seeds']}", f"--sweep.widths=[{case['width']}, {2 * case['width']}]"]
    arguments.append("--sweep.replicate-widths=[]")
    study: Study = parse_study(override(read_study(STUDY), arguments), source=case["label"])
    return check_trajectories(study, data, case["width"], float(case["flops"]))


def row(case: dict[str, Any], one: Trajectory, directory: RunDirectory) -> dict[str, Any]:
    """What one model reached; no loss where it diverged."""
    committed = directory.trajectory(one.id).observations()
    return {
        "label": case["label"],
        "width": one.model.width,
        "params": one.params,
        "tokens": one.horizons[0].tokens,
        "flops": float(case["flops"]),
        "learning_rate": one.recipe.learning_rate,
        "batch_tokens": one.batch_tokens,
        "seed": one.recipe.seed,
        "loss": committed[-1].loss if committed else None,
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
