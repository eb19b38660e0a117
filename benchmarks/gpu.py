"""Training on one GPU: this laboratory in bfloat16 against PyTorch with torch.compile, and many small models at once.

    pip install -e '.[bench]' jax[cuda13]
    python benchmarks/gpu.py [--seconds 540] [--only this:1B ...]

Each measurement is a process of its own, so that none finds another's memory taken; all together stay below --seconds,
and none takes more than a third of them.
Model FLOP utilisation is of --peak, by default the 989 TFLOP/s of dense bfloat16 that an H100 or H200 is said to do.
Sizes are of one architecture (pre-norm, learned positions, GELU, tied head, no biases), trained with AdamW and clipped
gradients on random tokens; PyTorch computes under autocast with its fused optimiser and flash attention.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from scaling.accounting import count_params, flops_per_token
from scaling.config import ComputeConfig, ModelConfig
from scaling.models import multipliers
from scaling.training import population as stacks
from scaling.training.optimizers import Settings
from scaling.training.schedules import NEVER, Schedule
from scaling.training.step import Hyper, program

PLAIN: dict[str, Any] = {"feed_forward": "gelu", "positions": "learned", "qk_norm": False, "tied_head": True}


def sized(layers: int, width: int, head: int, vocabulary: int, length: int) -> ModelConfig:
    return ModelConfig(
        layers=layers, width=width, heads=width // head, kv_heads=width // head, ffn_width=4 * width,
        vocabulary=vocabulary, sequence_length=length, **PLAIN,
    )  # fmt: skip


SIZES = {
    "10M": (sized(8, 320, 64, 8_192, 1024), 64),
    "100M": (sized(12, 768, 64, 50_304, 1024), 32),
    "1B": (sized(24, 1_792, 128, 50_304, 2048), 8),
}
"""Model and sequences a batch."""
SMALL = {"1M": (sized(5, 128, 32, 256, 256), 8, (4, 16, 64)), "10M": (sized(8, 320, 64, 8_192, 256), 8, (4, 16))}
"""Model, sequences a batch, and trajectories at once."""
RUNS = (
    "peak",
    "agreement",
    *(f"{who}:{size}" for size in SIZES for who in ("this", "torch")),
    *(f"population:{size}" for size in SMALL),
)
MEASURED = 4.0
"""Seconds of steps that a speed is the median of."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=540, help="that everything may take")
    parser.add_argument("--peak", type=float, default=989e12, help="FLOP/s that the card is said to do")
    parser.add_argument("--only", nargs="*", choices=RUNS, default=RUNS, metavar="RUN", help=", ".join(RUNS))
    parser.add_argument("--one", choices=RUNS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(measured(given.one)))
        return 0
    end, found = time.monotonic() + given.seconds, {}
    for run in given.only:
        began = time.monotonic()
        found[run] = apart(run, min(end - began, given.seconds / 3))
        print(f"{run:16} {told(run, found, given.peak)}   ({time.monotonic() - began:.0f} s)", flush=True)
    return 0 if all(one is not None for one in found.values()) else 1


def apart(run: str, seconds: float) -> dict[str, Any] | None:
    """What a process of its own says of `run`; None where it failed, or had no time left."""
    command = [sys.executable, __file__, "--one", run]
    environment = os.environ | {"XLA_PYTHON_CLIENT_MEM_FRACTION": "0.92"}
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=max(1.0, seconds), check=False
        )
    except subprocess.TimeoutExpired:
        return None
    for line in done.stderr.splitlines():
        if "attention" in line and "serve" in line:
            print(line)
    if done.returncode:
        print(done.stderr[-3000:])
        return None
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def told(run: str, found: dict[str, Any], peak: float) -> str:
    one = found[run]
    if one is None:
        return "not measured"
    kind, _, size = run.partition(":")
    if kind not in ("this", "torch"):
        return ", ".join(f"{key} {value}" for key, value in one.items())
    model, speed = SIZES[size][0], one["tokens_per_second"]
    flops = flops_per_token(model)
    counts = {"6N": flops.six_n, "causal": flops.causal, "exact": flops.exact}
    shares = ", ".join(f"{key} {100 * speed * count / peak:.1f}%" for key, count in counts.items())
    other = found.get(f"this:{size}") if kind == "torch" else None
    ratio = "" if other is None else f"   this / torch {other['tokens_per_second'] / speed:.2f}"
    compiled = f"{one['compile_seconds']:.0f} s to compile"
    if "draw_seconds" in one:
        compiled += f", {one['draw_seconds']:.0f} s to draw"
    return f"{count_params(model).total / 1e6:7.1f}M {speed:11,.0f} tokens/s   MFU {shares}, {compiled}{ratio}"


def measured(run: str) -> dict[str, Any]:
    kind, _, size = run.partition(":")
    measures: dict[str, Callable[..., dict[str, Any]]] = {
        "this": this,
        "torch": compiled_torch,
        "population": population,
    }
    return measures[kind](size) if size else {"peak": peak, "agreement": agreement}[kind]()


def speed(step: Callable[[], None], tokens: int) -> dict[str, Any]:
    """Median tokens a second of `step`, which waits for the device, after its first call, which compiles."""
    began = time.monotonic()
    step()
    first = time.monotonic() - began
    step()
    took: list[float] = []
    while sum(took) < MEASURED or len(took) < 3:
        began = time.monotonic()
        step()
        took.append(time.monotonic() - began)
    return {"tokens_per_second": tokens / statistics.median(took), "compile_seconds": first}


