"""Verbs of the law engine, which needs no study: fit, predict, select, validate, compare. Rooms are imported inside."""

import argparse
from pathlib import Path
from typing import Any

from scaling.cli.parsing import Parser, numbers, pairs
from scaling.config import StudyError, parse_yaml


def fit(arguments: list[str]) -> int:
    from scaling.studies import fitting

    parser = Parser(
        "fit",
        "Fit a law to a run directory, or to a table of anybody's runs (CSV, JSON lines, Parquet).",
        'scaling fit runs.csv --form chinchilla --columns params="Model Size" flops="Training FLOP" --json',
        takes="DIR|TABLE",
    )
    parser.add_argument("source", metavar="DIR|TABLE", help="run directory or table")
    parser.add_argument("--form", default="chinchilla", metavar="NAME", help="its name, or your own as module:name")
    parser.add_argument(
        "--options", nargs="+", default=[], metavar="NAME=VALUE", help="of the form, as x=flops for form power"
    )
    _add_table_options(parser)
    parser.add_argument("--pin", nargs="+", default=[], metavar="NAME=VALUE", help="hold parameters, as E=0")
    parser.add_argument("--tie", nargs="+", default=[], metavar="NAME=NAME", help="make two parameters one: alpha=beta")
    parser.add_argument("--objective", metavar="NAME", help="huber (default), least_squares or absolute")
    parser.add_argument("--delta", type=float, metavar="X", help="Huber threshold (default: 1e-3, or the study's)")
    parser.add_argument("--space", metavar="NAME", help="of residuals: log or linear (default: the form's)")
    _add_interval_options(parser)
    parser.add_argument("--out", metavar="FILE", help="write the law here (default: DIR/laws, or nowhere)")
    parser.add_argument("--json", action="store_true", help="print the law as JSON")
    given = parser.parse_args(arguments)
    settings = _table_settings(given) | _interval_settings(given)
    settings |= {
        "form": given.form,
        "pin": numbers(given.pin, "--pin", "E=1.6"),
        "tie": pairs(given.tie, "--tie", "beta=alpha"),
        **_form_options(given.options),
    }
    for name in ("objective", "delta", "space"):
        if getattr(given, name) is not None:
            settings[name] = getattr(given, name)
    return fitting.fit(Path(given.source), settings, out=given.out and Path(given.out), as_json=given.json)


def predict(arguments: list[str]) -> int:
    from scaling.studies import fitting

    parser = Parser(
        "predict",
        "What a fitted law says: the loss of a model, or the best model for a budget, with intervals.",
        "scaling predict runs/quickstart/laws/chinchilla.json --flops 1e13",
        takes="LAW",
    )
    parser.add_argument("law", metavar="LAW", help="a law's JSON file, or a run directory (its chinchilla law)")
    parser.add_argument("--params", type=float, metavar="N", help="N, under the law's convention; with --tokens")
    parser.add_argument("--tokens", type=float, metavar="D", help="D; with --params")
    parser.add_argument(
        "--flops", type=float, metavar="C", help="C, under the law's convention: the best N and D for it"
    )
    parser.add_argument("--at", nargs="+", default=[], metavar="NAME=VALUE", help="other inputs: unique_tokens=1e11")
    parser.add_argument("--runs", type=int, default=1, metavar="K", help="predict the mean of K new runs (1)")
    parser.add_argument("--json", action="store_true", help="as JSON")
    given = parser.parse_args(arguments)
    inputs = numbers(given.at, "--at", "unique_tokens=1e11")
    inputs |= {name: getattr(given, name) for name in ("params", "tokens", "flops") if getattr(given, name) is not None}
    if not inputs:
        raise StudyError("nothing to predict: give --flops, or --params and --tokens (see scaling predict --help)")
    return fitting.predict(Path(given.law), inputs, runs=given.runs, as_json=given.json)


def select(arguments: list[str]) -> int:
    from scaling.studies import judging

    parser = Parser(
        "select",
        "Choose the form that best foretells the larger runs of its own table; answer with all that do well.",
        'scaling select runs.csv --columns params="Model Size" flops="Training FLOP" --flops 1e24',
        takes="DIR|TABLE",
    )
    parser.add_argument("source", metavar="DIR|TABLE", help="run directory or table")
    parser.add_argument("--forms", nargs="+", metavar="NAME", help="forms to try (default: all that apply)")
    parser.add_argument("--by", default="flops", metavar="COLUMN", help="order by flops (default), params or tokens")
    _add_table_options(parser)
    parser.add_argument("--params", type=float, metavar="N", help="predict the loss of N; with --tokens")
    parser.add_argument("--tokens", type=float, metavar="D", help="and D")
    parser.add_argument("--flops", type=float, metavar="C", help="the best N and D for a budget")
    parser.add_argument("--delta", type=float, metavar="X", help="Huber threshold (default: 1e-3, or the study's)")
    _add_interval_options(parser)
    parser.add_argument("--out", metavar="FILE", help="write the selection here as JSON")
    parser.add_argument("--json", action="store_true", help="as JSON")
    given = parser.parse_args(arguments)
    settings = _table_settings(given) | _interval_settings(given) | {"by": given.by}
    if given.delta is not None:
        settings["delta"] = given.delta
    asked = {name: getattr(given, name) for name in ("params", "tokens", "flops") if getattr(given, name) is not None}
    out = None if given.out is None else Path(given.out)
    return judging.select(Path(given.source), given.forms, settings, asked, out=out, as_json=given.json)


