"""A form chosen by how well it foretold the larger runs of its own table, and the answers of all that did well. No JAX.

A weight is a power of a form's error beyond the rows it was fitted to (weighing.py). `fit` is the simplest form whose
error is within 5% of the least; `predict` and `optimum` answer with the mixture of all forms by weight. Made by
`select` (selecting.py).
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from scaling.laws import ensemble, prediction
from scaling.laws.cuts import Cut
from scaling.laws.ensemble import Member
from scaling.laws.errors import LawError, nearest
from scaling.laws.results import LawFit
from scaling.laws.surface import Surface
from scaling.laws.values import Allocation, Diagnostic, Estimate, Interval, Prediction, Sensitivity, number

SCHEMA = 1
"""Version of the JSON."""


@dataclass(frozen=True)
class Trial:
    """How one form did in the rolling hold-out.

    Attributes:
      label, form: of the candidate.
      free: parameters fitted.
      error: mean |predicted / measured - 1| of the held-out runs, the cuts' weighted geometric mean; None where it was
        not judged. A cut with too few rows counts as the first candidate's error times the usual ratio to it.
      cuts: the error at each cut.
      rms: root mean square over the cuts of ln predicted - ln measured.
      weight: in the combined prediction.
      status: `ok`, or why it has no weight.
    """

    label: str
    form: str
    free: int
    error: float | None
    cuts: tuple[float | None, ...]
    rms: float | None
    weight: float
    status: str


@dataclass(frozen=True)
class Selection:
    """The chosen form, and all forms that did nearly as well.

    Attributes:
      chosen: label of the chosen form.
      trials: every candidate, the greatest weight first.
      cuts: where the table was cut.
      fits: label -> the form fitted to all rows, for each with a weight.
      misfits: label -> standard deviation of ln L by which the form erred beyond the rows it was fitted to, over the
        noise of a run.
      at_E: the chosen form with its asymptote held at several values, `asymptote` its name; empty where it has none.
      diagnostics: findings about the choice.
    """

    chosen: str
    trials: tuple[Trial, ...]
    cuts: tuple[Cut, ...]
    fits: dict[str, LawFit]
    misfits: dict[str, float]
    asymptote: str | None
    at_E: tuple[LawFit, ...]
    diagnostics: tuple[Diagnostic, ...]

    @property
    def fit(self) -> LawFit:
        """The chosen form, fitted to all rows."""
        return self.fits[self.chosen]

    @property
    def weights(self) -> dict[str, float]:
        """Label -> weight in the combined prediction; they add up to 1."""
        return {one.label: one.weight for one in self.trials if one.label in self.fits}

    @property
    def members(self) -> tuple[Member, ...]:
        """The laws that the answers are mixed from."""
        return tuple(Member(name, self.fits[name], one, self.misfits[name]) for name, one in self.weights.items())

    def loss(self, **inputs: float) -> float:
        """The combined prediction at params=, tokens=, ...: the weighted geometric mean of the forms'."""
        members, answers, _ = ensemble.answering(self.members, ensemble.losses(self.members, inputs))
        return float(np.exp(sum(one.weight * answer.value for one, answer in zip(members, answers, strict=True))))

    def predict(self, *, runs: int = 1, **inputs: float | None) -> Prediction:
        """The combined prediction at one point, with intervals that hold what form, asymptote and noise leave open.

        `confidence` is where the curve lies, `prediction` where the mean of `runs` new runs will.
        """
        if runs < 1:
            raise LawError(f"runs is {runs}; it must be at least 1")
        members, answers, silent = ensemble.answering(self.members, ensemble.losses(self.members, inputs))
        level = self.fit.level
        centre, *curve = ensemble.mixed(members, answers, level, misfit=True)
        _, *new = ensemble.mixed(members, answers, level, misfit=True, runs=runs)
        law = self.fit.law
        point = {
            name: float(values if name in law.linear_inputs else np.exp(values))
            for name, values in prediction.law_inputs(self.fit, inputs).items()
        }
        given = {name: value for name, value in inputs.items() if value is not None}
        return Prediction(
            loss=float(np.exp(centre)),
            confidence=Interval(float(np.exp(curve[0])), float(np.exp(curve[1])), level),
            prediction=Interval(float(np.exp(new[0])), float(np.exp(new[1])), level),
            runs=runs,
            inputs=point,
            diagnostics=self._notes(point, members, [one.value for one in answers], silent),
            sensitivity_to_E=self.sensitivity(**given),
        )

    def optimum(self, *, flops: float) -> Allocation:
        """N*, D*, D*/N* and the loss for a budget: weighted geometric means of the forms', intervals of the mixture."""
        if not np.isfinite(flops) or flops <= 0:
            raise LawError(f"flops is {flops}; it must be a positive number")
        members, answers, silent = ensemble.answering(self.members, ensemble.optima(self.members, flops))
        level = self.fit.level

        def estimate(name: str) -> Estimate:
            found = ensemble.mixed(members, [one[name] for one in answers], level, misfit=name == "loss")
            value, low, high = (float(np.exp(one)) for one in found)
            return Estimate(value, low, high, level)

        params, tokens = estimate("params"), estimate("tokens")
        point = {"flops": flops, "params": params.value, "tokens": tokens.value}
        return Allocation(
            flops=float(flops),
            params=params,
            tokens=tokens,
            tokens_per_param=estimate("tokens_per_param"),
            loss=estimate("loss"),
            diagnostics=self._notes(point, members, [one["loss"].value for one in answers], silent),
            sensitivity_to_E=self.sensitivity(flops=flops),
        )

    def sensitivity(self, **at: float) -> Sensitivity | None:
        """What the chosen form says at `at` with its asymptote held at several values, the rest fitted again.

        `at` is flops= alone for N*, D*, D*/N* and the loss, or the law's inputs for the loss. `objective` says what
        each value costs: one far above the least is not plausible. None where the form has no free asymptote.
        """
        if self.asymptote is None:
            return None
        answers = [_asked(fit, at) for fit in self.at_E]
        return Sensitivity(
            parameter=self.asymptote,
            values=tuple(fit.params[self.asymptote] for fit in self.at_E),
            answers={name: tuple(each[name] for each in answers) for name in answers[0]},
            method="refits",
            objective=tuple(float(fit.objective["value"]) for fit in self.at_E),
        )

    def rows(self) -> tuple[tuple[str, ...], ...]:
        """The trials as text: a head, then a row for each form."""
        head = ("form", "weight", "error", *(cut.text for cut in self.cuts), "parameters", "status")
        found = [head]
        for one in self.trials:
            name = f"{one.label} (chosen)" if one.label == self.chosen else one.label
            errors = [_percent(value) for value in (one.error, *one.cuts)]
            found.append((name, f"{one.weight:.2f}", *errors, str(one.free), one.status))
        return tuple(found)

    def __str__(self) -> str:
        rows = self.rows()
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
        notes = [f"{item.severity}: {item.message}" for item in self.diagnostics]
        return "\n".join(line.rstrip() for line in (*lines, *notes))

    def as_json(self) -> dict[str, Any]:
        """Plain data, from which `from_json` makes an equal Selection."""
        plain = {item.name: getattr(self, item.name) for item in fields(self)}
        for name in ("trials", "cuts", "diagnostics"):
            plain[name] = [asdict(item) for item in plain[name]]
        plain["fits"] = {label: fit.as_json() for label, fit in self.fits.items()}
        plain["at_E"] = [fit.as_json() for fit in self.at_E]
        return {"schema": SCHEMA, **plain}

    def to_json(self) -> str:
        """JSON text; floats to the last bit."""
        return json.dumps(self.as_json(), allow_nan=False)

    @staticmethod
    def from_json(source: str | Mapping[str, Any]) -> "Selection":
        """The Selection that `to_json` or `as_json` wrote. LawError where a field is missing, unknown or newer."""
        given = dict(json.loads(source) if isinstance(source, str) else source)
        schema = given.pop("schema", None)
        if schema != SCHEMA:
            raise LawError(f"not a selection that this version reads: schema is {schema!r}, this version's is {SCHEMA}")
        known = {item.name for item in fields(Selection)}
        for problem, names in (("lacks", known - set(given)), ("has an unknown field", set(given) - known)):
            if names:
                near = nearest(min(names), known)
                raise LawError(f"not a selection: it {problem} {min(names)!r}{near}")
        given["trials"] = tuple(Trial(**{**one, "cuts": tuple(one["cuts"])}) for one in given["trials"])
        given["cuts"] = tuple(Cut(**one) for one in given["cuts"])
        given["diagnostics"] = tuple(Diagnostic(**one) for one in given["diagnostics"])
        given["fits"] = {label: LawFit.from_json(fit) for label, fit in given["fits"].items()}
        given["at_E"] = tuple(LawFit.from_json(fit) for fit in given["at_E"])
        return Selection(**given)

    def _notes(
        self, point: Mapping[str, float], members: Sequence[Member], values: Sequence[float], silent: Sequence[str]
    ) -> tuple[Diagnostic, ...]:
        """How far the point is, how far the forms differ there, and which have no answer."""
        found = list(prediction.extrapolation(self.fit, point))
        if len(members) > 1:
            low, high = int(np.argmin(values)), int(np.argmax(values))
            spread = float(np.expm1(values[high] - values[low]))
            message = (
                f"the forms differ by {spread:.2%} in loss here: {number(float(np.exp(values[low])))} "
                f"({members[low].label}) to {number(float(np.exp(values[high])))} ({members[high].label})"
            )
            found.append(Diagnostic("forms_differ", spread, message, "note"))
        if silent:
            weight = sum(self.weights[label] for label in silent)
            message = f"{', '.join(silent)} (weight {weight:.0%}) has no answer here and is left out"
            found.append(Diagnostic("form_without_answer", weight, message))
        return tuple(found)


def _asked(fit: LawFit, at: Mapping[str, float]) -> dict[str, float]:
    """What one law answers, without intervals."""
    if set(at) != {"flops"} or not fit.has_optimum or set(fit.inputs) == {"flops"}:
        return {fit.output: float(fit.loss(**at))}
    best = Surface.of(fit, {}).best(fit.params, np.log(at["flops"]))
    found = {
        "params": best.log_params,
        "tokens": best.log_tokens,
        "tokens_per_param": best.log_tokens - best.log_params,
    }
    return {name: float(np.exp(value)) for name, value in found.items()} | {"loss": float(best.loss)}


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2f}%"
