"""Eight learning rates of one small model: one shared program against eight compilations, and stacked under vmap.

    python benchmarks/one_program.py [--steps 500]

Every number that does not change a shape is traced, so that runs of one shape share a compiled program. CPU seconds of
this process on one core, with no compilation cache on disk. Ends with 1 where the shared program takes more than a
quarter of the time of eight compilations.
"""

import argparse
import os
import time
from typing import Any

if hasattr(os, "sched_setaffinity"):
    # Before JAX starts its threads: a second core would hide what a first one has to do.
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})

import jax
import numpy as np

from scaling.accounting import count_params
from scaling.config import ModelConfig
from scaling.models import multipliers
from scaling.training.optimizers import Settings
from scaling.training.population import population, stacked
from scaling.training.schedules import NEVER, Schedule
from scaling.training.step import Hyper, program

MODEL = ModelConfig(
    layers=2, width=32, heads=2, kv_heads=2, ffn_width=64, vocabulary=257, sequence_length=64, tied_head=True
)
SEQUENCES = 4
RATES = tuple(1e-3 * 2**power for power in range(8))
DISPATCH = 50
GOAL = 0.25


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=500)
    steps = parser.parse_args().steps
    shape = (steps // DISPATCH, DISPATCH, SEQUENCES, MODEL.sequence_length + 1)
    text = np.random.default_rng(0).integers(0, 257, shape).astype(np.int32)
    tokens = SEQUENCES * MODEL.sequence_length
    print(f"{count_params(MODEL).total:,} parameters, {len(RATES)} rates x {steps} steps of {tokens} tokens")
    ways = (
        ("eight compilations", apart),
        ("one program, one after another", shared),
        ("one program, stacked", together),
    )
    seconds, losses = {}, {}
    for name, way in ways:
        jax.clear_caches()
        started = time.process_time()
        losses[name] = way(text)
        seconds[name] = time.process_time() - started
        share = seconds[name] / seconds["eight compilations"]
        print(f"{name:32} {seconds[name]:7.1f} s   {share:5.2f} of eight compilations")
    alone, same, stack = losses.values()
    equal = bool(np.all(alone == same))
    print(f"last losses of one program and of eight: {'equal to the last bit' if equal else 'DIFFERENT'}")
    gaps = [f"{rate:g} {gap:.0e}" for rate, gap in zip(RATES, abs(stack - alone), strict=True)]
    print(f"stacked, by rate: {', '.join(gaps)}")
    _, once, _ = seconds.values()
    return 0 if once <= GOAL * seconds["eight compilations"] and equal else 1


def hyper(rate: float) -> Hyper:
    settings = Settings(0.9, 0.99, 1e-8, 0.95, 0.1, 0.0, 1.0)
    return Hyper(Schedule(rate, 50.0, NEVER, 1.0, 1.0), settings, multipliers(MODEL), NEVER)


def trained(compiled: Any, rate: float, text: np.ndarray[Any, Any]) -> float:
    state, losses = compiled.initialise(0), np.zeros(1)
    for batches in text:
        state, losses = compiled.train(state, batches, DISPATCH, hyper(rate))
    return float(losses[-1])


def apart(text: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    found = []
    for rate in RATES:
        jax.clear_caches()
        found.append(trained(program(MODEL), rate, text))
    return np.array(found)


def shared(text: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    compiled = program(MODEL)
    return np.array([trained(compiled, rate, text) for rate in RATES])


def together(text: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    count, losses = len(RATES), np.zeros((len(RATES), 1))
    compiled = population(MODEL)
    state = compiled.initialise(np.zeros(count, np.int32), np.full(count, 0.9, np.float32))
    alive: Any = np.ones(count, bool)
    for batches in text:
        every = np.broadcast_to(batches, (count, *batches.shape))
        counts, limits = np.full(count, DISPATCH), np.full(count, np.inf, np.float32)
        state, losses, alive = compiled.train(
            state, every, DISPATCH, counts, stacked([hyper(rate) for rate in RATES]), limits, alive
        )
    return np.asarray(losses)[:, -1]


if __name__ == "__main__":
    raise SystemExit(main())
