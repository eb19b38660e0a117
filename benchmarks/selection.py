"""How much the form that `laws.select` chooses, and its mixture, err beyond what they saw: times the best form's error.

    python benchmarks/selection.py          on tables planted here, whose law is known
    python benchmarks/selection.py DIR      and on the public tables that lie in DIR, as chinchilla/points.csv and so on

A question is a table and a cut: `laws.validate(..., selection=True)` fits every form, and selects, below the cut, and
scores what each says of the runs above it. The ratio of a question is an error over that of the best single form.
"""

import argparse
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

if hasattr(os, "sched_setaffinity"):
    # Before NumPy and JAX start their threads: the figures do not depend on it, the time of others beside it does.
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})

import numpy as np
import polars as pl

from scaling import laws
from scaling.laws.errors import LawError
from scaling.laws.forms import form_named
from scaling.laws.table import Table, read
from scaling.laws.validation import CHOSEN, MIXTURE, SCARCE

RATIOS = ("chosen", "mixture", "chinchilla")
"""The errors that are put over the best form's."""
LEAST = {"fitted": 14, "held": 4}
"""Rows on either side of a cut that make it a question."""
PLANTED: dict[str, tuple[str, dict[str, float]]] = {
    "chinchilla": ("chinchilla", {"E": 1.8, "A": 480.0, "alpha": 0.35, "B": 2100.0, "beta": 0.37}),
    "unequal": ("chinchilla", {"E": 1.7, "A": 406.0, "alpha": 0.34, "B": 410.0, "beta": 0.28}),
    "overtraining": ("chinchilla", {"E": 1.6, "A": 480.0, "alpha": 0.3, "B": 900.0, "beta": 0.3}),
    "busbridge": (
        "busbridge",
        {"E": 1.22, "A": 3355.0, "alpha": 0.408, "B": 18186.0, "beta": 0.431, "gamma": 0.452},
    ),
    "kaplan": ("kaplan", {"alpha_N": 0.076, "alpha_D": 0.103, "N_c": 6.4e13, "D_c": 1.8e13}),
}
"""Label -> (form, parameters like those that were fitted to measured runs)."""
NOISE = (0.002, 0.008)
"""Standard deviations of ln L."""
ABOVE = 2e21
"""FLOPs from which planted runs are held out."""


@dataclass(frozen=True)
class Question:
    """A table and where it is cut: `by` a column, `above` a value or the largest `share` of the rows."""

    family: str
    name: str
    rows: Table
    by: str = "flops"
    above: float | None = None
    share: float | None = None


@dataclass(frozen=True)
class Answer:
    """Errors on the held-out runs: of the form chosen, the mixture, plain chinchilla and the best form in hindsight."""

    question: Question
    fitted: int
    chosen: str
    best: str
    errors: dict[str, float]
    coverage: float
    few: bool

    def ratio(self, of: str) -> float:
        return self.errors[of] / self.errors["best"]


def main() -> None:
    given = arguments()
    asked = [one for one in questions(given.directory) if given.only in f"{one.family} {one.name}"]
    print(f"{'question':44s} fitted   chinchilla     chosen              mixture     best              95% hold")
    answers = []
    for one in asked:
        found = answered(one, given.starts, given.resamples)
        if found is not None:
            answers.append(found)
            print(line(found), flush=True)
    print(
        f"\n{'mean of ratios, ratio of mean errors:':>27s}  "
        + "".join(f"{name:>14s}" for name in RATIOS)
        + "   95% hold, least"
    )
    for family in dict.fromkeys(one.question.family for one in answers):
        print(summary(family, [one for one in answers if one.question.family == family]))
    for label, few in (("runs are few", True), ("the others", False)):
        print(summary(label, [one for one in answers if one.few == few]))
    print(summary("all", answers))


