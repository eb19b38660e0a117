"""Which forms can be tried on a table, and how each is fitted: a form, its options and its settings under one label."""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from scaling.laws import fitting
from scaling.laws.diagnostics import FIXED_RATIO
from scaling.laws.errors import LawError, nearest
from scaling.laws.forms import FORMS, LawForm, form_named
from scaling.laws.surface import PLANE
from scaling.laws.table import Table, read

Forms = str | Mapping[str, Any] | Sequence[str | Mapping[str, Any]]
SINGLE = ("flops", "params", "tokens")
"""The input of the forms in one input, the first that the table has, where N and D cannot be told apart."""
FIT_SETTINGS = tuple(
    name for name in inspect.signature(fitting.fit).parameters if name not in ("table", "form", "options")
)
"""What `laws.fit` takes beside the table, the form and the form's options."""
DEFAULT = str(inspect.signature(fitting.fit).parameters["form"].default)
"""The form that `laws.fit` fits unless it is told another: the first that is tried."""


@dataclass(frozen=True)
class Candidate:
    """A form and how `laws.fit` is to fit it.

    Attributes:
      label: the form with what sets it apart, such as `power x=flops`; unique in one comparison.
      form: name, or `module:name` for one of the user's own.
      settings: options of the form; pin, tie, objective and the like where they differ from the others'.
    """

    label: str
    form: str
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def law(self) -> LawForm:
        return form_named(self.form, {name: v for name, v in self.settings.items() if name not in FIT_SETTINGS})

    @property
    def free(self) -> int:
        """Parameters that are fitted."""
        return len(self.law.names) - len(self.settings.get("pin") or {}) - len(self.settings.get("tie") or {})

    def read(self, table: Any, reading: Mapping[str, Any]) -> Table:
        """The rows of `table` with every column that the form reads; `reading`: columns, cost, drop_highest_loss."""
        rows = read(table, form=self.law, **reading)
        rows.inputs(self.law.inputs)
        return rows

    def fit(self, rows: Table, settings: Mapping[str, Any]) -> fitting.LawFit:
        """The form on `rows`; the candidate's own settings come before `settings`."""
        return fitting.fit(rows, self.form, **{**settings, **self.settings})


def candidates_of(forms: Forms) -> tuple[Candidate, ...]:
    """Candidates of what a user names: "chinchilla", or {"form": "power", "x": "flops", "pin": {"E": 0}}."""
    given = [forms] if isinstance(forms, str | Mapping) else list(forms)
    found = [_candidate({"form": one} if isinstance(one, str) else dict(one)) for one in given]
    if not found:
        form_named(DEFAULT)
        raise LawError(f"forms is empty; name some of {', '.join(sorted(FORMS))}")
    for candidate in found:
        if sum(one.label == candidate.label for one in found) > 1:
            raise LawError(f"forms names {candidate.label!r} twice; give one of them another label, as label=...")
    return tuple(found)


def applicable(table: Any, reading: Mapping[str, Any]) -> tuple[Candidate, ...]:
    """Every registered form that can be fitted to `table` in N, D and C alone and that needs no procedure.

    Forms in two of them where the table tells N and D apart; else forms in the first of SINGLE that the table has. The
    default of `laws.fit` comes first, then those of few parameters.
    """
    rows = read(table, **reading)
    two = _tells_apart(rows)
    single = next((name for name in SINGLE if len(getattr(rows, name)) and np.ptp(getattr(rows, name)) > 0), None)
    if not two and single is None:
        raise LawError(
            "the table has none of params, tokens and flops that varies; name the forms to try, as forms=[...]"
        )
    form_named(DEFAULT)
    found = []
    for name, factory in FORMS.items():
        options = inspect.signature(factory).parameters
        law = _by_default(name)
        inputs = set() if law is None else set(law.inputs)
        if (
            law is None
            or law.procedure
            or law.output != "loss"
            or not inputs <= set(PLANE)
            or len(inputs) != (2 if two else 1)
        ):
            continue
        if not two and "x" not in options and inputs != {single}:
            continue
        found.append(_candidate({"form": name} if two or "x" not in options else {"form": name, "x": single}))
    return tuple(sorted(found, key=lambda one: (one.form != DEFAULT, one.free, one.label)))


def _by_default(name: str) -> LawForm | None:
    """The form with no option given; None where it must be told something, such as columns of its own."""
    try:
        return form_named(name)
    except (LawError, TypeError):
        return None


def _tells_apart(rows: Table) -> bool:
    """Whether N and D both vary, and not only together."""
    if not (len(rows.params) and len(rows.tokens)):
        return False
    size, data = np.log(rows.params), np.log(rows.tokens)
    if min(np.ptp(size), np.ptp(data)) <= 1e-9:
        return False
    return float(np.std(data - np.polyval(np.polyfit(size, data, 1), size))) >= FIXED_RATIO


def _candidate(given: dict[str, Any]) -> Candidate:
    """A candidate with its label; LawError where the form is not named or an option is wrong."""
    if "form" not in given:
        near = nearest("form", given)
        raise LawError(f"a candidate names no form: {given}; it is a name or {{'form': name, ...}}{near}")
    label, form = given.pop("label", None), str(given.pop("form"))
    parts = [form]
    for name, value in given.items():
        if isinstance(value, Mapping):
            parts += [
                f"{key}={item:g}" if isinstance(item, float | int) else f"{key}={item}" for key, item in value.items()
            ]
        else:
            parts.append(f"{name}={value}")
    candidate = Candidate(str(label or " ".join(parts)), form, given)
    candidate.law.checked_ties(given.get("tie"), candidate.law.checked_pins(given.get("pin")))
    return candidate
