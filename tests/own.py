"""A module of a researcher's own, for tests: the laboratory's parts under other names, other parts, and wrong ones."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

MODULE = '''
import jax, jax.numpy as jnp, optax
from flax import nnx
from scaling.models import Block, Declaration, Forward, RMSNorm, Transformer, declare
from scaling.training.optimizers import optimizer
from scaling.training.schedules import learning_rate

TEXTS = [f"text {k}: " + "a law of loss " * (k + 3) for k in range(60)]

same_block, same_model = Block, Transformer


def same_optimizer(settings, declared, scales, rate):
    return optimizer("adamw", settings, declared, scales, rate)


def same_schedule(given, step):
    return learning_rate(given, step)


def mean(held_out):
    return held_out.losses.mean()


def per_document(held_out):
    return held_out.documents.max() + held_out.targets.min() / 1000


def corpus():
    for k, text in enumerate(TEXTS):
        yield f"{k}.txt", text


class Bottleneck(nnx.Module):
    """No attention: up to a quarter of the width and back, and a bias for each position, counted as an embedding."""

    def __init__(self, config, rngs):
        width, small = config.width, config.width // 4
        self.norm = RMSNorm(width, "width", rngs)
        self.into = declare(rngs.params, (width, small), Declaration("hidden", width, small, ("width", "ffn")))
        self.back = declare(rngs.params, (small, width), Declaration("hidden", small, width, ("ffn", "width")))
        self.place = declare(rngs.params, (config.sequence_length, width),
                             Declaration("position", config.sequence_length, width, ("sequence", "width")))

    def __call__(self, x, forward):
        hidden = self.norm(x + self.place[...][: x.shape[1]]) @ self.into[...]
        return x + forward.residual * (jax.nn.relu(hidden) @ self.back[...])


class Undeclared(nnx.Module):
    def __init__(self, config, rngs):
        self.linear = nnx.Linear(config.width, config.width, rngs=rngs)

    def __call__(self, x, forward):
        return self.linear(x)


class Narrowing(Bottleneck):
    def __call__(self, x, forward):
        return super().__call__(x, forward)[..., 1:]


class Breaking(Bottleneck):
    def __call__(self, x, forward):
        return x @ self.into[...] @ self.into[...]


class Turning(Bottleneck):
    """A loop that says nothing of how often it runs."""

    def __call__(self, x, forward):
        more = lambda carry: carry[0] < x.mean()
        turn = lambda carry: (carry[0] + 1, carry[1] @ self.into[...] @ self.back[...])
        return x + jax.lax.stop_gradient(jax.lax.while_loop(more, turn, (0.0, jax.lax.stop_gradient(x)))[1])


def sgd(settings, declared, scales, rate):
    return optax.stateless(lambda updates, params: jax.tree.map(lambda g: -rate * g, updates))


def growing(settings, declared, scales, rate):
    first = optax.scale_by_adam()
    return optax.GradientTransformation(first.init, lambda u, s, p=None: (u, (s, s)))


def branching(settings, declared, scales, rate):
    return optax.sgd(rate) if settings.momentum > 0 else optax.sgd(2 * rate)


def triangle(given, step):
    return given.peak * (1 - jnp.abs(2 * step / (given.fall_start + given.fall_steps) - 1))


def negative(given, step):
    return given.peak * jnp.cos(step)


def a_pair(held_out):
    return held_out.losses[:2]


number = 3
'''


@contextmanager
def module(folder: Path, name: str, text: str = MODULE) -> Iterator[str]:
    """`name` as a module that can be imported, until the block ends."""
    (folder / f"{name}.py").write_text(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        try:
            yield name
        finally:
            for loaded in [one for one in sys.modules if one == name or one.startswith(f"{name}.")]:
                del sys.modules[loaded]
