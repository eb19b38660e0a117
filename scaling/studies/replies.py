"""What the terminal says when a law is asked: values with intervals, how far to trust them, and what rests on E."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.markup import escape
from rich.table import Table

from scaling.laws import (
    Allocation,
    Budget,
    Deviation,
    Diagnostic,
    Estimate,
    LawFit,
    Prediction,
    Selection,
    Serving,
    count,
    number,
)
from scaling.laws.columns import UNSTATED
from scaling.laws.forms.inputs import symbol
from scaling.laws.values import Sensitivity
from scaling.studies.terminal import console

Answer = Allocation | Prediction | Budget | Deviation | Serving
Rows = list[tuple[str, str]]


def reply(law: LawFit | Selection, answer: Answer, asked: Mapping[str, float] | None = None) -> None:
    """The answer to one question; `asked` is the point of a prediction, as it was put."""
    fit = law.fit if isinstance(law, Selection) else law
    if isinstance(answer, Allocation):
        title, rows = _allocation(fit, answer)
        rows += [] if isinstance(law, Selection) else _growth(fit, answer)
    elif isinstance(answer, Prediction):
        title, rows = _prediction(fit, answer, asked or {})
    elif isinstance(answer, Budget):
        title, rows = _budget(fit, answer)
    elif isinstance(answer, Deviation):
        title, rows = _deviation(fit, answer)
    else:
        title, rows = _serving(fit, answer)
    out = console()
    who = f"mixture of {', '.join(law.weights)}" if isinstance(law, Selection) else fit.form
    out.print(f"[bold]{escape(title)}[/], {fit.level:.0%} intervals ({escape(who)})")
    grid = Table.grid(padding=(0, 2))
    for name, value in rows:
        grid.add_row(f"  {escape(name)}", escape(value))
    out.print(grid)
    findings(caveats(law, answer))


def as_json(law: LawFit | Selection, answer: Answer) -> dict[str, Any]:
    """The answer as plain data, with the law's name and status beside it."""
    fit = law.fit if isinstance(law, Selection) else law
    who: dict[str, Any] = {"status": fit.status}
    who["forms" if isinstance(law, Selection) else "form"] = law.weights if isinstance(law, Selection) else fit.form
    if isinstance(answer, Allocation) and isinstance(law, LawFit):
        grown = law.exponents(answer.flops, **answer.held)
        who["exponents"] = {name: _estimate(one) for name, one in grown.items()}
    return who | answer.as_json()


def caveats(law: LawFit | Selection, answer: Answer) -> list[Diagnostic]:
    """What to know beside an answer: the law's own status first, and always what rests on its asymptote."""
    fit = law.fit if isinstance(law, Selection) else law
    found = [] if fit.ok else [Diagnostic("status", 1.0, fit.status, "error")]
    found += answer.diagnostics
    moved = answer.sensitivity_to_E
    if moved is not None and all(one.code != "sensitivity_to_E" for one in found):
        found.append(Diagnostic("sensitivity_to_E", moved.ratio, _refitted(moved), "note"))
    return found