def this(size: str) -> dict[str, Any]:
    model, sequences = SIZES[size]
    steps = 4
    compiled = program(model)
    began = time.monotonic()
    state = jax.block_until_ready(compiled.initialise(0))
    drawn = time.monotonic() - began
    shape = (steps, sequences, model.sequence_length + 1)
    tokens = jax.device_put(np.random.default_rng(0).integers(0, model.vocabulary, shape).astype(np.int32))

    def step() -> None:
        nonlocal state
        state, losses = compiled.train(state, tokens, steps, hyper(model))
        jax.block_until_ready(losses)

    return speed(step, steps * sequences * model.sequence_length) | {"draw_seconds": drawn}


def compiled_torch(size: str) -> dict[str, Any]:
    import torch  # the extra bench, and seconds that the other processes need not spend
    from gpt import GPT

    model, sequences = SIZES[size]
    steps = 4
    torch.manual_seed(0)
    torch.set_float32_matmul_precision("high")
    gpt = GPT(model.layers, model.width, model.heads, model.ffn_width, model.vocabulary, model.sequence_length).cuda()
    optimizer = torch.optim.AdamW(gpt.parameters(), lr=1e-3, betas=(0.9, 0.95), weight_decay=0.1, fused=True)
    tokens = torch.randint(0, model.vocabulary, (steps, sequences, model.sequence_length + 1)).cuda()
    loss = torch.compile(gpt.loss)

    def step() -> None:
        for batch in tokens:
            optimizer.zero_grad(set_to_none=True)
            with torch.autocast("cuda", torch.bfloat16):
                found = loss(batch[:, :-1], batch[:, 1:])
            found.backward()
            torch.nn.utils.clip_grad_norm_(gpt.parameters(), 1.0)
            optimizer.step()
        torch.cuda.synchronize()

    return speed(step, steps * sequences * model.sequence_length)


def population(size: str) -> dict[str, Any]:
    """Steps a second of P trajectories together, over those of one alone, at some P: each compiles for itself."""
    model, sequences, together_at = SMALL[size]
    steps = 16
    shape = (steps, sequences, model.sequence_length + 1)
    tokens = np.random.default_rng(0).integers(0, model.vocabulary, shape).astype(np.int32)
    alone, batch = program(model), jax.device_put(tokens)
    state = alone.initialise(0)

    def one() -> None:
        nonlocal state
        state, losses = alone.train(state, batch, steps, hyper(model))
        jax.block_until_ready(losses)

    single = speed(one, steps)["tokens_per_second"]
    found: dict[str, Any] = {"alone": f"{single:.0f} steps/s"}
    together = stacks.population(model)
    for count in together_at:
        every = jax.device_put(np.broadcast_to(tokens, (count, *shape)))
        stack = together.initialise(np.arange(count, dtype=np.int32), np.full(count, 0.9, np.float32))
        rest = (
            np.int32(steps), np.full(count, steps, np.int32), stacks.stacked([hyper(model)] * count),
            np.full(count, np.inf, np.float32), np.ones(count, bool),
        )  # fmt: skip

        def several() -> None:
            nonlocal stack
            stack, losses, _ = together.train(stack, every, *rest)  # noqa: B023 - called in this turn alone
            jax.block_until_ready(losses)

        found[f"{count} at once"] = f"{speed(several, steps * count)['tokens_per_second'] / single:.2f}x"
    return found


def agreement() -> dict[str, Any]:
    """Largest difference in loss from float32 with attention by blocks, over twenty steps at 10M parameters."""
    model, steps = SIZES["10M"][0], 20
    text = np.random.default_rng(0).zipf(1.3, (steps, 8, model.sequence_length + 1)) % model.vocabulary
    ways = {
        "float32": ComputeConfig(precision="float32", attention="blocks"),
        "bfloat16, blocks": ComputeConfig(attention="blocks"),
        "bfloat16, cuDNN": ComputeConfig(),
        "rematerialised": ComputeConfig(remat="full"),
        "four parts": ComputeConfig(microbatch_tokens=2 * model.sequence_length),
    }
    losses = {}
    for name, compute in ways.items():
        compiled = program(model, compute=compute)
        with jax.default_matmul_precision("highest"):
            _, found = compiled.train(compiled.initialise(0), text.astype(np.int32), steps, hyper(model))
        losses[name] = np.asarray(found)
    base = losses.pop("float32")
    ends = {"first loss": f"{base[0]:.3f}", "last loss": f"{base[-1]:.3f}"}
    return ends | {name: f"{float(np.max(np.abs(found - base))):.1e}" for name, found in losses.items()}


def peak() -> dict[str, Any]:
    square = jax.random.normal(jax.random.key(0), (8192, 8192), jnp.bfloat16)
    times = 16
    chain = jax.jit(lambda a: jax.lax.fori_loop(0, times, lambda _, x: x @ a * 0.01, a))

    def products() -> None:
        jax.block_until_ready(chain(square))

    found = speed(products, times * 2 * 8192**3)
    return {"TFLOP/s": round(found["tokens_per_second"] / 1e12), "device": jax.devices()[0].device_kind}


def hyper(model: ModelConfig) -> Hyper:
    settings = Settings(0.9, 0.95, 1e-8, 0.95, 0.1, 0.0, 1.0)
    return Hyper(Schedule(1e-3, 50.0, NEVER, 1.0, 1.0), settings, multipliers(model), NEVER)


if __name__ == "__main__":
    raise SystemExit(main())
