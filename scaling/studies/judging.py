"""The verbs `select`, `validate` and `compare`: which law foretells best, which arm is better."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from scaling import laws
from scaling.records import replace
from scaling.studies import show
from scaling.studies.fitting import table_of


def select(
    source: Path,
    forms: Sequence[str] | None,
    settings: Mapping[str, Any],
    asked: Mapping[str, float],
    *,
    out: Path | None,
    as_json: bool,
) -> int:
    """Print which form was chosen and why, and its answer to `asked`: a budget, or a model's N and D."""
    table, own, _ = table_of(source)
    found = laws.select(table, forms, **{**own, **settings})
    if out is not None:
        replace(out, found.to_json().encode())
    answer: laws.Allocation | laws.Prediction | None = None
    if set(asked) == {"flops"}:
        answer = found.optimum(flops=asked["flops"])
    elif asked:
        answer = found.predict(runs=1, **asked)
    if as_json:
        print(json.dumps(found.as_json() | {"answer": answer and answer.as_json()}, indent=2))
        return 0
    print(found)
    if isinstance(answer, laws.Allocation):
        show.allocation(found.fit, answer)
    elif answer is not None:
        show.predicted(found.fit, answer)
    return 0


def validate(source: Path, forms: Sequence[str] | None, settings: Mapping[str, Any], *, as_json: bool) -> int:
    """Print how well each form foretold the largest runs of `source`."""
    table, own, _ = table_of(source)
    found = laws.validate(table, forms, **{**own, **settings})
    if as_json:
        print(json.dumps(found.as_json(), indent=2))
        return 0
    head, *rows = found.rows()
    drawn = Table(box=None, pad_edge=False, header_style="bold")
    for index, name in enumerate(head):
        drawn.add_column(name, justify="left" if index in (0, len(head) - 1) else "right")
    for row in rows:
        drawn.add_row(*row)
    out = show.console()
    for cut in found.cuts:
        out.print(f"fitted to {cut.fitted} runs with {cut.text}, {cut.held} held out")
    out.print(drawn)
    for item in found.diagnostics:
        out.print(f"  {item.code}: {item.message}")
    return 0


def compare(a: Path, b: Path, settings: Mapping[str, Any], *, gain: float | None, as_json: bool) -> int:
    """Print whether arm `b` is better than arm `a`; with `gain`, how many more runs would detect it."""
    (table_a, own, _), (table_b, other, _) = table_of(a), table_of(b)
    named = {} if table_a == a and table_b == b else {"names": (a.name, b.name)}
    if "cost" in own:
        named["cost"] = own["cost"]
    if "cost" in other:
        named["cost_b"] = other["cost"]
    found = laws.compare(table_a, table_b, **{**named, **settings})
    wanted = None if gain is None else laws.power(found, gain)
    if as_json:
        plain = found.as_json() | ({} if wanted is None else {"power": wanted.as_json()})
        print(json.dumps(plain, indent=2))
        return 0
    drawn = Table(box=None, pad_edge=False, show_header=False)
    for question, answer in [*found.rows(), *([] if wanted is None else wanted.rows())]:
        drawn.add_row(question, answer)
    show.console().print(drawn)
    return 0
