"""Two arms as one law: forms made on the fly from any law in N and D. No JAX.

A row says ln L = on_a ln L_a(N, D) + on_b ln L_b(N, D). A run of arm a has weights (1, 0) and one of arm b (0, 1); two
paired runs make two rows, their sum and their difference (pairs.py).
"""

import functools
from collections.abc import Callable
from dataclasses import replace
from types import ModuleType
from typing import Any, Literal

import numpy as np

from scaling.laws.errors import LawError, nearest
from scaling.laws.forms import Data, LawForm, Parameter, Values, form_named, positive
from scaling.laws.forms.base import Range
from scaling.laws.surface import PLANE

Exponents = Literal["shared", "separate"]
EXPONENTS: tuple[Exponents, ...] = ("shared", "separate")
MULTIPLIERS = {"params": "m_N", "tokens": "m_D"}
"""Input -> the multiplier that takes it to its effective value."""
SUFFIXES = ("_a", "_b")
"""Of each arm's own parameters where exponents are separate."""
WEIGHTS = ("on_a", "on_b")
OBSERVED = "observed"
"""The loss of the run behind a row, from which parameters choose their bounds and starts."""
FORM = f"{__name__}:rescaled"
"""How a LawFit finds arm b's law again."""


def rescaled(base: str = "chinchilla", options: tuple[Any, ...] = ()) -> LawForm:
    """L = base(m_N N, m_D D): the law `base` in effective model size and effective data.

    `options` are the base form's, as name, value, name, value, ... Under C = 6 N D its compute-optimal loss is the
    base's at m_N m_D C.
    Source: Volkova et al. 2026, "Towards robust scaling laws for optimizers" (shared exponents, one rescaling factor
    of N and one of D for each optimizer).
    """
    law = checked(form_named(base, dict(zip(options[::2], options[1::2], strict=True))))

    def equation(p: Values, x: Values, xp: ModuleType) -> Any:
        return law.equation(p, _effective(x, xp.log(p["m_N"]), xp.log(p["m_D"])), xp)

    def optimum(p: Values, log_c: Any) -> tuple[Any, Any]:
        on_n, on_d = np.log(p["m_N"]), np.log(p["m_D"])
        log_n, log_d = law.optimum_6nd(p, log_c + on_n + on_d)  # type: ignore[misc]  # only where there is one
        return log_n - on_n, log_d - on_d

    return replace(
        law,
        name="rescaled",
        equation=equation,
        text=f"{law.text} with m_N N for N and m_D D for D",
        parameters=(*law.parameters, *_multipliers()),
        source=f"{law.source}; rescaled: Volkova et al. 2026 (arXiv 2602.07712)",
        optimum_6nd=optimum if law.optimum_6nd is not None else None,
        options={},
    )


def rescaled_of(law: LawForm) -> LawForm:
    """The rescaled form of `law`, as a LawFit finds it again."""
    options: dict[str, Any] = {} if law.name == "chinchilla" else {"base": law.name}
    if law.options:
        options["options"] = tuple(part for pair in sorted(law.options.items()) for part in pair)
    return form_named(FORM, options)


@functools.cache
def shared(law: LawForm) -> LawForm:
    """Arm a follows `law`, arm b `law` at m_N N and m_D D: everything but the two multipliers is common."""

    def equation(p: Values, x: Values, xp: ModuleType) -> Any:
        first = xp.log(law.equation(p, x, xp))
        second = xp.log(law.equation(p, _effective(x, xp.log(p["m_N"]), xp.log(p["m_D"])), xp))
        return x["on_a"] * first + x["on_b"] * second

    parameters = tuple(_of_runs(parameter, None) for parameter in law.parameters)
    return _joint(law, "shared", equation, (*parameters, *_multipliers()))


@functools.cache
def separate(law: LawForm) -> LawForm:
    """Each arm follows a `law` of its own: its parameters end in _a and _b."""

    def equation(p: Values, x: Values, xp: ModuleType) -> Any:
        first, second = (xp.log(law.equation(_Arm(p, suffix), x, xp)) for suffix in SUFFIXES)
        return x["on_a"] * first + x["on_b"] * second

    parameters = tuple(_renamed(parameter, arm) for arm in (0, 1) for parameter in law.parameters)
    return _joint(law, "separate", equation, parameters)


