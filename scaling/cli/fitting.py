"""Verbs that fit one form: fit, profile; and forms, which lists them. Rooms are imported inside."""

from pathlib import Path

from scaling.cli import tables
from scaling.cli.parsing import Parser


def fit(arguments: list[str]) -> int:
    parser = Parser(
        "fit",
        "Fit a law to a run directory, to a table of anybody's runs (CSV, JSON lines, Parquet), or to a raw sweep of\n"
        "hyper-parameters, by the best of each N and D (--best-over).",
        'scaling fit runs.csv --form chinchilla --columns params="Model Size" flops="Training FLOP" --json',
        takes="DIR|TABLE",
    )
    parser.add_argument("source", metavar="DIR|TABLE", help="run directory or table")
    tables.add_form(parser)
    tables.add_table(parser)
    tables.add_intervals(parser)
    parser.add_argument("--out", metavar="FILE", help="write the law here (default: DIR/laws, or nowhere)")
    parser.add_argument("--plot", metavar="FILE", help="draw the law with the runs: a png, pdf or svg")
    parser.add_argument("--json", action="store_true", help="print the law as JSON")
    given = parser.parse_args(arguments)
    from scaling.studies import fitting

    settings = tables.table_settings(given) | tables.interval_settings(given) | tables.form_settings(given)
    return fitting.fit(
        Path(given.source),
        tables.form(given),
        tables.form_options(given.options),
        settings,
        sweep=tables.sweep(given),
        out=tables.to_write(given.out, "--out"),
        plot=tables.figure(given.plot),
        as_json=given.json,
    )


def profile(arguments: list[str]) -> int:
    parser = Parser(
        "profile",
        "What the runs say of one parameter alone: the least objective with it held at one value after another, its\n"
        "interval, and whether the runs limit it on either side.",
        'scaling profile runs.csv --columns params="Model Size" flops="Training FLOP" --parameter alpha E',
        takes="DIR|TABLE",
    )
    parser.add_argument("source", metavar="DIR|TABLE", help="run directory or table")
    parser.add_argument("--parameter", nargs="+", metavar="NAME", help="one or several (default: all that are free)")
    tables.add_form(parser)
    tables.add_table(parser)
    tables.add_intervals(parser, method=False)
    parser.add_argument("--points", type=int, metavar="K", help="values that it is held at (61)")
    parser.add_argument("--calibration", metavar="NAME", help="of the threshold: auto (default), F or simulated")
    parser.add_argument("--plot", metavar="FILE", help="draw the profiles: a png, pdf or svg")
    parser.add_argument("--json", action="store_true", help="as JSON")
    given = parser.parse_args(arguments)
    from scaling.studies import profiles

    settings = tables.table_settings(given) | tables.interval_settings(given) | tables.form_settings(given)
    settings |= {n: getattr(given, n) for n in ("points", "calibration") if getattr(given, n) is not None}
    return profiles.profile(
        Path(given.source),
        tables.form(given),
        tables.form_options(given.options),
        given.parameter,
        settings,
        sweep=tables.sweep(given),
        plot=tables.figure(given.plot),
        as_json=given.json,
    )


def forms(arguments: list[str]) -> int:
    parser = Parser(
        "forms",
        "The laws that can be fitted, by the name that --form takes; with a name, all about that one.",
        "scaling forms chinchilla",
        takes="[NAME]",
    )
    parser.add_argument("name", nargs="?", metavar="NAME", help="show this one: parameters, options, columns")
    parser.add_argument(
        "--options", nargs="+", default=[], metavar="NAME=VALUE", help="of the form, as domains=web,code"
    )
    parser.add_argument("--json", action="store_true", help="as JSON")
    given = parser.parse_args(arguments)
    from scaling.studies import catalogue

    options = tables.form_options(given.options)
    if given.name is None:
        if options:
            parser.error("--options needs NAME, the form whose options they are")
        return catalogue.forms(as_json=given.json)
    return catalogue.form(tables.named(given.name), options, as_json=given.json)
