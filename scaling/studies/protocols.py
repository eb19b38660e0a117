"""What a part of a researcher's own has to be, and whether it is: tried on abstract shapes before anything is trained.

Every function here is named in a study as `module:attribute`; docs/own_parts.md shows one of each.
"""

import traceback
from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from scaling.config import ModelConfig, Own, Study, StudyError, loaded
from scaling.data import HeldOut
from scaling.models import ROLES, Declaration, Forward, Multipliers, counted, multipliers, new_block, new_model
from scaling.models import Model as BuiltModel
from scaling.planning import model_of
from scaling.training.evaluation import measured
from scaling.training.mesh import TABLE
from scaling.training.optimizers import Declared, Settings, optimizer
from scaling.training.schedules import Schedule as Numbers
from scaling.training.state import architecture


class Block(Protocol):
    """`family.block`: makes an nnx.Module that maps float32[B, T, W] to the same shape, given a Forward.

    Every parameter is made by `declare`, so that the parameterisation, weight decay, the mesh and the counts know it.
    """

    def __call__(self, config: ModelConfig, rngs: nnx.Rngs) -> Callable[[jax.Array, Forward], jax.Array]: ...


class Model(Protocol):
    """`family.model`: makes an nnx.Module from token ids int[B, T] to logits float32[B, T, V]; parameters as above."""

    def __call__(self, config: ModelConfig, key: jax.Array) -> BuiltModel: ...


class Optimizer(Protocol):
    """`training.optimizer`: the whole transformation, from clipping to minus the rate. Its numbers are traced.

    Called at every step; what `init` returns may depend on shapes only.
    """

    def __call__(
        self, settings: Settings, declared: Declared, scales: Multipliers, rate: jax.Array | float
    ) -> optax.GradientTransformation: ...


class Schedule(Protocol):
    """`training.schedule`: the rate at a float32 step, from the traced numbers of a run that ends at one horizon."""

    def __call__(self, given: Numbers, step: jax.Array) -> jax.Array: ...


class Corpus(Protocol):
    """`data.corpus`: yields (name, text) of each document, the same ones at every call."""

    def __call__(self) -> Iterable[tuple[str, str]]: ...


class Metric(Protocol):
    """`evaluation.metrics`: one finite number from the losses of the held-out tokens."""

    def __call__(self, held_out: HeldOut) -> float: ...


def check(study: Study) -> None:
    """Refuse a part that is not what its field takes; a corpus is checked as it is read.

    Raises:
      StudyError: the field, the part, what is wrong with it, and where in its file.
    """
    checks = {
        "family.block": _check_block,
        "family.model": _check_model,
        "training.optimizer": _check_optimizer,
        "training.schedule": _check_schedule,
    }
    for field, part in study.own.items():
        if not callable(loaded(part)):
            raise StudyError(f"{field} is {part!r}, a {type(loaded(part)).__name__}; name a function or a class")
        tried = checks.get(field, _check_metric if field.startswith("evaluation.metrics") else None)
        if tried is None:
            continue
        try:
            tried(study, part)
        except _Wrong as wrong:
            raise StudyError(f"{field} is {part!r}, {wrong}") from wrong.__cause__
        except StudyError:
            raise
        except Exception as error:
            said = f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"
            raise StudyError(
                f"{field} is {part!r}, which fails when it is tried{_where(error, part)}: {said}"
            ) from error


class _Wrong(Exception):
    """What is wrong with a part, to stand after its name."""


def _check_block(study: Study, part: Own) -> None:
    model = _smallest(study)
    built = _declared(nnx.eval_shape(lambda: new_block(model, nnx.Rngs(params=0))))
    x_BTW = jax.ShapeDtypeStruct((2, model.sequence_length, model.width), jnp.float32)
    _returns(built, x_BTW.shape, x_BTW, Forward())
    _counts(model)


def _check_model(study: Study, part: Own) -> None:
    model = _smallest(study)
    built = _declared(nnx.eval_shape(lambda: new_model(model, jax.random.key(0))))
    tokens_BT = jax.ShapeDtypeStruct((2, model.sequence_length), jnp.int32)
    _returns(built, (2, model.sequence_length, model.vocabulary), tokens_BT, Forward())
    _counts(model)


