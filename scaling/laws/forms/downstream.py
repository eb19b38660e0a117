"""Laws of what a loss means on tasks: error and accuracy as functions of it, alone and after a law of the loss."""

from collections.abc import Sequence
from dataclasses import replace
from types import ModuleType
from typing import Any

import numpy as np

from scaling.laws.errors import LawError
from scaling.laws.forms.base import Data, LawForm, Parameter, Range, Values
from scaling.laws.forms.parameters import coefficient, exponent, positive, real
from scaling.laws.forms.registry import form_named, register

STEEPNESS_STARTS, STEEPNESS_BOUNDS = (0.1, 10.0), (1e-3, 100.0)
"""Per unit of the loss."""


@register
def downstream() -> LawForm:
    """Err = epsilon - k exp(-gamma L): the error over tasks at loss L, epsilon at high loss (Gadre 2024, eq. 5)."""

    def equation(p: Values, x: Values, xp: ModuleType) -> Any:
        return p["epsilon"] - p["k"] * xp.exp(-p["gamma"] * x["loss"])

    def worst(data: Data) -> float:
        return float(np.max(data.output))

    def spread(data: Data) -> float:
        return float(np.ptp(data.output))

    return LawForm(
        name="downstream",
        equation=equation,
        text="Err = epsilon - k exp(-gamma L)",
        parameters=(
            real(
                "epsilon",
                lambda data: (worst(data), worst(data) + spread(data)),
                lambda data: (worst(data) - spread(data), worst(data) + 100 * spread(data)),
            ),
            coefficient("k", over=lambda p, c: -p["gamma"] * c["loss"]),
            exponent("gamma", starts=STEEPNESS_STARTS, bounds=STEEPNESS_BOUNDS),
        ),
        inputs=("loss",),
        linear_inputs=("loss",),
        output="error",
        space="linear",
        source="Gadre et al. 2024, eq. 5",
    )


@register
def sigmoid() -> LawForm:
    """accuracy = b + a / (1 + exp(-k (L - L0))): a share, from b at low loss to b + a, chance, at high loss.

    -1 <= a <= 0 <= b <= 1 and k > 0 (Bhagia et al. 2024, eq. 2, and its bounds). Where the tasks' ceiling or chance is
    known, pin b, or a.
    """

    def equation(p: Values, x: Values, xp: ModuleType) -> Any:
        # tanh, for it overflows nowhere: 1 / (1 + exp(-z)) = (1 + tanh(z / 2)) / 2.
        return p["b"] + p["a"] * (1 + xp.tanh(p["k"] * (x["loss"] - p["L0"]) / 2)) / 2

    def shares(data: Data) -> tuple[float, float]:
        return float(np.min(data.output)), float(np.max(data.output))

    def losses(data: Data, below: float, above: float) -> tuple[float, float]:
        low, high = float(np.min(data.inputs["loss"])), float(np.max(data.inputs["loss"]))
        return low - below * (high - low), high + above * (high - low)

    def steepness(data: Data, least: float, most: float) -> tuple[float, float]:
        spread = float(np.ptp(data.inputs["loss"]))
        return least / spread, most / spread

    return LawForm(
        name="sigmoid",
        equation=equation,
        text="accuracy = b + a / (1 + exp(-k (L - L0)))",
        parameters=(
            _end("a", lambda data: (-1.0, shares(data)[0] - shares(data)[1]), (-1.0, 0.0)),
            real("L0", lambda data: losses(data, 0.5, 0.2), lambda data: losses(data, 10.0, 10.0)),
            positive("k", lambda data: steepness(data, 1.0, 20.0), lambda data: steepness(data, 1e-3, 1e3)),
            _end("b", lambda data: (shares(data)[1], 1.0), (0.0, 1.0)),
        ),
        inputs=("loss",),
        linear_inputs=("loss",),
        output="accuracy",
        space="linear",
        rises=True,
        check=_check_shares,
        source="Bhagia et al. 2024 (OLMo ladder), eq. 2",
    )


@register
def two_step(first: str = "chinchilla", second: str = "sigmoid", x: str = "", final: str = "") -> LawForm:
    """The task metric of form `second` at the loss that form `first` predicts: fitted one after the other.

    `x` is the input of a first step in one input: first="power", x="flops". `final` names a column of 0 and 1: rows
    with 0, such as checkpoints of a run that goes on, tell the second step alone what a loss is worth (Bhagia et al.
    2024, sections 3 and 4; Gadre et al. 2024, section 2.3).
    """
    one, two = steps(first, second, x)

    def equation(p: Values, inputs: Values, xp: ModuleType) -> Any:
        return two.equation(p, {one.output: one.equation(p, inputs, xp)}, xp)

    return LawForm(
        name="two_step",
        equation=equation,
        text=f"{two.text}, {one.text}",
        parameters=tuple(_as_number(parameter) for parameter in (*one.parameters, *two.parameters)),
        inputs=one.inputs,
        linear_inputs=(*one.linear_inputs, *((final,) if final else ())),
        output=two.output,
        space=two.space,
        source=f"Bhagia et al. 2024 (OLMo ladder), eq. 1 and 2; first: {one.source}; second: {two.source}",
        takes_pins=True,
        rises=two.rises,
        procedure="scaling.laws.procedures.two_step:fit",
        needs=(*one.inputs, one.output, *((final,) if final else ())),
    )


def steps(first: str, second: str, x: str) -> tuple[LawForm, LawForm]:
    """The two forms of a two-step law; LawError where the second is no function of what the first predicts."""
    one, two = form_named(first, {"x": x} if x else {}), form_named(second)
    for step, form in (("first", one), ("second", two)):
        if form.procedure:
            raise LawError(
                f"{step} is {form.name}; it must be a form of one solve, as chinchilla, power or sigmoid are"
            )
    if two.inputs != (one.output,) or one.output not in two.linear_inputs:
        raise LawError(
            f"second is {two.name}, a function of {', '.join(two.inputs)}; it must be one of {one.output} alone, which "
            f"{one.name} predicts, as sigmoid and downstream are"
        )
    shared = [name for name in two.names if name in one.names]
    if shared:
        raise LawError(f"first {one.name} and second {two.name} both have a parameter {shared[0]!r}; choose others")
    return one, two


def _end(name: str, starts: Range, bounds: tuple[float, float]) -> Parameter:
    edge = "the runs do not show this end of the rise; hold a and b where chance and the ceiling are known"
    return replace(real(name, starts, bounds), edge=edge)


def _check_shares(given: Values, labels: Sequence[str]) -> None:
    accuracy = np.asarray(given.get("accuracy", ()))
    for place in np.flatnonzero((accuracy < 0) | (accuracy > 1))[:1]:
        value = accuracy[place]
        raise LawError(
            f"{labels[place]}: accuracy is {value:g}; give a share from 0 to 1: {value:g} percent is {value / 100:g}"
        )


def _as_number(parameter: Parameter) -> Parameter:
    """The parameter by its name and role alone: a procedure fits it in its own form's coordinates."""
    anywhere = real(parameter.name, (0.0, 1.0), (-np.inf, np.inf), parameter.role)
    return replace(anywhere, positive=parameter.positive)
