"""The coordinate check (Yang 2022, appendix D.1): how activations after a few steps follow width and depth.

A parameterisation is right where neither their scale nor what training has changed of them grows or shrinks with size.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from scaling.config import ModelConfig, Optimizer
from scaling.models import Forward, Transformer
from scaling.training.computation import AS_IT_COMES, computation
from scaling.training.state import Params, architecture, initial_state
from scaling.training.step import Hyper, train_steps

Scales = dict[str, float]
"""Name of an activation -> root mean square of its entries."""


def activations(model: Transformer, tokens_BT: jax.Array, forward: Forward) -> dict[str, jax.Array]:
    """What an unrolled model computes on its way: embeddings, the last block's scores and outputs, stream, logits."""
    found = {"embedding": model.embedding[...][tokens_BT]}
    x_BTW = found["embedding"]
    if model.position is not None:
        found["position"] = model.position[...][: tokens_BT.shape[1]]
        x_BTW = x_BTW + found["position"]
    for block in model.blocks:
        normed = block.attention_norm(x_BTW)
        found["scores"] = block.attention.scores(normed, forward.attention)
        found["attention"] = block.attention(normed, forward.attention)
        x_BTW = x_BTW + forward.residual * found["attention"]
        found["feed_forward"] = block.feed_forward(block.feed_forward_norm(x_BTW))
        x_BTW = x_BTW + forward.residual * found["feed_forward"]
    return found | {"stream": x_BTW, "logits": model(tokens_BT, forward)}


def coordinates(
    config: ModelConfig, kind: Optimizer, hyper: Hyper, batches_KBT: np.ndarray[Any, Any], seeds: Sequence[int]
) -> tuple[Scales, Scales]:
    """(scale, change since the start) of each activation of the first batch after one step a batch.

    Root mean squares over `seeds`; the change of the parameters of each role is beside them, as "parameters: role".
    `hyper.scales` may be other multipliers than the model's own.
    """
    before, trained, seen, roles = _compiled(config.model_copy(update={"layer_loop": "unroll"}), kind)
    tokens = jnp.asarray(batches_KBT[0][:, :-1], jnp.int32)
    # Runs of up to 128 steps, and so on, share a program.
    padded_KBT = np.resize(batches_KBT, (-(-len(batches_KBT) // 128) * 128, *batches_KBT.shape[1:]))
    squares: dict[str, list[tuple[float, float]]] = {}
    for seed in seeds:
        start = before(seed, hyper)
        first = seen(start.params, tokens, hyper.scales.forward) | _by_role(start.params, roles)
        end = trained(start, padded_KBT, len(batches_KBT), hyper)[0]
        last = seen(end.params, tokens, hyper.scales.forward) | _by_role(end.params, roles)
        for name, value in last.items():
            both = (jnp.mean(value**2), jnp.mean((value - first[name]) ** 2))
            squares.setdefault(name, []).append((float(both[0]), float(both[1])))
    means = {name: np.sqrt(np.mean(values, axis=0)) for name, values in squares.items()}
    return {name: float(both[0]) for name, both in means.items()}, {n: float(both[1]) for n, both in means.items()}


def growth(sizes: Sequence[float], scales: Sequence[Scales]) -> Scales:
    """Slope of ln scale in ln size of each activation, by least squares."""
    log_size = np.log(np.asarray(sizes, float))
    found = {}
    for name in scales[0]:
        found[name] = float(np.polyfit(log_size, np.log([one[name] for one in scales]), 1)[0])
    return found


def _by_role(params: Params, roles: dict[str, str]) -> dict[str, jax.Array]:
    found: dict[str, list[jax.Array]] = {}
    for name, value in params.items():
        found.setdefault(f"parameters: {roles[name]}", []).append(value.ravel())
    return {name: jnp.concatenate(values) for name, values in found.items()}


@cache
def _compiled(config: ModelConfig, kind: Optimizer) -> tuple[Any, Any, Any, dict[str, str]]:
    model = architecture(config)

    def before(seed: jax.Array, hyper: Hyper) -> Any:
        return initial_state(model, kind, seed, hyper.optimizer.beta1, hyper.scales)

    def seen(params: Any, tokens_BT: jax.Array, forward: Forward) -> dict[str, jax.Array]:
        built = model.build(params)
        if not isinstance(built, Transformer):
            raise TypeError(f"the coordinate check reads a Transformer's activations, not those of {config.model}")
        return activations(built, tokens_BT, forward)

    roles: dict[str, str] = {name: one.role for name, one in model.declared.items()}
    how = computation(AS_IT_COMES, None)
    return jax.jit(before), jax.jit(lambda *given: train_steps(model, kind, how, *given)), jax.jit(seen), roles