def _check_optimizer(study: Study, part: Own) -> None:
    config = _smallest(study)
    model, scales = architecture(config), multipliers(config)
    params = jax.eval_shape(model.initialise, 0)
    number = jax.ShapeDtypeStruct((), jnp.float32)
    settings = jax.tree.map(lambda _: number, Settings(*[0.0] * len(Settings._fields)))

    def step(settings: Settings, rate: jax.Array, params: Any) -> tuple[Any, Any, Any]:
        made = optimizer(part, settings, model.declared, scales, rate)
        if not isinstance(made, optax.GradientTransformation):
            raise _Wrong(f"which returns a {type(made).__name__}; return an optax.GradientTransformation")
        before = made.init(params)
        updates, after = made.update(params, before, params)
        return updates, before, after

    updates, before, after = jax.eval_shape(step, settings, number, params)
    if _shapes(updates) != _shapes(params):
        raise _Wrong("whose updates have other names, shapes or types than the parameters")
    if _shapes(after) != _shapes(before):
        raise _Wrong("whose state has other shapes or types after an update than before it")


def _check_schedule(study: Study, part: Own) -> None:
    formula, steps = loaded(part), 100
    number = jax.ShapeDtypeStruct((), jnp.float32)
    numbers = Numbers(peak=1.0, warmup_steps=10.0, fall_start=9.0, fall_steps=91.0, power=1.0)
    given = jax.eval_shape(formula, jax.tree.map(lambda _: number, numbers), number)
    if getattr(given, "shape", None) != ():
        raise _Wrong(f"which returns {given}; return one number, the rate")
    rates = np.asarray(jax.vmap(lambda step: formula(numbers, step))(jnp.arange(steps, dtype=jnp.float32)))
    bad = np.flatnonzero(~(np.isfinite(rates) & (rates >= 0)))
    if bad.size:
        raise _Wrong(
            f"which gives the rate {rates[bad[0]]} at step {bad[0]} of {steps} (peak 1, warm-up 10); it must be 0 or "
            "more at every step"
        )


def _check_metric(study: Study, part: Own) -> None:
    """On made-up losses of four documents."""
    generator = np.random.default_rng(0)
    targets = generator.integers(0, 256, 64).astype(np.int32)
    measured([part], HeldOut(generator.exponential(2.0, 64), targets, np.repeat(np.arange(4, dtype=np.int32), 16)))


def _declared(built: Any) -> Any:
    """`built`, if all that it holds are parameters that declare themselves."""
    if not isinstance(built, nnx.Module):
        raise _Wrong(f"which makes a {type(built).__name__}; make an nnx.Module")
    for path, variable in nnx.to_flat_state(nnx.state(built)):
        name = ".".join(str(part) for part in path)
        if not isinstance(variable, nnx.Param):
            raise _Wrong(f"which holds {name}, a {type(variable).__name__}; training keeps parameters only")
        declaration = variable.get_metadata().get("declaration")
        if not isinstance(declaration, Declaration):
            raise _Wrong(f"whose parameter {name} does not declare itself; make it by scaling.models.declare")
        if declaration.role not in ROLES:
            raise _Wrong(f"whose parameter {name} has the role {declaration.role!r}; roles are {', '.join(ROLES)}")
        unknown = [axis for axis in declaration.axes if axis not in TABLE]
        if unknown:
            raise _Wrong(f"whose parameter {name} has the axis {unknown[0]!r}; axes are {', '.join(TABLE)}")
        (leaf,) = jax.tree.leaves(variable)
        if len(declaration.axes) != len(leaf.shape):
            raise _Wrong(f"whose parameter {name} of shape {leaf.shape} declares axes {declaration.axes}")
    return built


def _returns(built: Any, shape: tuple[int, ...], *given: Any) -> None:
    structure, state = nnx.split(built, nnx.Param)
    out = jax.eval_shape(lambda state, *given: nnx.merge(structure, state)(*given), state, *given)
    if getattr(out, "shape", None) != shape or out.dtype != jnp.float32:
        found = f"{out.dtype}{list(out.shape)}" if hasattr(out, "shape") else f"a {type(out).__name__}"
        raise _Wrong(f"which returns {found}; return float32{list(shape)}")


def _counts(model: ModelConfig) -> None:
    try:
        counted(model)
    except ValueError as error:
        raise _Wrong(f"which {error}") from error


def _smallest(study: Study) -> ModelConfig:
    named = [width for widths in study.sweep.width_fields.values() for width in widths]
    return model_of(min(named, default=study.family.width_unit), study)


def _shapes(tree: Any) -> Any:
    leaves, structure = jax.tree.flatten(tree)
    return structure, [(leaf.shape, leaf.dtype) for leaf in leaves]


def _where(error: Exception, part: Own) -> str:
    """The last line of the part's own file that the error came through."""
    file = import_module(part.module).__file__
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    return f" ({part.module}, line {lines[-1]})" if lines else ""
