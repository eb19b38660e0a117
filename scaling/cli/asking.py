"""The verb `predict`: every question to a law that was fitted. Its room is imported inside."""

from pathlib import Path

from scaling.cli import tables
from scaling.cli.parsing import Parser, numbers, positive
from scaling.config import StudyError

PLAIN = ("params", "tokens", "flops")
"""Inputs with options of their own, which --at may name too."""


def predict(arguments: list[str]) -> int:
    parser = Parser(
        "predict",
        "What a fitted law says, with intervals and with what rests on its asymptote:\n\n"
        "  --flops C                      the best model for a budget\n"
        "  --params N --tokens D          the loss of a model (or --params N --flops C)\n"
        "  --loss L                       the least budget for a loss; with --params N: at this size\n"
        "  --flops C --instead 0.5x       what half of N* costs at a budget; or a size, as 7e9\n"
        "  --loss L --serve T             the cheapest model to train and to serve T tokens\n"
        "  --flops C --serve T            the best model whose training and serving cost C",
        "scaling predict runs/quickstart/laws/chinchilla.json --flops 1e13",
        takes="LAW",
    )
    parser.add_argument(
        "law", metavar="LAW", help="JSON of scaling fit or select, or a run directory (its chinchilla law)"
    )
    parser.add_argument("--form", metavar="NAME", help="of a run directory or a selection: ask this law alone")
    parser.add_argument("--params", type=positive, metavar="N", help="N, under the law's convention")
    parser.add_argument("--tokens", type=positive, metavar="D", help="D")
    parser.add_argument("--flops", type=positive, metavar="C", help="C, under the law's convention")
    parser.add_argument("--loss", type=positive, metavar="L", help="a loss to reach")
    parser.add_argument("--instead", metavar="SIZE", help="with --flops: a size instead of N*, as 7e9 or 0.5x")
    parser.add_argument("--serve", type=positive, metavar="T", help="tokens served over the model's life")
    parser.add_argument(
        "--inference",
        type=positive,
        metavar="X",
        help="with --serve: a served token's part of a trained one's cost (1/3)",
    )
    parser.add_argument("--at", nargs="+", default=[], metavar="NAME=VALUE", help="other inputs: unique_tokens=1e11")
    parser.add_argument("--runs", type=int, metavar="K", help="predict the mean of K new runs (1)")
    parser.add_argument("--plot", metavar="FILE", help="draw the law: a png, pdf or svg")
    parser.add_argument("--json", action="store_true", help="as JSON")
    given = parser.parse_args(arguments)
    from scaling.studies import asking

    held = numbers(given.at, "--at", "unique_tokens=1e11")
    for name in PLAIN:
        if name in held and getattr(given, name) is not None:
            raise StudyError(f"--{name} is given twice: {getattr(given, name):g}, and {held[name]:g} by --at")
    plain = {name: getattr(given, name) or held.pop(name, None) for name in PLAIN}
    question = asking.checked(
        asking.Question(
            **plain,
            loss=given.loss,
            served=given.serve,
            inference=given.inference,
            instead=given.instead,
            held=held,
            runs=given.runs,
        )
    )
    plot = tables.figure(given.plot)
    if not question.point and question.loss is None and plot is None:
        raise StudyError(
            "nothing to predict: give --flops, --loss, --params and --tokens, or --plot (see scaling predict --help)"
        )
    form = None if given.form is None else tables.named(given.form)
    return asking.predict(Path(given.law), question, form=form, plot=plot, as_json=given.json)
