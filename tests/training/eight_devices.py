"""Twenty steps of one model on one device and on meshes of eight simulated ones, as JSON on standard output.

    XLA_FLAGS=--xla_force_host_platform_device_count=8 python -m tests.training.eight_devices "data 8" ...

For each mesh that is named: the largest relative difference of a loss, the collectives of its compiled program, the
elements of the largest all-gather, and the elements of the largest piece of a parameter on one device after
initialisation.
"""

import json
import re
import sys
from collections import Counter
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from scaling.config import ComputeConfig, MeshConfig, ModelConfig
from scaling.models import multipliers
from scaling.models.causal import by_blocks
from scaling.models.kernels import HEADS, KV_HEADS
from scaling.models.sharding import on_each_device
from scaling.training.mesh import constraining, make_mesh
from scaling.training.optimizers import Settings
from scaling.training.population import population, stacked
from scaling.training.schedules import NEVER, Schedule
from scaling.training.step import Hyper, program

STEPS = 20
MESHES: dict[str, dict[str, int]] = {
    "data 8": {"data": 8},
    "fsdp 8": {"fsdp": 8},
    "tensor 4 x data 2": {"tensor": 4, "data": 2},
    "fsdp 4 x tensor 2": {"fsdp": 4, "tensor": 2},
    "data 2 x fsdp 2 x tensor 2": {"data": 2, "fsdp": 2, "tensor": 2},
}
IN_PARTS = "data 2 x fsdp 2 x tensor 2"
"""The mesh on which gradients are accumulated: of the two sequences on each device, one at a time."""
STACKED: dict[str, dict[str, int]] = {
    "population 8": {"population": 8},
    "population 2 x data 2 x fsdp 2": {"population": 2, "data": 2, "fsdp": 2},
    "population 4 x tensor 2": {"population": 4, "tensor": 2},
}
"""Meshes of as many trajectories as the population has, each of its own seed."""
MODEL = ModelConfig(
    layers=2, width=64, heads=8, kv_heads=4, ffn_width=128, vocabulary=256, sequence_length=32, layer_loop="scan"
)
"""Scanned, as deep models are, so that a layer's parameters are gathered inside the loop."""
HYPER = Hyper(
    Schedule(1e-2, 4.0, NEVER, 1.0, 1.0), Settings(0.9, 0.95, 1e-8, 0.95, 0.1, 0.0, 1.0), multipliers(MODEL), NEVER
)
COLLECTIVE = re.compile(
    r"= (\(?[^=]*?) (all-gather|all-reduce|reduce-scatter|all-to-all|collective-permute)(?:-start)?\("
)
SHAPE = re.compile(r"\w+\[([\d,]*)\]")


def stacked_losses(axes: dict[str, int], batches: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], str]:
    """(losses (members, steps), text of the compiled program) of members of seeds 0, 1, ..."""
    members = axes["population"]
    together = population(MODEL, "adamw", make_mesh(MeshConfig(**axes)))
    state = together.initialise(jnp.arange(members), jnp.full(members, 0.9))
    tokens = np.broadcast_to(batches, (members, *batches.shape))
    rest = (STEPS, np.full(members, STEPS), stacked([HYPER] * members), jnp.full(members, 1e9), jnp.ones(members, bool))
    train = together.train.lower(state, tokens, *rest).compile()  # type: ignore[attr-defined]
    _, found, _ = train(state, tokens, *rest)
    return np.asarray(found), train.as_text()


def collectives(text: str) -> tuple[dict[str, int], int]:
    """(how many of each kind, elements of the largest all-gather's result) in a compiled program."""
    found, widest = Counter[str](), 0
    for result, kind in COLLECTIVE.findall(text):
        found[kind] += 1
        if kind == "all-gather":
            sizes = [int(np.prod([int(n) for n in dims.split(",") if n])) for dims in SHAPE.findall(result)]
            widest = max(widest, *sizes)
    return dict(found), widest


def kernel() -> dict[str, Any]:
    """What a kernel that the compiler cannot split sees of eight heads and four sequences on four times two devices."""
    seen: list[tuple[int, ...]] = []

    def attend(q: jax.Array, k: jax.Array, v: jax.Array) -> jax.Array:
        seen.append(q.shape)
        return by_blocks(q, k, v)

    def split(*given: jax.Array) -> jax.Array:
        return on_each_device(attend, (HEADS, KV_HEADS, KV_HEADS), HEADS)(*given)

    q, k = np.random.default_rng(0).normal(size=(2, 4, 8, 16, 4)).astype(np.float32)
    found = jax.jit(constraining(make_mesh(MeshConfig(data=2, tensor=4)), split))(q, k[:, :4], k[:, 4:])
    return {"seen": seen[-1], "difference": float(np.max(np.abs(found - by_blocks(q, k[:, :4], k[:, 4:]))))}


def main(names: Sequence[str]) -> None:
    batches = np.random.default_rng(0).integers(0, 256, (STEPS, 8, 33)).astype(np.uint16)
    single = program(MODEL)
    seeds = np.stack([single.train(single.initialise(seed), batches, STEPS, HYPER)[1] for seed in range(8)])
    report: dict[str, Any] = {}
    for name in names:
        if name not in MESHES:
            continue
        compute = ComputeConfig(microbatch_tokens=MODEL.sequence_length if name == IN_PARTS else None)
        compiled = program(MODEL, "adamw", make_mesh(MeshConfig(**MESHES[name])), compute)
        state = compiled.initialise(0)
        pieces = {
            n: [int(p.size), int(max(s.data.size for s in p.addressable_shards))] for n, p in state.params.items()
        }
        train = compiled.train.lower(state, batches, STEPS, HYPER).compile()  # type: ignore[attr-defined]
        counts, widest = collectives(train.as_text())
        _, found = train(state, batches, STEPS, HYPER)
        report[name] = {
            "difference": float(np.max(np.abs(found / seeds[0] - 1))),
            "collectives": counts,
            "widest_all_gather": widest,
            "largest_piece": pieces,
        }
    for name in names:
        if name not in STACKED:
            continue
        found, text = stacked_losses(STACKED[name], batches)
        report[name] = {
            "difference": float(np.max(np.abs(found / seeds[: len(found)] - 1))),
            "collectives": collectives(text)[0],
        }
    report["kernel"] = kernel()
    print(json.dumps({"devices": len(jax.devices()), "meshes": report}))


if __name__ == "__main__":
    main(sys.argv[1:])