def findings(found: Sequence[Diagnostic]) -> None:
    """Each finding under its code, wrapped beside it."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for one in found:
        grid.add_row(f"  {escape(one.code)}", escape(one.message))
    if found:
        console().print(grid)


def _refitted(moved: Sensitivity) -> str:
    if not moved.objective:
        return moved.text()
    least = min(moved.objective)
    costs = " and ".join(f"{100 * (moved.objective[end] / least - 1):.2g}%" for end in (0, -1))
    return f"{moved.text()} (all else fitted again; the objective is {costs} above its least there)"


def _allocation(law: LawFit, answer: Allocation) -> tuple[str, Rows]:
    rows = [
        ("N*", _text(answer.params, count)),
        ("D*", _text(answer.tokens, count)),
        ("D*/N*", _text(answer.tokens_per_param)),
        (law.output, _text(answer.loss)),
    ]
    return f"best for {_flops(law, answer.flops)}{_held(answer.held)}", rows


def _growth(law: LawFit, answer: Allocation) -> Rows:
    grown = law.exponents(answer.flops, **answer.held)
    return [(f"{symbol(name)}* grows as", f"C^{_text(one)}") for name, one in grown.items()]


def _prediction(law: LawFit, answer: Prediction, asked: Mapping[str, float]) -> tuple[str, Rows]:
    curve, run = answer.confidence, answer.prediction
    new = "of one new run" if answer.runs == 1 else f"of {answer.runs} new runs' mean"
    rows = [
        (law.output, f"{answer.loss:.5g}"),
        ("of the curve", f"[{curve.low:.5g}, {curve.high:.5g}]"),
        (new, f"[{run.low:.5g}, {run.high:.5g}]"),
    ]
    return f"{law.output} at {_point({**asked, **answer.inputs})}", rows


def _budget(law: LawFit, answer: Budget) -> tuple[str, Rows]:
    rows = [("C", _text(answer.flops))]
    size = f" with {_point(answer.held)}" if answer.held else ""
    for name, one in (("N", answer.params), ("D", answer.tokens)):
        if one is not None and not (name == "N" and "params" in answer.held):
            rows.append((name, _text(one, count)))
    if answer.tokens_per_param is not None:
        rows.append(("D/N", _text(answer.tokens_per_param)))
    return f"least C for {law.output} {number(answer.loss)}{size} ({_counted(law)})", rows


def _deviation(law: LawFit, answer: Deviation) -> tuple[str, Rows]:
    rows = [
        ("N / N*", _text(answer.factor)),
        ("N", _text(answer.params, count)),
        ("D", _text(answer.tokens, count)),
        (law.output, _text(answer.loss)),
        (f"{'below' if law.law.rises else 'above'} that of N*", _text(answer.loss_increase)),
        ("as good as N* at C", _text(answer.equivalent_flops)),
        ("compute wasted", _text(answer.wasted, _percent)),
        ("to add for N*'s loss", _text(answer.overhead, _percent)),
    ]
    return f"another size than N* at {_flops(law, answer.flops)}{_held(answer.held)}", rows


def _serving(law: LawFit, answer: Serving) -> tuple[str, Rows]:
    cost = answer.inference
    rate = "a table of costs" if isinstance(cost, str) else f"{number(cost)} of training's cost a token"
    rows = [
        ("N", _text(answer.params, count)),
        ("D", _text(answer.tokens, count)),
        ("D/N", _text(answer.tokens_per_param)),
        (law.output, _text(answer.loss)),
        ("C to train", _text(answer.training_flops)),
        ("C to serve", _text(answer.serving_flops)),
        ("C in total", _text(answer.total_flops)),
        ("saved in total", _text(answer.saved, _percent)),
    ]
    return f"train, and serve {count(answer.served_tokens)} tokens at {rate}{_held(answer.held)}", rows


def _flops(law: LawFit, flops: float) -> str:
    return f"{number(flops)} FLOPs ({_counted(law)})"


def _counted(law: LawFit) -> str:
    """How C is counted."""
    named = law.conventions.get("flops", UNSTATED)
    if named != UNSTATED:
        return f"C {named}"
    return "C = 6 N D" if law.cost["rule"] == "6N" else "C as the table counts it"


def _held(held: Mapping[str, float]) -> str:
    return f" with {_point(held)}" if held else ""


def _point(inputs: Mapping[str, float]) -> str:
    shown = {"flops": number, "tokens_per_param": number}
    return ", ".join(f"{symbol(name)} {shown.get(name, count)(value)}" for name, value in inputs.items())


def _percent(value: float) -> str:
    return f"{number(100 * value)}%"


def _text(one: Estimate, write: Callable[[float], str] = number) -> str:
    """The value with its interval; alone where it was given."""
    return write(one.value) if one.low == one.value == one.high else one.text(write)


def _estimate(one: Estimate) -> dict[str, float]:
    return {"value": one.value, "low": one.low, "high": one.high, "level": one.level}
