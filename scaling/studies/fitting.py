"""The verbs `fit` and `predict`: the law engine alone, on a run directory or on anybody's table."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scaling import laws
from scaling.config import StudyError, load_study
from scaling.laws import LawFit
from scaling.records import RunDirectory, pretty_json, replace
from scaling.studies import show
from scaling.studies.answers import MAIN, settings_of


def fit(source: Path, settings: Mapping[str, Any], *, out: Path | None, as_json: bool) -> int:
    """Fit a law to `source` under `settings` (a run directory's own study gives the others); print it, and write it."""
    source, own, folder = table_of(source)
    law = laws.fit(source, **{**own, **settings})
    name = law.form.rpartition(":")[2]
    if out is None and folder is not None:
        out = folder / f"{name}-by-hand.json"
    if out is not None:
        replace(out, pretty_json(law.as_json()))
    if as_json:
        print(law.to_json())
    else:
        show.laws({name: law})
        if out is not None:
            print(f"written to {out}")
    return 0


def predict(path: Path, inputs: Mapping[str, float], *, runs: int, as_json: bool) -> int:
    """Print what a law says of a model, or of a budget."""
    law = law_at(path)
    of_budget = "flops" in inputs and not {"params", "tokens", "tokens_per_param"} & set(inputs)
    if of_budget and (law.law.frontier is not None or law.inputs != ("flops",)):
        best = law.optimum(**inputs)
        _print(best.as_json()) if as_json else show.allocation(law, best)
    else:
        said = law.predict(runs=runs, **inputs)
        _print(said.as_json()) if as_json else show.predicted(law, said)
    return 0


def _print(plain: Mapping[str, Any]) -> None:
    print(json.dumps(plain, indent=2))


def table_of(source: Path) -> tuple[Path, dict[str, Any], Path | None]:
    """(table, settings of its study, folder for its laws) of a run directory; a table stands for itself."""
    if not source.is_dir():
        return source, {}, None
    directory = RunDirectory(source)
    if not directory.observations.is_file():
        raise StudyError(f"{source} has no observations.csv; give the folder of a `scaling run`, or a table")
    return directory.observations, settings_of(load_study(directory.study)), directory.laws


def law_at(path: Path) -> LawFit:
    """The law in a file, or a run directory's main one."""
    if path.is_dir():
        path = RunDirectory(path).laws / f"{MAIN}.json"
    if not path.is_file():
        raise StudyError(f"law: {path} does not exist; give a law's JSON file, as `scaling fit --out` writes it")
    return laws.load(path)