def joint(law: LawForm, exponents: Exponents) -> LawForm:
    """The form of both arms together."""
    return shared(law) if exponents == "shared" else separate(law)


def of_arm(law: LawForm, params: Values, arm: int) -> dict[str, Any]:
    """The parameters of one arm's own law (`law`, or its rescaled form for arm b of a shared law) in joint ones."""
    if "m_N" in params:
        names = law.names if arm == 0 else (*law.names, *MULTIPLIERS.values())
        return {name: params[name] for name in names}
    return {name: params[name + SUFFIXES[arm]] for name in law.names}


def checked(law: LawForm) -> LawForm:
    """`law`, or LawError where arms cannot be compared by it."""
    why = ""
    if law.procedure or law.frontier:
        why = "is fitted by a procedure of its own"
    elif law.output != "loss" or law.space != "log":
        why = f"predicts {law.output} in {law.space} space, not ln of a loss"
    elif not set(law.inputs) <= set(PLANE) or len(set(law.inputs)) < 2:
        why = f"is a law in {', '.join(law.inputs)}, not in N and D"
    if why:
        raise LawError(f"form {law.name} {why}; compare arms by chinchilla or another law of the loss in N and D")
    return law


def checked_exponents(exponents: str) -> Exponents:
    """`exponents`, or LawError with the nearest right word."""
    for known in EXPONENTS:
        if exponents == known:
            return known
    raise LawError(f"exponents is {exponents!r}; it is shared or separate{nearest(exponents, EXPONENTS)}")


def _effective(x: Values, on_n: Any, on_d: Any) -> dict[str, Any]:
    """Inputs (logarithms) with m_N N for N and m_D D for D."""
    shift = {"params": on_n, "tokens": on_d, "flops": on_n + on_d, "tokens_per_param": on_d - on_n}
    return {name: values + shift[name] if name in shift else values for name, values in x.items()}


def _multipliers() -> tuple[Parameter, ...]:
    return tuple(positive(name, starts=(0.5, 2.0), bounds=(1e-4, 1e4)) for name in MULTIPLIERS.values())


def _joint(
    law: LawForm, name: str, equation: Callable[[Values, Values, ModuleType], Any], parameters: tuple[Parameter, ...]
) -> LawForm:
    return LawForm(
        name=f"{law.name} of two arms, {name} exponents",
        equation=equation,
        text=law.text,
        parameters=parameters,
        inputs=(*law.inputs, *WEIGHTS, OBSERVED),
        source=law.source,
        linear_inputs=(*law.linear_inputs, *WEIGHTS, OBSERVED),
        output="ln of the loss",
        space="linear",
    )


def _of_runs(parameter: Parameter, arm: int | None) -> Parameter:
    """`parameter` with bounds and starts from the runs behind the rows: of one arm, or of both when None."""

    def from_runs(given: Range) -> Range:
        def between(data: Data) -> tuple[float, float]:
            # A sum stands for its run of arm a, a difference (on_a below 0) for its run of arm b.
            second = np.asarray(data.inputs["on_a"]) <= 0
            keep = np.ones_like(second) if arm is None else second == (arm == 1)
            inputs = {n: values[keep] for n, values in data.inputs.items() if n not in (*WEIGHTS, OBSERVED)}
            return given(Data(inputs, data.inputs[OBSERVED][keep]))

        return between

    return replace(parameter, bounds=from_runs(parameter.bounds), starts=from_runs(parameter.starts))


def _renamed(parameter: Parameter, arm: int) -> Parameter:
    suffix, own = SUFFIXES[arm], _of_runs(parameter, arm)
    renamed = replace(own, name=parameter.name + suffix)
    if parameter.is_coordinate:
        return renamed
    return replace(
        renamed,
        natural=lambda z, p, c, xp: parameter.natural(z, _Arm(p, suffix), c, xp),
        coordinate=lambda value, p, c: parameter.coordinate(value, _Arm(p, suffix), c),
    )


class _Arm(dict[str, Any]):
    """One arm's parameters under the names that the base form knows."""

    def __init__(self, params: Values, suffix: str):
        super().__init__()
        self._params, self._suffix = params, suffix

    def __missing__(self, name: str) -> Any:
        return self._params[name + self._suffix]
