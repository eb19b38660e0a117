"""Verbs that judge: select, validate, compare. Rooms are imported inside."""

from pathlib import Path
from typing import Any

from scaling.cli import tables
from scaling.cli.parsing import Parser, positive
from scaling.config import StudyError


def select(arguments: list[str]) -> int:
    parser = Parser(
        "select",
        "Choose the form that best foretells the larger runs of its own table; answer with all that do well.",
        'scaling select runs.csv --columns params="Model Size" flops="Training FLOP" --flops 1e24',
        takes="DIR|TABLE",
    )
    parser.add_argument("source", metavar="DIR|TABLE", help="run directory or table")
    parser.add_argument("--forms", nargs="+", metavar="NAME", help="forms to try (default: all that apply)")
    parser.add_argument("--by", default="flops", metavar="COLUMN", help="order by flops (default), params or tokens")
    tables.add_table(parser)
    parser.add_argument("--params", type=positive, metavar="N", help="predict the loss of N; with --tokens")
    parser.add_argument("--tokens", type=positive, metavar="D", help="and D")
    parser.add_argument("--flops", type=positive, metavar="C", help="the best N and D for a budget")
    parser.add_argument("--delta", type=float, metavar="X", help="Huber threshold (default: 1e-3, or the study's)")
    tables.add_intervals(parser)
    parser.add_argument("--out", metavar="FILE", help="write the selection here as JSON, for scaling predict")
    parser.add_argument("--json", action="store_true", help="as JSON")
    given = parser.parse_args(arguments)
    from scaling.studies import judging

    settings = tables.table_settings(given) | tables.interval_settings(given) | {"by": given.by}
    if given.delta is not None:
        settings["delta"] = given.delta
    asked = {name: getattr(given, name) for name in ("params", "tokens", "flops") if getattr(given, name) is not None}
    return judging.select(
        Path(given.source),
        _forms(given.forms),
        settings,
        asked,
        sweep=tables.sweep(given),
        out=tables.to_write(given.out, "--out"),
        as_json=given.json,
    )


def validate(arguments: list[str]) -> int:
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
    parser.add_argument("--selection", action="store_true", help="score also what select answers below each cut")
    tables.add_table(parser)
    parser.add_argument("--delta", type=float, metavar="X", help="Huber threshold (default: 1e-3, or the study's)")
    tables.add_intervals(parser)
    parser.add_argument("--json", action="store_true", help="as JSON")
    given = parser.parse_args(arguments)
    from scaling.studies import judging

    settings = tables.table_settings(given) | tables.interval_settings(given)
    if given.delta is not None:
        settings["delta"] = given.delta
    cut = {
        "by": given.by,
        "above": given.above,
        "share": given.share,
        "rolling": given.rolling,
        "selection": given.selection,
    }
    return judging.validate(
        Path(given.source), _forms(given.forms), cut | settings, sweep=tables.sweep(given), as_json=given.json
    )


def compare(arguments: list[str]) -> int:
    parser = Parser(
        "compare",
        "Is arm B better than arm A, by how much compute, and how sure?\n"
        "A alone: the run directory of a study with arms, each held against the first.",
        "scaling compare adamw.csv muon.csv --at 1e21",
        takes="A [B]",
    )
    parser.add_argument("a", metavar="A", help="table or run directory of arm A")
    parser.add_argument("b", metavar="B", nargs="?", help="table or run directory of arm B")
    parser.add_argument(
        "--at", type=positive, metavar="C", help="the budget to compare at, in FLOPs (of arms: the check's)"
    )
    parser.add_argument("--names", nargs=2, metavar="NAME", help="of the arms (default: the files')")
    parser.add_argument("--exponents", metavar="NAME", help="shared (default) or separate")
    parser.add_argument(
        "--power", type=float, metavar="GAIN", help="how many more runs would detect this gain (0.1: 10%% of compute)"
    )
    tables.add_table(parser)
    tables.add_intervals(parser)
    parser.add_argument("--json", action="store_true", help="as JSON")
    given = parser.parse_args(arguments)
    if given.b is None:
        from scaling.studies import arms

        arms.compare(Path(given.a), given.at)
        return 0
    if given.at is None:
        raise StudyError("--at is missing: the budget to compare A and B at, in FLOPs, as --at 1e21")
    from scaling.studies import judging

    settings: dict[str, Any] = tables.table_settings(given) | tables.interval_settings(given) | {"at": given.at}
    if given.names is not None:
        settings["names"] = tuple(given.names)
    if given.exponents is not None:
        settings["exponents"] = given.exponents
    return judging.compare(
        Path(given.a), Path(given.b), settings, sweep=tables.sweep(given), gain=given.power, as_json=given.json
    )


def _forms(given: list[str] | None) -> list[str] | None:
    return None if given is None else [tables.named(name) for name in given]
