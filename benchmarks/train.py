"""A training step side by side: this laboratory's program against a plain eager PyTorch GPT, on one core.

    pip install -e '.[bench]'
    python benchmarks/train.py [--seconds 60]

Both train the same architecture (pre-norm, learned positions, GELU, tied head, no biases) with AdamW and clipped
gradients in float32, on random tokens. Rounds of the two take turns, so that a busy machine is so for both; each one's
median round counts. Ends with 1 where the laboratory does less than 1.2 times PyTorch's tokens a second at a size.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable

if hasattr(os, "sched_setaffinity"):
    # Before JAX and PyTorch start their threads.
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})

import jax
import numpy as np
import torch
from gpt import GPT

from scaling.accounting import count_params, flops_per_token
from scaling.config import ModelConfig
from scaling.models import multipliers
from scaling.training.optimizers import Settings
from scaling.training.schedules import NEVER, Schedule
from scaling.training.step import Hyper, program

GOAL = 1.2
PLAIN = {"feed_forward": "gelu", "positions": "learned", "qk_norm": False, "tied_head": True}
SIZES = {
    "4 layers, width 128": (
        ModelConfig(
            layers=4, width=128, heads=4, kv_heads=4, ffn_width=512, vocabulary=256, sequence_length=256, **PLAIN
        ),
        16,
    ),
    "28.8k parameters": (
        ModelConfig(layers=2, width=32, heads=2, kv_heads=2, ffn_width=96, vocabulary=256, sequence_length=64, **PLAIN),
        16,
    ),
}
Step = Callable[[int], None]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60, help="for each size, of all rounds")
    parser.add_argument("--size", choices=SIZES, action="append", help="one of the two")
    given = parser.parse_args()
    torch.set_num_threads(1)
    peak = peak_flops()
    print(f"one core, {peak / 1e9:.0f} GFLOP/s in NumPy's product of two 1024 x 1024 matrices")
    print(f"torch {torch.__version__}, jax {jax.__version__}")
    reached = []
    for name in given.size or SIZES:
        model, sequences = SIZES[name]
        tokens = sequences * model.sequence_length
        print(
            f"\n{name}: {count_params(model).total:,} parameters, {sequences} x {model.sequence_length} tokens a step"
        )
        speeds = side_by_side(
            {"PyTorch": peer(model, sequences), "this": ours(model, sequences)}, tokens, given.seconds
        )
        flops = flops_per_token(model)
        for one, speed in speeds.items():
            counts = {"6N": flops.six_n, "causal": flops.causal, "exact": flops.exact}
            shares = ", ".join(f"{key} {100 * speed * count / peak:.1f}%" for key, count in counts.items())
            print(f"  {one:8} {speed:9,.0f} tokens/s   {speed / speeds['PyTorch']:.2f}   MFU {shares}")
        reached.append(speeds["this"] / speeds["PyTorch"] >= GOAL)
    return 0 if all(reached) else 1


def peak_flops() -> float:
    """FLOPs a second of the matrix product that NumPy calls."""
    square = np.random.default_rng(0).standard_normal((1024, 1024)).astype(np.float32)
    best = float("inf")
    for _ in range(8):
        started = time.process_time()
        square @ square
        best = min(best, time.process_time() - started)
    return 2 * 1024**3 / best


def side_by_side(ways: dict[str, Step], tokens: int, seconds: float) -> dict[str, float]:
    """Median tokens a CPU second of each, in rounds that take turns."""
    counts = {}
    for name, step in ways.items():
        step(4)
        started = time.process_time()
        step(4)
        counts[name] = max(1, round(seconds / 20 / ((time.process_time() - started) / 4)))
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(10):
        for name, step in ways.items():
            started = time.process_time()
            step(counts[name])
            found[name].append(counts[name] * tokens / (time.process_time() - started))
    return {name: statistics.median(speeds) for name, speeds in found.items()}


def ours(model: ModelConfig, sequences: int) -> Step:
    compiled = program(model)
    settings = Settings(0.9, 0.95, 1e-8, 0.95, 0.1, 0.0, 1.0)
    hyper = Hyper(Schedule(1e-3, 50.0, NEVER, 1.0, 1.0), settings, multipliers(model), NEVER)
    batches = np.random.default_rng(0).integers(0, 256, (64, sequences, model.sequence_length + 1)).astype(np.int32)
    state = compiled.initialise(0)

    def step(count: int) -> None:
        nonlocal state
        while count:
            now = min(count, len(batches))
            state, losses = compiled.train(state, batches, now, hyper)
            count -= now
        jax.block_until_ready(losses)

    return step


def peer(model: ModelConfig, sequences: int) -> Step:
    torch.manual_seed(0)
    gpt = GPT(model.layers, model.width, model.heads, model.ffn_width, model.vocabulary, model.sequence_length)
    optimizer = torch.optim.AdamW(gpt.parameters(), lr=1e-3, betas=(0.9, 0.95), weight_decay=0.1, fused=True)
    batches = torch.randint(
        0, 256, (64, sequences, model.sequence_length + 1), generator=torch.Generator().manual_seed(0)
    )

    def step(count: int) -> None:
        for index in range(count):
            batch = batches[index % len(batches)]
            optimizer.zero_grad(set_to_none=True)
            gpt.loss(batch[:, :-1], batch[:, 1:]).backward()
            torch.nn.utils.clip_grad_norm_(gpt.parameters(), 1.0)
            optimizer.step()

    return step


if __name__ == "__main__":
    raise SystemExit(main())