def validate(arguments: list[str]) -> int:
    from scaling.studies import judging

    parser = Parser(
        "validate",
        "Hold out the largest runs of a table, fit each form to the others, and score what it says of them.",
        'scaling validate runs.csv --columns params="Model Size" flops="Training FLOP" --above 1e21',
        takes="DIR|TABLE",
    )
    parser.add_argument("source", metavar="DIR|TABLE", help="run directory or table")
    parser.add_argument("--forms", nargs="+", metavar="NAME", help="forms to try (default: all that apply)")
    parser.add_argument("--by", default="flops", metavar="COLUMN", help="largest by flops (default), params or tokens")
    parser.add_argument("--above", type=float, metavar="X", help="hold out the runs from X on")
    parser.add_argument("--share", type=float, metavar="X", help="or this share of the runs (default 0.2)")
    parser.add_argument("--rolling", action="store_true", help="or several cuts, one after another")
    _add_table_options(parser)
    parser.add_argument("--delta", type=float, metavar="X", help="Huber threshold (default: 1e-3, or the study's)")
    _add_interval_options(parser)
    parser.add_argument("--json", action="store_true", help="as JSON")
    given = parser.parse_args(arguments)
    settings = _table_settings(given) | _interval_settings(given)
    if given.delta is not None:
        settings["delta"] = given.delta
    cut = {"by": given.by, "above": given.above, "share": given.share, "rolling": given.rolling}
    return judging.validate(Path(given.source), given.forms, cut | settings, as_json=given.json)


def compare(arguments: list[str]) -> int:
    from scaling.studies import judging

    parser = Parser(
        "compare",
        "Is arm B better than arm A, by how much compute, and how sure?",
        "scaling compare adamw.csv muon.csv --at 1e21",
        takes="A B",
    )
    parser.add_argument("a", metavar="A", help="table or run directory of arm A")
    parser.add_argument("b", metavar="B", help="table or run directory of arm B")
    parser.add_argument("--at", type=float, required=True, metavar="C", help="the budget to compare at, in FLOPs")
    parser.add_argument("--names", nargs=2, metavar="NAME", help="of the arms (default: the files')")
    parser.add_argument("--exponents", metavar="NAME", help="shared (default) or separate")
    parser.add_argument(
        "--power", type=float, metavar="GAIN", help="how many more runs would detect this gain (0.1: 10%% of compute)"
    )
    _add_table_options(parser)
    _add_interval_options(parser)
    parser.add_argument("--json", action="store_true", help="as JSON")
    given = parser.parse_args(arguments)
    settings = _table_settings(given) | _interval_settings(given) | {"at": given.at}
    if given.names is not None:
        settings["names"] = tuple(given.names)
    if given.exponents is not None:
        settings["exponents"] = given.exponents
    return judging.compare(Path(given.a), Path(given.b), settings, gain=given.power, as_json=given.json)


def _add_table_options(parser: Parser) -> None:
    parser.add_argument(
        "--columns",
        nargs="+",
        default=[],
        metavar="NAME=COLUMN",
        help="where the table's names differ: params, tokens, flops, loss, ...",
    )
    parser.add_argument("--drop-highest-loss", type=int, default=0, metavar="K", help="leave out the K worst rows")


def _table_settings(given: argparse.Namespace) -> dict[str, Any]:
    columns = pairs(given.columns, "--columns", 'params="Model Size"')
    return {"columns": columns, "drop_highest_loss": given.drop_highest_loss}


def _add_interval_options(parser: Parser) -> None:
    parser.add_argument(
        "--resamples", type=int, metavar="K", help="behind the intervals (default: 1000, or the study's)"
    )
    parser.add_argument("--method", metavar="NAME", help="of resampling: auto (default), noise, pairs or rows")
    parser.add_argument("--level", type=float, metavar="X", help="of the intervals (default: 0.95, or the study's)")
    parser.add_argument("--seed", type=int, metavar="K", help="of starts and resamples (default: 0, or the study's)")


def _interval_settings(given: argparse.Namespace) -> dict[str, Any]:
    names = ("resamples", "method", "level", "seed")
    return {name: getattr(given, name) for name in names if getattr(given, name) is not None}


def _form_options(given: list[str]) -> dict[str, Any]:
    """Options of a form; a value with commas is a list, a number is a number."""
    found: dict[str, Any] = {}
    for name, text in pairs(given, "--options", "x=flops").items():
        found[name] = tuple(text.split(",")) if "," in text else parse_yaml(text, f"--options {name}")
    return found
