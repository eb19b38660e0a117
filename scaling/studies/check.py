"""The check: a larger model that the fit never saw, predicted first, then trained, then compared.

check/<hash>/prediction.json   committed before training starts; <hash> is that of what it says
check/<hash>/committed.json    when and by what it was written, and whether a model that it tells of was trained before
check/<hash>/result.json       prediction and measurement side by side
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from scaling.accounting import Count, counts
from scaling.config import Study
from scaling.laws import Estimate, LawFit
from scaling.planning import Rule, check_trajectories, cost_table, nearest_width, next_width, params_at
from scaling.records import (
    DataRecord,
    Observation,
    RunDirectory,
    Trajectory,
    commit_once,
    content_hash,
    pretty_json,
    provenance,
    read_json,
    replace,
)


@dataclass(frozen=True)
class Check:
    """What is predicted, and the trajectories that will tell."""

    trajectories: tuple[Trajectory, ...]
    prediction: dict[str, Any]

    @property
    def folder(self) -> str:
        return content_hash(self.prediction)[:12]


def prepare(
    study: Study,
    data: DataRecord,
    law: LawFit,
    rows: Sequence[Observation],
    count: Count = counts,
    rule: Rule | None = None,
) -> Check:
    """The check of `law`: at least budget_multiple x the largest fitted budget, at the allocation that it predicts.

    `rule` gives a tuned ladder's settings at the check's own N and D.
    """
    budget = study.check.budget_multiple * max(row.budget for row in rows)
    wanted = law.optimum(flops=budget)
    width = width_for(wanted.params, max(row.params for row in rows), study, count)
    trajectories = check_trajectories(study, data, width, budget, count, rule)
    first = trajectories[0]
    tokens = first.horizons[0].tokens
    flops = float(tokens) * first.flops_per_token
    predicted = law.predict(params=first.params, tokens=tokens, runs=len(trajectories))
    prediction = {
        "law": {"form": law.form, "params": law.params, "data_sha256": law.sha256, "rows": law.rows},
        "conventions": law.conventions,
        "budget": budget,
        "allocation": {
            "params": wanted.params.value,
            "tokens": wanted.tokens.value,
            "params_interval": [wanted.params.low, wanted.params.high],
            "note": "compute-optimal under the law; the model below is the nearest of the family, or the next larger "
            "than all that were fitted if the interval reaches so far",
        },
        "model": first.model.model_dump(mode="json"),
        "params": first.params,
        "tokens": tokens,
        "flops": flops,
        "seeds": [trajectory.recipe.seed for trajectory in trajectories],
        "trajectories": [trajectory.id for trajectory in trajectories],
        "loss": predicted.loss,
        "interval": {
            "low": predicted.prediction.low,
            "high": predicted.prediction.high,
            "level": predicted.prediction.level,
            "of": f"the mean loss of {len(trajectories)} new runs",
        },
        "baselines": baselines(rows, flops),
    }
    return Check(trajectories, prediction)


def width_for(best: Estimate, fitted: float, study: Study, count: Count = counts) -> int:
    """The family's width nearest to N*; where that is no larger than the fitted models, the next above them.

    The latter only if N*'s interval reaches so far: then it is as good an answer, and a harder question.
    """
    nearest, larger = nearest_width(best.value, study, count), next_width(fitted, study, count)
    return larger if nearest < larger and params_at(larger, study, count) <= best.high else nearest


def commit(directory: RunDirectory, check: Check) -> tuple[Path, bool]:
    """Write the prediction, once. (Its path, whether it was written before anything of the check was trained.)

    A law fitted again under other settings may predict a model that an earlier check has trained already; such a
    prediction is compared all the same, and its records say that it came after.
    """
    folder = directory.check / check.folder
    path, record = folder / "prediction.json", folder / "committed.json"
    begun = [one.id for one in check.trajectories if directory.trajectory(one.id).record.exists()]
    said = {
        "sha256": content_hash(check.prediction),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "trained_before": begun,
        "provenance": provenance(),
    }
    commit_once(record, pretty_json(said))
    commit_once(path, pretty_json(check.prediction))
    return path, not read_json(record)["trained_before"]


def compare(directory: RunDirectory, check: Check) -> dict[str, Any] | None:
    """Prediction against measurement, written as result.json; None while a seed has not been measured."""
    measured = []
    for trajectory in check.trajectories:
        measured += [row.loss for row in directory.trajectory(trajectory.id).observations()]
    if len(measured) < len(check.trajectories):
        return None
    loss = float(np.mean(measured))
    predicted, interval = check.prediction["loss"], check.prediction["interval"]
    result = {
        "prediction": check.prediction,
        "prediction_sha256": content_hash(check.prediction),
        "predicted_first": not read_json(directory.check / check.folder / "committed.json")["trained_before"],
        "measured": {"loss": loss, "losses": measured},
        "inside": interval["low"] <= loss <= interval["high"],
        "relative_error": predicted / loss - 1,
        "half_width": [1 - interval["low"] / predicted, interval["high"] / predicted - 1],
        "baseline_errors": {name: value / loss - 1 for name, value in check.prediction["baselines"].items()},
        "provenance": provenance(),
    }
    replace(directory.check / check.folder / "result.json", pretty_json(result))
    return result


def baselines(rows: Sequence[Observation], flops: float) -> dict[str, float]:
    """Two simple answers: the largest budget's best loss; a straight line in logs through every budget's best."""
    best: dict[float, Observation] = {}
    for row in rows:
        if row.budget not in best or row.loss < best[row.budget].loss:
            best[row.budget] = row
    budgets = sorted(best)
    last = best[budgets[-1]].loss
    if len(budgets) < 2:
        return {"best_loss_of_last_budget": last}
    slope, level = np.polyfit(
        [math.log(best[budget].flops) for budget in budgets], [math.log(best[budget].loss) for budget in budgets], 1
    )
    return {
        "best_loss_of_last_budget": last,
        "straight_line_in_logs": math.exp(level + slope * math.log(flops)),
    }


def costs(study: Study) -> tuple[list[int], list[int]]:
    """(params, flops_per_token) of the study's family: the law engine's C(N)."""
    return cost_table(study)
