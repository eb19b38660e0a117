"""What the terminal says: the text, the laws, the answers, the check."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from scaling.config import Study
from scaling.data import Tokens
from scaling.laws import Allocation, LawFit, count, number
from scaling.planning import Plan
from scaling.records import KnownEntropy, Observation, RunDirectory, shares
from scaling.reporting import entropy as entropies
from scaling.studies.check import Check
from scaling.studies.progress import duration
from scaling.studies.progress import table as trajectories_table
from scaling.studies.status import RunStatus

WIDE = 100
"""Columns of a table that is not on a terminal."""


def console() -> Console:
    """Standard output; a fixed width where it is not a terminal, so that logs and docs read the same."""
    if sys.stdout.isatty():
        return Console(highlight=False)
    return Console(highlight=False, width=WIDE)


def line(text: str) -> None:
    """One line as it is."""
    console().print(escape(text), soft_wrap=True)


def text(planned: Plan, tokens: Tokens) -> None:
    """What will be trained on."""
    out = console()
    record, summary = tokens.record, tokens.summary
    out.print(
        f"text: {summary.documents} documents, {record.train_tokens:,} training and {record.validation_tokens:,} "
        f"held-out tokens ({summary.tokenizer}{_text_a_token(tokens)}), fingerprint {record.fingerprint[:12]}"
    )
    mixture = shares(planned.study.data.weights)
    for domain in record.domains:
        out.print(f"  {domain.name}: share {mixture[domain.name]:.4g}, {domain.train_tokens:,} training tokens")


def _text_a_token(tokens: Tokens) -> str:
    """How much text a token is, where it is not one byte and where the text is known."""
    record, summary = tokens.record, tokens.summary
    text_bytes = summary.train_bytes + summary.validation_bytes
    count = record.train_tokens + record.validation_tokens - summary.documents
    return "" if text_bytes in (0, count) else f", {text_bytes / count:.2f} bytes a token"


def warn(line: str) -> None:
    """Something that the user should know, on standard error."""
    print(f"scaling: {line}", file=sys.stderr)


def laws(fitted: dict[str, LawFit]) -> None:
    """Each law's parameters with their intervals, its status, and what its diagnostics say."""
    out = console()
    for name, law in fitted.items():
        params = ", ".join(
            f"{key} {number(value)}{_between(law, key)}" for key, value in law.params.items() if key not in law.pinned
        )
        out.print(f"\n[bold]{escape(name)}[/] {escape(f'{law.equation}: {params}')}")
        if law.status != "ok":
            out.print(f"  status: {escape(law.status)}")
        for diagnostic in law.diagnostics:
            out.print(f"  {diagnostic.code}: {escape(diagnostic.message)}")


def answers(study: Study, law: LawFit, rows: Sequence[Observation]) -> None:
    """Compute-optimal sizes for multiples of the largest budget, and how far to trust them."""
    out = console()
    drawn = Table(box=None, pad_edge=False, header_style="bold", title_justify="left")
    for name in ("budget", "C", "N*", "D*", "D*/N*", "loss"):
        drawn.add_column(name, justify="right")
    beyond, told = [], answered(study, law, rows)
    for multiple, answer, unique in told:
        if answer.tokens.value > unique:
            beyond.append(f"{multiple:g}x")
        drawn.add_row(
            f"{multiple:g}x{'*' if answer.tokens.value > unique else ''}",
            number(answer.flops),
            answer.params.text(count),
            answer.tokens.text(count),
            answer.tokens_per_param.text(),
            answer.loss.text(),
        )
    out.print(
        f"\n[bold]compute-optimal[/] (N {law.conventions['params']}, C {law.conventions['flops']}, "
        f"{law.level:.0%} intervals)"
    )
    out.print(drawn)
    if beyond:
        out.print(
            f"* D* exceeds the text's {rows[0].unique_tokens:,} unique tokens at {', '.join(beyond)}: "
            "tokens would repeat, and repeated tokens are worth less than this law assumes"
        )
    moved = told[-1][1].sensitivity_to_E
    if moved is not None:
        out.print(f"At {told[-1][0]:g}x, {moved.text()}: what rests on {moved.parameter}, at the ends of its interval.")
    out.print(trust(study, law, rows))


