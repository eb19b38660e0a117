"""The verb `forms`: what can be fitted, from the forms' own data."""

import inspect
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from scaling.laws import LawError, LawForm
from scaling.laws.forms import FORMS, form_named
from scaling.laws.forms.inputs import SYMBOLS, symbol
from scaling.laws.surface import PLANE
from scaling.studies.terminal import console

EXAMPLES = ("first", "second")
"""Stand for the columns that a form must be told of."""


OPENS = re.compile(r": |, (?=with |for |where )| (?=at every )| (?=in one input)")
"""What ends the equation that a description opens with."""
AFTER = re.compile(r"^\s*(\([^()]*\))?[\s.,:;]*")
"""What follows that equation and says nothing: its source, which is told apart, and punctuation."""


@dataclass(frozen=True)
class Entry:
    """A form as the catalogue has it.

    Attributes:
      law: with its options as given, or with examples where it must be told some.
      defaults: option -> its default.
      examples: option -> what stands for what it must be told.
      about: the form's own description.
    """

    law: LawForm
    defaults: dict[str, Any]
    examples: dict[str, Any]
    about: str

    @property
    def meaning(self) -> str:
        """The description's first sentences, without the equation that they open with."""
        told = " ".join(self.about.split("\n\n")[0].split())
        words = OPENS.search(told)
        if told.startswith(self.law.text):
            told = AFTER.sub("", told.removeprefix(self.law.text))
        elif words is not None and " = " in told[: words.start()]:
            told = told[words.start() :].lstrip(",: ")
        return told[:1].upper() + told[1:]

    @property
    def answers(self) -> str:
        """What the law can be asked."""
        law = self.law
        if law.frontier is not None:
            return "the best N and D for a budget, nothing beside it"
        if len(set(PLANE) & set(law.inputs)) >= 2:
            return f"the {law.output} of a model; the best N and D for a budget, a {law.output} or serving"
        return f"the {law.output} at its inputs"

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        law = self.law
        return {
            "form": law.name,
            "equation": law.text,
            "meaning": self.meaning,
            "predicts": law.output,
            "inputs": list(law.inputs),
            "columns": list(law.columns),
            "parameters": [{"name": one.name, "role": one.role} for one in law.parameters],
            "options": self.defaults,
            "examples": self.examples,
            "residuals": law.space,
            "procedure": bool(law.procedure),
            "takes_pins": law.takes_pins or not law.procedure,
            "answers": self.answers,
            "source": law.source,
        }


def forms(*, as_json: bool) -> int:
    """List every form: its inputs, its equation, what it means, and where it is from."""
    form_named("chinchilla")  # which makes all of them known
    found = [_entry(name, {}) for name in FORMS]
    if as_json:
        print(json.dumps([one.as_json() for one in found], indent=2, default=str))
        return 0
    out = console()
    for one in found:
        law = one.law
        lines = [escape(law.text), *([escape(one.meaning)] if one.meaning else []), f"[dim]{escape(law.source)}[/]"]
        out.print(f"[bold]{law.name}[/]  {escape(law.output)} in {escape(_symbols(law.inputs))}")
        out.print(Padding("\n".join(lines), (0, 0, 0, 4)))
    used = {name for one in found for name in one.law.inputs if symbol(name) != name}
    out.print(f"\n{', '.join(f'{sign} {name}' for name, sign in SYMBOLS.items() if name in used)}")
    stand = " and ".join(EXAMPLES)
    out.print(f"{stand} stand for columns of your own, as --options domains=web,code names them")
    out.print("`scaling forms NAME` shows one; `module:name` is one of your own")
    return 0


def form(name: str, options: Mapping[str, Any], *, as_json: bool) -> int:
    """Show one form: parameters, options, the columns that it needs, and what it can be asked."""
    one = _entry(name, options)
    if as_json:
        print(json.dumps(one.as_json(), indent=2, default=str))
        return 0
    law, out = one.law, console()
    out.print(f"[bold]{escape(law.name)}[/]  {escape(law.text)}\n")
    if one.about:
        out.print(escape(_paragraphs(one.about)), end="\n\n")
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True)
    needed = list(dict.fromkeys((*law.columns, law.output)))
    roles: dict[str, list[str]] = {}
    for parameter in law.parameters:
        roles.setdefault(parameter.role, []).append(parameter.name)
    rows = {
        "predicts": f"{law.output} ({law.space} residuals)",
        "from": _symbols(law.inputs, long=True),
        "columns": f"{', '.join(needed)}{_either(needed)}",
        "parameters": "; ".join(f"{', '.join(names)} ({role})" for role, names in roles.items()),
        "options": ", ".join(f"{key}={_shown(value)}" for key, value in one.defaults.items()) or "none",
        "fitted by": _fitted(law),
        "answers": one.answers,
        "source": law.source,
    }
    for key, value in rows.items():
        grid.add_row(key, escape(value))
    out.print(grid)
    told = " ".join(f"{key}={_shown(value)}" for key, value in (dict(one.examples) | dict(options)).items())
    extra = f" --options {told}" if told else ""
    out.print(f"\nexample:\n  scaling fit runs.csv --form {escape(law.name)}{escape(extra)}")
    return 0


def _entry(name: str, options: Mapping[str, Any]) -> Entry:
    """A form under `options`, with examples for columns that it must be told."""
    examples: dict[str, Any] = {}
    try:
        law = form_named(name, options)
    except LawError:
        taken = inspect.signature(FORMS[name]).parameters.items() if name in FORMS else ()
        examples = {key: EXAMPLES for key, one in taken if one.default == () and key not in options}
        if not examples:
            raise
        law = form_named(name, {**examples, **options})
    factory = FORMS.get(name)
    defaults = {} if factory is None else {k: v.default for k, v in inspect.signature(factory).parameters.items()}
    about = "" if factory is None else inspect.getdoc(factory) or ""
    return Entry(law, defaults, examples, about)


def _fitted(law: LawForm) -> str:
    if not law.procedure:
        return "one solve from many starts; any parameter can be pinned or tied"
    pins = "parameters can be pinned or tied" if law.takes_pins else "nothing can be pinned or tied"
    return f"a procedure of several fits; {pins}"


def _symbols(names: tuple[str, ...], long: bool = False) -> str:
    if long:
        return ", ".join(name if symbol(name) == name else f"{name} ({symbol(name)})" for name in names)
    return ", ".join(symbol(name) for name in names)


def _either(needed: list[str]) -> str:
    known = [name for name in needed if name in PLANE]
    return " (of params, tokens and flops two give the third)" if len(known) >= 2 else ""


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(str(one) for one in value) or "(columns, as first,second)"
    return "''" if value == "" else str(value)


def _paragraphs(text: str) -> str:
    """Lines joined within a paragraph and within an indented item, so that they wrap where the terminal ends."""
    blocks = []
    for block in text.split("\n\n"):
        lines: list[str] = []
        for line in block.split("\n"):
            depth = len(line) - len(line.lstrip())
            starts = not lines or depth == 2 or (depth == 0 and lines[-1].endswith(":"))
            lines[len(lines) - (not starts) :] = [line if starts else f"{lines[-1]} {line.strip()}"]
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)