def answered(one: Question, starts: int, resamples: int) -> Answer | None:
    """None where a side of the cut has too few rows."""
    cut = {"by": one.by, "above": one.above, "share": one.share}
    try:
        found = laws.validate(one.rows, selection=True, starts=starts, resamples=resamples, **cut)
    except LawError:
        return None
    (place,) = found.cuts
    if place.fitted < LEAST["fitted"] or place.held < LEAST["held"]:
        return None
    names = {"chosen": CHOSEN, "mixture": MIXTURE, "chinchilla": "chinchilla", "best": found.best.label}
    errors = {name: found.score(label).error for name, label in names.items()}
    few = any(item.code in SCARCE for item in found.diagnostics)
    return Answer(
        one, place.fitted, str(found.chosen[0]), found.best.label, errors, found.score(MIXTURE).coverage or 0.0, few
    )


def line(one: Answer) -> str:
    percent = {name: f"{100 * value:6.2f}%" for name, value in one.errors.items()}
    return (
        f"{one.question.family + ' ' + one.question.name:44s} {one.fitted:6d}      {percent['chinchilla']}    "
        f"{percent['chosen']} {one.chosen:12s}{percent['mixture']}    {percent['best']} {one.best:12s} "
        f"{100 * one.coverage:4.0f}%"
    )


def summary(label: str, answers: list[Answer]) -> str:
    if not answers:
        return f"{label:16s} {0:4d} questions"
    total = {name: sum(one.errors[name] for one in answers) for name in answers[0].errors}
    ratios = [(np.mean([one.ratio(name) for one in answers]), total[name] / total["best"]) for name in RATIOS]
    held = [one.coverage for one in answers]
    cells = "".join(f"{mean:7.2f} {ratio:6.2f}" for mean, ratio in ratios)
    return f"{label:16s} {len(answers):4d} questions  {cells}   {100 * np.mean(held):7.0f}% {100 * min(held):5.0f}%"


def questions(directory: Path | None) -> Iterator[Question]:
    if directory is not None:
        yield from chinchilla(directory)
        yield from gadre(directory)
        yield from gemstones(directory)
        yield from muennighoff(directory)
        yield from farseer(directory)
    yield from planted()


def shared(family: str, name: str, rows: Table, by: str, *shares: float) -> Iterator[Question]:
    for share in shares:
        yield Question(family, f"{name} {by} {share:g}".strip(), rows, by, share=share)


def some(rows: Table, of: Any, count: int, seed: int) -> Table:
    """The rows of `count` of the values of `of` (rows,), drawn without replacement."""
    drawn = np.random.default_rng(seed).permutation(np.unique(of))[:count]
    return rows.only(np.isin(of, drawn), "not drawn")


def chinchilla(directory: Path) -> Iterator[Question]:
    columns = {"params": "Model Size", "flops": "Training FLOP"}
    rows = read(directory / "chinchilla" / "points.csv", columns, drop_highest_loss=5)
    for above in (3e19, 1e20, 3e20, 1e21):
        yield Question("chinchilla", f"C < {above:g}", rows, above=above)
    yield from shared("chinchilla", "", rows, "params", 0.4, 0.2)
    yield from shared("chinchilla", "", rows, "tokens", 0.4, 0.2)
    for seed in range(3):
        yield Question(
            "chinchilla", f"90 runs, {seed}, C < 3e20", some(rows, np.arange(rows.rows), 90, seed), above=3e20
        )


def gadre(directory: Path) -> Iterator[Question]:
    runs = pl.read_csv(directory / "gadre" / "runs.csv")
    for data in runs["train_dataset"].unique(maintain_order=True):
        for loss in ("c4_val", "paloma_redpajama", "paloma_falcon-refinedweb", "openlm"):
            columns = {"params": "N", "tokens": "D", "loss": f"loss_{loss}"}
            rows = read(runs.filter(pl.col("train_dataset") == data), columns)
            yield Question("gadre", f"{data} {loss[:14]} C < 3e19", rows, above=3e19)
            if loss == "c4_val":
                for by, share in (("flops", 0.5), ("params", 0.3), ("tokens", 0.3)):
                    yield from shared("gadre", data, rows, by, share)


