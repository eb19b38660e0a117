"""Options that several verbs of the law engine share: of the table, the raw sweep in it, the form, the intervals."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scaling.cli.parsing import Parser, numbers, pairs, positive, stand_here
from scaling.config import StudyError, parse_yaml

if TYPE_CHECKING:
    from scaling.studies.reduction import Sweep


def add_table(parser: Parser) -> None:
    parser.add_argument(
        "--columns",
        nargs="+",
        default=[],
        metavar="NAME=COLUMN",
        help="where the table's names differ: params, tokens, flops, loss, loss_se, ...",
    )
    parser.add_argument(
        "--drop-highest-loss", type=int, default=0, metavar="K", help="leave out the K worst rows, or cells"
    )
    parser.add_argument(
        "--best-over",
        nargs="+",
        metavar="COLUMN",
        help="of a raw sweep: one row for each N and D, at its best of these (lr batch_size)",
    )
    parser.add_argument(
        "--reach",
        type=positive,
        metavar="X",
        help="with --best-over: ln loss above its least that a bowl is fitted to (0.03)",
    )


def table_settings(given: argparse.Namespace) -> dict[str, Any]:
    columns = pairs(given.columns, "--columns", 'params="Model Size"')
    return {"columns": columns, "drop_highest_loss": given.drop_highest_loss}


def sweep(given: argparse.Namespace) -> "Sweep | None":
    """How a raw sweep is to be reduced; None where the table is no raw sweep."""
    if given.best_over is None:
        if given.reach is not None:
            raise StudyError(f"--reach {given.reach:g} goes with --best-over, which names the swept columns")
        return None
    from scaling.studies.reduction import Sweep

    return Sweep(tuple(given.best_over), given.reach)


def add_form(parser: Parser) -> None:
    parser.add_argument("--form", default="chinchilla", metavar="NAME", help="see scaling forms; or module:name")
    parser.add_argument(
        "--options", nargs="+", default=[], metavar="NAME=VALUE", help="of the form, as x=flops for form power"
    )
    parser.add_argument("--pin", nargs="+", default=[], metavar="NAME=VALUE", help="hold parameters, as E=0")
    parser.add_argument("--tie", nargs="+", default=[], metavar="NAME=NAME", help="make two parameters one: alpha=beta")
    parser.add_argument("--objective", metavar="NAME", help="huber (default), least_squares or absolute")
    parser.add_argument("--delta", type=float, metavar="X", help="Huber threshold (default: 1e-3, or the study's)")
    parser.add_argument("--space", metavar="NAME", help="of residuals: log or linear (default: the form's)")


def form(given: argparse.Namespace) -> str:
    return named(given.form)


def named(name: str) -> str:
    """A form's name; a module of the user's own is found where they stand, as by `python -m`."""
    if ":" in name:
        stand_here()
    return name


def form_settings(given: argparse.Namespace) -> dict[str, Any]:
    found: dict[str, Any] = {
        "pin": numbers(given.pin, "--pin", "E=1.6"),
        "tie": pairs(given.tie, "--tie", "beta=alpha"),
    }
    return found | {n: getattr(given, n) for n in ("objective", "delta", "space") if getattr(given, n) is not None}


def form_options(given: list[str]) -> dict[str, Any]:
    """Options of a form; a value with commas is a list, a number is a number."""
    found: dict[str, Any] = {}
    for name, text in pairs(given, "--options", "x=flops").items():
        found[name] = tuple(text.split(",")) if "," in text else parse_yaml(text, f"--options {name}")
    return found


def add_intervals(parser: Parser, method: bool = True) -> None:
    parser.add_argument(
        "--resamples", type=int, metavar="K", help="behind the intervals (default: 1000, or the study's)"
    )
    if method:
        parser.add_argument("--method", metavar="NAME", help="of resampling: auto (default), noise, pairs or rows")
    parser.add_argument("--level", type=float, metavar="X", help="of the intervals (default: 0.95, or the study's)")
    parser.add_argument("--seed", type=int, metavar="K", help="of starts and resamples (default: 0, or the study's)")


def interval_settings(given: argparse.Namespace) -> dict[str, Any]:
    names = ("resamples", "method", "level", "seed")
    return {name: getattr(given, name) for name in names if getattr(given, name, None) is not None}


def to_write(text: str | None, option: str) -> Path | None:
    """Where a result is to be written; StudyError before anything is computed where it cannot be."""
    if text is None:
        return None
    path = Path(text)
    if path.is_dir():
        raise StudyError(f"{option} is {path}, a folder; give a file in it")
    return path


def figure(text: str | None) -> Path | None:
    """Where a figure is to be written; StudyError where its name says no format."""
    if text is None:
        return None
    from scaling.studies import figures

    return figures.checked(Path(text))
