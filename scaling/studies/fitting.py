"""The verbs `fit` and `predict`: the law engine alone, on a run directory or on anybody's table."""

import argparse
import json
import math
from pathlib import Path
from typing import Any

from scaling import laws
from scaling.config import StudyError, load_study
from scaling.laws import LawFit
from scaling.records import RunDirectory, pretty_json, replace
from scaling.studies import show
from scaling.studies.answers import MAIN, settings_of


def fit(options: argparse.Namespace) -> int:
    """Fit `options.form` to `options.source`; print it, and write it where asked."""
    source = Path(options.source)
    settings: dict[str, Any] = {
        "form": options.form,
        "columns": dict(_pair(text, "--columns", "params") for text in options.columns),
        "pin": {name: _number(value, name) for name, value in (_pair(text, "--pin", "E") for text in options.pin)},
        "drop_highest_loss": options.drop_highest_loss,
    }
    if options.form == "power":
        settings["x"] = options.x
    out = None if options.out is None else Path(options.out)
    if source.is_dir():
        directory = RunDirectory(source)
        if not directory.observations.is_file():
            raise StudyError(f"{source} has no observations.csv; give the folder of a `scaling run`, or a table")
        settings |= settings_of(load_study(directory.study))
        source = directory.observations
        out = out or directory.laws / f"{options.form}-by-hand.json"
    for name in ("delta", "resamples", "level", "seed"):
        if getattr(options, name) is not None:
            settings[name] = getattr(options, name)
    law = laws.fit(source, **settings)
    if out is not None:
        replace(out, pretty_json(law.as_json()))
    if options.json:
        print(law.to_json())
    else:
        show.laws({options.form: law})
        if out is not None:
            print(f"written to {out}")
    return 0


def predict(options: argparse.Namespace) -> int:
    """Print what a law says of a model, or of a budget."""
    law = _law(Path(options.law))
    given = {name: getattr(options, name) for name in ("params", "tokens", "flops") if getattr(options, name)}
    if set(given) == {"flops"} and law.form != "power":
        answer = law.optimum(flops=given["flops"])
        if options.json:
            print(json.dumps(answer.as_json(), indent=2))
        else:
            show.allocation(law, answer)
        return 0
    prediction = law.predict(**given)
    if options.json:
        print(json.dumps(prediction.as_json(), indent=2))
    else:
        show.predicted(prediction)
    return 0


def _law(path: Path) -> LawFit:
    if path.is_dir():
        path = RunDirectory(path).laws / f"{MAIN}.json"
    if not path.is_file():
        raise StudyError(f"law: {path} does not exist; give a law's JSON file, as `scaling fit --out` writes it")
    return laws.load(path)


def _pair(text: str, option: str, example: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name or not value:
        raise StudyError(f"{option} has {text!r}; write NAME=VALUE, as in {option} {example}=...")
    return name, value


def _number(text: str, name: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise StudyError(f"--pin {name} is {text!r}, not a number") from None
    if not math.isfinite(value):
        raise StudyError(f"--pin {name} is {text}; give a finite number")
    return value