def entropy(known: KnownEntropy | None, law: LawFit) -> None:
    """The fitted E against the truth, where the text's source is known."""
    if known is None:
        return
    out = console()
    drawn = Table(box=None, pad_edge=False, header_style="bold")
    drawn.add_column("")
    for name in ("nats a token", "E against it"):
        drawn.add_column(name, justify="right")
    for row in entropies.rows(known, law):
        drawn.add_row(*(escape(cell) for cell in row))
    out.print(f"\n[bold]known entropy[/] ({escape(known.source)})")
    out.print(drawn)
    out.print(entropies.verdict(known, law))


def answered(study: Study, law: LawFit, rows: Sequence[Observation]) -> list[tuple[float, Allocation, int]]:
    """(multiple, allocation, unique training tokens) for each budget that the study asks about."""
    largest = max(row.budget for row in rows)
    return [
        (multiple, law.optimum(flops=multiple * largest), rows[0].unique_tokens)
        for multiple in study.laws.answer_multiples
    ]


def trust(study: Study, law: LawFit, rows: Sequence[Observation]) -> str:
    """A plain sentence about how far one should trust the answers."""
    budgets = sorted({row.budget for row in rows})
    span = budgets[-1] / budgets[0]
    trusted = study.check.budget_multiple if study.check.enabled else 1.0
    return (
        f"Trust: the sweep spans a factor of {span:.0f} in compute, and the check below tests the law at "
        f"{trusted:g}x. Rows up to about {max(10.0, trusted):g}x are a short extrapolation; at 100x and more the "
        "intervals hold only if the law keeps its form, which no run here has tested."
    )


def prediction(planned: Check, path: Path, first: bool) -> None:
    """The committed prediction; `first` says whether it came before the check's training."""
    said, interval = planned.prediction, planned.prediction["interval"]
    console().print(
        f"\n[bold]check[/] {said['flops']:.2e} FLOPs: N {said['params']:,} (width {said['model']['width']}), "
        f"D {said['tokens']:,}, {len(said['seeds'])} seeds; predicted loss {said['loss']:.4f} "
        f"[{interval['low']:.4f}, {interval['high']:.4f}], written to {path} "
        + ("before training" if first else "AFTER these models were trained for an earlier law")
    )


def check(result: dict[str, Any]) -> None:
    """Prediction against measurement, and what simple baselines would have said."""
    out = console()
    said, measured = result["prediction"], result["measured"]
    out.print(
        f"measured {measured['loss']:.4f} ({', '.join(f'{loss:.4f}' for loss in measured['losses'])}): "
        f"{'inside' if result['inside'] else 'OUTSIDE'} the interval, relative error {result['relative_error']:+.2%} "
        f"(interval {-result['half_width'][0]:+.1%} to {result['half_width'][1]:+.1%})"
    )
    for name, error in result["baseline_errors"].items():
        out.print(f"  {name.replace('_', ' ')} would have said {said['baselines'][name]:.4f}: {error:+.2%}")


def end(code: int, directory: RunDirectory, seconds: float) -> None:
    """Where the results lie."""
    if code == 0:
        console().print(f"\nreport: {directory.report / 'index.html'}\ndone in {duration(seconds)}")
    else:
        warn("not everything was done; what was committed stays, and the same command goes on from here")


def status(found: RunStatus) -> None:
    """A run's progress."""
    out = console()
    out.print(trajectories_table(found.trajectories))
    out.print(
        f"{found.study.name}: {found.done_flops:.2e} of {found.total_flops:.2e} FLOPs "
        f"({found.done_flops / found.total_flops:.0%})"
    )
    if found.stage:
        line(f"{found.stage} of a tuned ladder")
    for note in found.planned.notes if found.stage else ():
        line(f"note: {note}")
    out.print(f"laws: {', '.join(found.laws) or 'none yet'}")
    if found.check is not None:
        check(found.check)


def _between(law: LawFit, name: str) -> str:
    interval = law.intervals.get(name)
    return "" if interval is None else f" [{number(interval.low)}, {number(interval.high)}]"
