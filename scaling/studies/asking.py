"""The verb `predict`: which question was asked, of which law, and its answer."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scaling import laws
from scaling.config import StudyError
from scaling.laws import LawError, LawFit, Selection
from scaling.laws.errors import nearest
from scaling.laws.surface import PLANE
from scaling.records import RunDirectory
from scaling.studies import figures, replies
from scaling.studies.answers import MAIN

SMALL = 100.0
"""A size below this is taken for a factor that lacks its x."""


@dataclass(frozen=True)
class Question:
    """What a law is asked. None is what was not given.

    Attributes:
      params, tokens, flops: N, D, C.
      loss: to be reached.
      served: tokens to serve; `inference` FLOPs for each, as a part of the training cost per token.
      instead: another size than N*: parameters, or a multiple of N* such as 0.5x.
      held: the law's further inputs.
      runs: the mean of so many new runs.
    """

    params: float | None = None
    tokens: float | None = None
    flops: float | None = None
    loss: float | None = None
    served: float | None = None
    inference: float | None = None
    instead: str | None = None
    held: Mapping[str, float] = field(default_factory=dict)
    runs: int | None = None

    @property
    def point(self) -> dict[str, float]:
        """Inputs of a prediction."""
        given = {"params": self.params, "tokens": self.tokens, "flops": self.flops}
        return {name: value for name, value in given.items() if value is not None} | dict(self.held)


ALLOWED = {
    "serve": ("loss", "flops", "inference"),
    "instead": ("flops",),
    "loss": ("params",),
    "inference": (),
    "runs": ("params", "tokens", "flops"),
}
"""Question -> the options that go with it, beside --at: of those given, the first one says what is asked."""


def checked(question: Question) -> Question:
    """`question`; StudyError where its options say two things at once, or half of one."""
    named = {"serve": question.served, **{n: getattr(question, n) for n in ("instead", "loss", "inference", "runs")}}
    named |= {name: getattr(question, name) for name in ("params", "tokens", "flops")}
    given = [name for name, value in named.items() if value is not None]
    asked = next((name for name in ALLOWED if name in given), None)
    for name in given:
        if asked is not None and name != asked and name not in ALLOWED[asked]:
            goes = " or ".join(f"--{one}" for one in ALLOWED[asked]) or "nothing else"
            raise StudyError(
                f"--{name} does not go with --{asked}, which goes with {goes} (see scaling predict --help)"
            )
    if question.served is not None and (question.loss is None) == (question.flops is None):
        raise StudyError(
            "--serve needs one of --loss (the cheapest model of that loss) and --flops (the best one for a total)"
        )
    if question.instead is not None and question.flops is None:
        raise StudyError(f"--instead {question.instead} needs --flops, the budget to train that size at")
    if asked == "inference":
        raise StudyError("--inference goes with --serve: it is the cost of a served token")
    if asked == "runs" and not question.point:
        raise StudyError("--runs needs --params and --tokens, the model whose runs it means")
    return question


def predict(path: Path, question: Question, *, form: str | None, plot: Path | None, as_json: bool) -> int:
    """Print what the law at `path`, or the selection's mixture, answers; draw the law to `plot`."""
    law = asked_of(path, form)
    drawn_only = plot is not None and question.loss is None and not set(question.point) & set(PLANE)
    if drawn_only and isinstance(law, LawFit) and not set(law.inputs) & set(PLANE):
        drawn_only = not question.point
    if isinstance(law, Selection) and plot is not None:
        raise StudyError(f"--plot draws one law, and {path} is a selection: name one of it, as in --form {law.chosen}")
    answer = None if drawn_only else _answer(law, question)
    if plot is not None and isinstance(law, LawFit):
        held: dict[str, Any] = {name: value for name, value in question.held.items() if name not in PLANE}
        figures.write(law.plot(_rows(path, law), **held), plot)
    if as_json and answer is not None:
        print(json.dumps(replies.as_json(law, answer), indent=2))
    elif answer is not None:
        replies.reply(law, answer, question.point)
    if plot is not None and not as_json:
        print(f"written to {plot}")
    return 0


def asked_of(path: Path, form: str | None) -> LawFit | Selection:
    """The law or the selection in a file; a run directory's law; with `form` one of the laws there are."""
    if path.is_dir():
        folder = RunDirectory(path).laws
        file = folder / f"{form or MAIN}.json"
        if not file.is_file():
            there = sorted(one.stem for one in folder.glob("*.json"))
            has = f"it has {', '.join(there)}{nearest(form or MAIN, there)}" if there else "fit one by scaling fit"
            raise StudyError(f"law: {path} has no law {form or MAIN!r}; {has}")
        return _read(file)  # a law, as all of a run's are
    if not path.is_file():
        raise StudyError(f"law: {path} does not exist; give a law's JSON file, as `scaling fit --out` writes it")
    found = _read(path)
    if form is None:
        return found
    if isinstance(found, LawFit):
        if found.form != form:
            raise StudyError(f"--form is {form}, and the law in {path} is of form {found.form}: leave it out")
        return found
    if form not in found.fits:
        had = ", ".join(found.fits)
        raise StudyError(f"--form is {form!r}, and the selection in {path} mixes {had}{nearest(form, found.fits)}")
    return found.fits[form]


