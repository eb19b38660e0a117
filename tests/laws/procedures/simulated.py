"""Raw sweeps and training curves of planted laws."""

from typing import Any

import numpy as np

from scaling.laws.forms.schedule import annealing_areas
from scaling.laws.procedures.cells import Cell
from tests.laws import planted

Columns = dict[str, list[Any]]
RATE = {"coefficient": 1.79, "params_exponent": -0.713, "tokens_exponent": 0.307}
BATCH = {"coefficient": 0.58, "tokens_exponent": 0.571}
HILL = {"E": 1.7, "A": 400.0, "alpha": 0.34, "B": 410.0, "beta": 0.28}
CURVE = {"E": 2.6, "A": 0.55, "alpha": 0.45, "C": 0.35}
STEPS = 6000


def rise(away: Any, curvature: float, skew: float) -> Any:
    """ln L above its least: H away^2 / 2, or steeper on the high side."""
    if skew == 0:
        return curvature * away**2 / 2
    return curvature * (np.exp(skew * away) - skew * away - 1) / skew**2


def cell(
    generator: np.random.Generator,
    hypers: int = 1,
    settings: int = 5,
    seeds: int = 1,
    noise: float = 0.0,
    curvature: float = 0.02,
    skew: float = 0.0,
) -> Cell:
    """ln L of least 0, at up to half a step of 2 from the middle of a grid in each of one or two hyper-parameters."""
    steps = (np.arange(settings) - settings // 2) * np.log(2)
    logs = np.stack(np.meshgrid(*[steps] * hypers), axis=-1).reshape(-1, hypers).repeat(seeds, axis=0)
    away = logs - generator.uniform(-0.5, 0.5, size=hypers)
    log_loss = rise(away, curvature, skew).sum(axis=1) + (0.3 * curvature * away.prod(axis=1) if hypers == 2 else 0.0)
    return Cell(logs, log_loss + noise * generator.standard_normal(len(log_loss)), np.ones(len(log_loss)))


def sweep(
    seed: int = 0,
    noise: float = 0.0,
    seeds: int = 1,
    stray: float = 0.0,
    shift: float = 0.8,
    skew: float = 0.0,
    settings: int = 5,
    sizes: Any = (1e7, 3e7, 1e8, 3e8),
    tokens: Any = (1e9, 4e9, 1.6e10),
) -> Columns:
    """Step Law's optima under a chinchilla law: a grid of steps of 2, off by up to `shift` in each logarithm.

    `stray`: standard deviation of ln h* of a cell about its law.
    """
    generator = np.random.default_rng(seed)
    found: Columns = {
        name: [] for name in ("params", "tokens", "learning_rate", "batch_size", "seed", "trajectory", "loss")
    }
    steps = (np.arange(settings) - settings // 2) * np.log(2)
    for n in sizes:
        for d in tokens:
            rate, batch = best_rate(n, d), BATCH["coefficient"] * d ** BATCH["tokens_exponent"]
            rate, batch = (value * np.exp(stray * generator.standard_normal()) for value in (rate, batch))
            for x in steps + generator.uniform(-shift, shift):
                for y in steps + generator.uniform(-shift, shift):
                    for own in range(seeds):
                        above = rise(x, 0.02, skew) + rise(y, 0.012, skew) - 0.006 * x * y
                        loss = planted.loss(n, d, HILL) * np.exp(above + noise * generator.standard_normal())
                        values = (n, d, rate * np.exp(x), batch * np.exp(y), own, len(found["loss"]), loss)
                        for name, value in zip(found, values, strict=True):
                            found[name].append(value)
    return found


def best_rate(params: float, tokens: float) -> float:
    return float(RATE["coefficient"] * params ** RATE["params_exponent"] * tokens ** RATE["tokens_exponent"])


def training_curves(
    sizes: Any, noise: float = 0.0, common: float = 0.0, seed: int = 0, ratios: Any = None, seeds: int = 1
) -> Columns:
    """Every size of the planted chinchilla law from one token a parameter on."""
    generator = np.random.default_rng(seed)
    ratios = np.geomspace(1, 300, 60) if ratios is None else ratios
    found: Columns = {name: [] for name in ("trajectory", "params", "tokens", "loss")}
    for n in sizes:
        for own in range(seeds):
            scatter = common * generator.standard_normal() + noise * generator.standard_normal(len(ratios))
            found["trajectory"] += [f"n{n:.0f}-s{own}"] * len(ratios)
            found["params"] += [float(n)] * len(ratios)
            found["tokens"] += (n * ratios).tolist()
            found["loss"] += (planted.loss(n, n * ratios) * np.exp(scatter)).tolist()
    return found


def schedules(steps: int = STEPS, peak: float = 1e-3, warmup: int = 200) -> dict[str, np.ndarray]:
    """Rates of every step after a linear warm-up: cosine, decay over the last fifth or all of it, a drop, constant."""
    step = np.arange(1, steps + 1)
    rise = peak * np.minimum(step / warmup, 1)
    after = np.clip((step - warmup) / (steps - warmup), 0, 1)
    return {
        "cosine": rise * (0.55 + 0.45 * np.cos(np.pi * after)),
        "decay": rise * np.where(step < 0.8 * steps, 1, 1 - 0.9 * (step / steps - 0.8) / 0.2),
        "linear": rise * (1 - 0.9 * after),
        "drop": rise * np.where(step < 0.6 * steps, 1, 0.3),
        "constant": rise,
    }


def schedule_loss(rates: np.ndarray, momentum: float) -> np.ndarray:
    forward, annealed = annealing_areas(rates, momentum, "peak")
    return CURVE["E"] + CURVE["A"] / forward ** CURVE["alpha"] - CURVE["C"] * annealed


def loss_curves(
    *names: str, momentum: float = 0.997, every: int = 50, noise: float = 0.0, common: float = 0.0, seed: int = 0
) -> Columns:
    """Rows (trajectory, step, rate, loss) of every `every`th step."""
    generator = np.random.default_rng(seed)
    found: Columns = {name: [] for name in ("trajectory", "step", "rate", "loss")}
    for index, name in enumerate(names):
        rates = schedules()[name]
        at = np.arange(every, STEPS + 1, every)
        scatter = common * generator.standard_normal() + noise * generator.standard_normal(len(at))
        found["trajectory"] += [f"{name}-{index}"] * len(at)
        found["step"] += at.tolist()
        found["rate"] += rates[at - 1].tolist()
        found["loss"] += (schedule_loss(rates, momentum)[at - 1] * np.exp(scatter)).tolist()
    return found