def gemstones(directory: Path) -> Iterator[Question]:
    for name in ("slim_chinchilla", "cool_end", "hot"):
        runs = pl.read_ndjson(directory / "gemstones" / f"{name}.jsonl")
        columns = {"params": "params_active_precise", "loss": "final_loss"}
        rows = read(runs, columns | ({"trajectory": "run_name"} if "run_name" in runs.columns else {}))
        yield from shared("gemstones", name, rows, "flops", 0.4, 0.2)
        yield from shared("gemstones", name, rows, "params", 0.4, 0.2)
        yield from shared("gemstones", name, rows, "tokens", 0.3)
        if rows.rows > 100:
            for seed in range(2):
                half = some(rows, rows.cluster, len(np.unique(rows.cluster)) // 2, seed)
                yield from shared("gemstones", f"{name} half {seed}", half, "flops", 0.3)


def muennighoff(directory: Path) -> Iterator[Question]:
    runs = pl.read_csv(directory / "muennighoff" / "runs.csv")
    rows = read(runs.filter(pl.col("D") <= 1.01 * pl.col("U")))
    yield from shared("muennighoff", "one epoch", rows, "flops", 0.4, 0.2)
    yield from shared("muennighoff", "one epoch", rows, "tokens", 0.3)


def farseer(directory: Path) -> Iterator[Question]:
    fitted, held = (pl.read_csv(directory / "farseer" / f"{name}.csv") for name in ("runs", "held_out"))
    rows = read(fitted)
    yield Question("farseer", "404, the seven", read(pl.concat([fitted, held], how="vertical_relaxed")), above=5e21)
    for above in (1e20, 3e20, 1e21):
        yield Question("farseer", f"C < {above:g}", rows, above=above)
    for above in (1e9, 2e9):
        yield Question("farseer", f"N < {above:g}", rows, "params", above)
    yield from shared("farseer", "", rows, "tokens", 0.3, 0.15)
    for count in (30, 60, 120):
        for seed in range(2):
            drawn = fitted.sample(count, seed=seed)
            both = read(pl.concat([drawn, held], how="vertical_relaxed"))
            yield Question("farseer", f"{count} runs, {seed}, the seven", both, above=5e21)
            yield from shared("farseer", f"{count} runs, {seed},", read(drawn), "flops", 0.3)


def planted() -> Iterator[Question]:
    """Runs along seven or four budgets and on a grid; ten larger ones at two budgets are held out."""
    for seed, (label, (form, truth)) in enumerate(PLANTED.items()):
        for noise in NOISE:
            for design in ("7 budgets", "4 budgets", "grid"):
                params, tokens = designed(design)
                exact = form_named(form).evaluate(truth, {"params": np.log(params), "tokens": np.log(tokens)})
                scatter = np.random.default_rng([seed, round(1e4 * noise), len(params)]).standard_normal(len(params))
                table = {"params": params, "tokens": tokens, "loss": exact * np.exp(noise * scatter)}
                yield Question("planted", f"{label}, {design}, {noise:.1%}", read(table), above=ABOVE)


def designed(design: str) -> tuple[Any, Any]:
    """(N, D) of the runs, the ones to hold out included."""
    larger = [isoflop(flops, 5, 0.4) for flops in (3e21, 1e22)]
    if design == "grid":
        axes = np.meshgrid(np.geomspace(3e7, 3e9, 8), np.geomspace(6e8, 6e10, 8))
        runs = [(axes[0].ravel(), axes[1].ravel())]
    else:
        count, sizes = (7, 9) if design == "7 budgets" else (4, 6)
        runs = [isoflop(flops, sizes, 0.25) for flops in np.geomspace(3e18, 3e20, count)]
    return np.concatenate([one for one, _ in runs + larger]), np.concatenate([one for _, one in runs + larger])


def isoflop(flops: float, sizes: int, least: float) -> tuple[Any, Any]:
    """(N, D) of `sizes` models around 20 tokens a parameter, from `least` times to 1 / `least` times that size."""
    params = np.sqrt(flops / 120) * np.geomspace(least, 1 / least, sizes)
    return params, flops / (6 * params)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", nargs="?", type=Path, help="of the public tables")
    parser.add_argument("--only", default="", metavar="TEXT", help="questions whose name has it")
    parser.add_argument("--starts", type=int, default=48)
    parser.add_argument("--resamples", type=int, default=100)
    return parser.parse_args()


if __name__ == "__main__":
    main()