def _read(path: Path) -> LawFit | Selection:
    advice = "give what `scaling fit --out` or `scaling select --out` wrote"
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise StudyError(f"law: {path} is not JSON ({error}); {advice}") from error
    if not isinstance(plain, dict) or not {"form", "chosen"} & set(plain):
        raise StudyError(f"law: {path} holds neither a law nor a selection; {advice}")
    try:
        if "chosen" in plain:
            return Selection.from_json({name: value for name, value in plain.items() if name != "answer"})
        return LawFit.from_json(plain)
    except LawError as error:
        raise LawError(f"{path} is {error}") from error
    except (TypeError, KeyError, AttributeError, ValueError) as error:
        raise StudyError(f"law: {path} is damaged ({error}); {advice}") from error


def _rows(path: Path, law: LawFit) -> Any:
    """The rows that a run directory's law was fitted to, to be drawn beside it; None where they are not at hand."""
    observations = RunDirectory(path).observations
    if not path.is_dir() or not observations.is_file():
        return None
    rows = laws.read(observations, cost=law.cost, form=law.law)
    return rows if rows.sha256 == law.sha256 else None


def _answer(law: LawFit | Selection, question: Question) -> replies.Answer:
    if isinstance(law, Selection):
        _check_held(law, question.held)
        return _mixed(law, question)
    if "loss" in law.inputs and question.loss is not None:
        raise StudyError(
            f"--loss asks what a loss needs, and form {law.form} tells {law.output} from the loss: write "
            f"--at loss={question.loss:g}"
        )
    _check_held(law, question.held)
    if question.served is not None:
        return _served(law, question, question.served)
    if question.instead is not None and question.flops is not None:
        size, factor = _instead(question.instead)
        if size is None:
            return law.deviation(flops=question.flops, factor=factor, **question.held)
        return law.deviation(flops=question.flops, params=size, **question.held)
    if question.loss is not None:
        return law.budget_for(loss=question.loss, params=question.params, **question.held)
    if _of_budget(question) and (law.law.frontier is not None or law.inputs != ("flops",)):
        return law.optimum(**question.point)
    return law.predict(runs=1 if question.runs is None else question.runs, **question.point)


def _check_held(law: LawFit | Selection, held: Mapping[str, float]) -> None:
    """StudyError where --at names what is no input, or where one that is no N, D or C is not given."""
    fits = list(law.fits.values()) if isinstance(law, Selection) else [law]
    inputs = list(dict.fromkeys(name for fit in fits for name in fit.inputs))
    for name in held:
        if name not in (*inputs, *PLANE):
            who = " and ".join(dict.fromkeys(fit.form for fit in fits))
            raise StudyError(
                f"--at names {name!r}, no input of form {who}, which takes {', '.join(inputs)}{nearest(name, inputs)}"
            )
    for fit in fits:
        for name in fit.inputs:
            if name not in (*held, *PLANE):
                low, high = fit.ranges[name]
                raise StudyError(
                    f"form {fit.form} needs {name} too: --at {name}={high:.3g} (fitted from {low:.3g} to {high:.3g})"
                )


def _mixed(law: Selection, question: Question) -> replies.Answer:
    if question.loss is not None or question.served is not None or question.instead is not None:
        raise StudyError(
            "a selection answers --flops, or --params and --tokens, by the mixture of its forms; for this ask one of "
            f"them: --form {law.chosen}"
        )
    if _of_budget(question):
        if question.held:
            raise StudyError(f"--at {', '.join(question.held)}: a selection's answer to --flops holds nothing else")
        return law.optimum(**question.point)
    return law.predict(runs=1 if question.runs is None else question.runs, **question.point)


def _of_budget(question: Question) -> bool:
    """Whether the best model for a budget is asked for, and not the loss of one."""
    return "flops" in question.point and not {"params", "tokens", "tokens_per_param"} & set(question.point)


def _served(law: LawFit, question: Question, served: float) -> laws.Serving:
    held: dict[str, Any] = dict(question.held)
    if question.inference is not None:
        held["inference"] = question.inference
    if question.loss is not None:
        return law.cheapest(loss=question.loss, served_tokens=served, **held)
    return law.serving_optimum(flops=question.flops or 0.0, served_tokens=served, **held)


def _instead(text: str) -> tuple[float | None, float]:
    """(parameters or None, factor) of 7e9 or 0.5x."""
    number = text.removesuffix("x")
    try:
        value = float(number)
    except ValueError:
        raise StudyError(f"--instead is {text!r}; give parameters, as 7e9, or a multiple of N*, as 0.5x") from None
    if not 0 < value < float("inf"):
        raise StudyError(f"--instead is {text}; give a positive number of parameters, as 7e9, or a factor, as 0.5x")
    if text.endswith("x"):
        return None, value
    if value < SMALL:
        raise StudyError(f"--instead is {text}, a model of {text} parameters; for {text} times N* write {text}x")
    return value, 1.0
