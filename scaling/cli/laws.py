"""Verbs of the law engine, which needs no study: fit, predict. Each imports its rooms inside."""

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
