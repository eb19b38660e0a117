"""Coordinate check: flat in width under muP and CompleteP, in depth under CompleteP alone, and no multiplier to spare.

Each regime lets some of the multipliers matter: Adam with a small epsilon is blind to the gradients' scale, one with an
epsilon as large as the gradients is not; a strong decay shows who decays; attention must first learn to copy.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from scaling.config import ModelConfig, Optimizer, Parameterization
from scaling.models.parameterization import ONE, RULES, Powers, Rule, multipliers
from scaling.training.coordinate_check import Scales, coordinates, growth
from scaling.training.optimizers import Settings
from scaling.training.schedules import NEVER, Schedule
from scaling.training.step import Hyper

WIDTHS, DEPTHS, VOCABULARY = (32, 256), (2, 8), 64
NEVER_CLIP = 1e9


@dataclass(frozen=True, eq=False)
class Regime:
    """How models are trained, which coordinates are looked at, and how far their slopes may be from flat."""

    scale: dict[str, float]
    """Activation -> largest |slope| of ln scale."""
    change: dict[str, float]
    """The same for what training changed of it."""
    kind: Optimizer = "adamw"
    epsilon: float = 1e-8
    weight_decay: float = 0.0
    rate: float = 2e-2
    steps: int = 10
    copying: bool = False
    seeds: tuple[int, ...] = (0, 1)


STREAM = {"stream": 0.2, "feed_forward": 0.25}
FEATURES = Regime({"embedding": 0.1, "position": 0.1} | STREAM, {"embedding": 0.15, "logits": 0.3} | STREAM)
ROLES = {f"parameters: {role}": 0.25 for role in ("embedding", "position", "gain", "final_gain", "head")}
GRADIENTS = Regime({}, ROLES | {"attention": 0.15, "feed_forward": 0.15}, epsilon=0.1, rate=1e-2)
DECAY = Regime({"feed_forward": 0.2, "attention": 0.2}, {}, weight_decay=5.0, rate=1e-2)
ATTENTION = Regime({"scores": 0.13}, {}, rate=1e-2, steps=120, copying=True, seeds=(0, 1, 2))
MUON = Regime({"stream": 0.25}, {"stream": 0.25}, kind="muon")
MUON_DECAY = Regime({"stream": 0.25}, {}, kind="muon", weight_decay=5.0)
DEEP = Regime({"stream": 0.45}, {"stream": 0.45})
DEEP_GRADIENTS = Regime({}, {"parameters: hidden": 0.3, "parameters: gain": 0.3}, epsilon=0.1)

WATCHING: dict[tuple[str, str | None], Regime] = {
    ("initial_std", "embedding"): FEATURES,
    ("initial_std", "position"): FEATURES,
    ("initial_std", "head"): GRADIENTS,
    ("learning_rate", "hidden"): FEATURES,
    ("matrix_learning_rate", "hidden"): MUON,
    ("weight_decay", "hidden"): DECAY,
    ("matrix_weight_decay", "hidden"): MUON_DECAY,
    **{("epsilon", role): GRADIENTS for role in ("embedding", "position", "hidden", "gain", "final_gain", "head")},
    ("output", None): FEATURES,
    ("attention", None): ATTENTION,
}
"""Multiplier of the width -> the regime in which its absence shows."""
WATCHING_DEPTH = {("residual", None): DEEP, ("epsilon", "hidden"): DEEP_GRADIENTS, ("epsilon", "gain"): DEEP_GRADIENTS}


def model(width: int, layers: int, rule: str) -> ModelConfig:
    scale = width / WIDTHS[0]
    own = Parameterization(rule=rule, width_ratio=scale, depth_ratio=layers / DEPTHS[0], head_ratio=scale)
    return ModelConfig(
        layers=layers, width=width, heads=2, kv_heads=2, ffn_width=2 * width, vocabulary=VOCABULARY,
        sequence_length=16, positions="learned", parameterization=own,
    )  # fmt: skip


def batches(regime: Regime) -> np.ndarray[Any, Any]:
    """One batch again and again, or new sequences that repeat themselves."""
    draw = np.random.default_rng(0)
    if regime.copying:
        return np.tile(draw.integers(0, VOCABULARY, (regime.steps, 8, 6)), (1, 1, 3))[:, :, :17].astype(np.int32)
    return np.repeat(draw.integers(0, VOCABULARY, (1, 8, 17)).astype(np.int32), regime.steps, axis=0)


def slopes(regime: Regime, rule: str, table: Rule, axis: str) -> tuple[Scales, Scales]:
    sizes = WIDTHS if axis == "width" else DEPTHS
    models = [model(n, DEPTHS[0], rule) if axis == "width" else model(WIDTHS[0], n, rule) for n in sizes]
    found = []
    for one in models:
        settings = Settings(0.9, 0.95, regime.epsilon, 0.95, regime.weight_decay, 0.0, NEVER_CLIP)
        hyper = Hyper(Schedule(regime.rate, 1.0, NEVER, 1.0, 1.0), settings, multipliers(one, table), NEVER)
        # All rules and tables share the programs of the plain shape.
        plain = one.model_copy(update={"parameterization": Parameterization()})
        found.append(coordinates(plain, regime.kind, hyper, batches(regime), regime.seeds))
    return growth(sizes, [scale for scale, _ in found]), growth(sizes, [change for _, change in found])


def problems(regime: Regime, rule: str, table: Rule | None = None, axis: str = "width") -> dict[str, float]:
    """Coordinates that are not flat, with their slopes."""
    scale, change = slopes(regime, rule, table or RULES[rule], axis)
    bad = {f"scale of {name}": scale[name] for name, most in regime.scale.items() if abs(scale[name]) > most}
    return bad | {f"change of {n}": change[n] for n, most in regime.change.items() if abs(change[n]) > most}


def without(rule: str, field: str, role: str | None, axis: str = "width") -> Rule:
    """The rule with one of its multipliers at 1: in the width, or in the depth."""
    table, at_one = RULES[rule], ONE
    if role is not None:
        entries = dict(getattr(table, field))
        if axis == "depth":
            at_one = Powers(entries[role].width, 0.0)
        return replace(table, **{field: entries | {role: at_one}})
    return replace(table, **{field: 0.0 if field == "attention" else at_one})


def multipliers_of(rule: str, axis: str) -> set[tuple[str, str | None]]:
    """Every multiplier of the rule that follows the width or the depth."""
    found: set[tuple[str, str | None]] = set()
    for field, value in vars(RULES[rule]).items():
        if isinstance(value, dict):
            found |= {(field, role) for role, powers in value.items() if getattr(powers, axis)}
        elif isinstance(value, Powers):
            found |= {(field, None)} if getattr(value, axis) else set()
        elif field == "attention" and value and axis == "width":
            found.add((field, None))
    return found


def test_every_multiplier_is_watched() -> None:
    assert multipliers_of("mup", "width") == multipliers_of("completep", "width") == WATCHING.keys()
    assert multipliers_of("completep", "depth") == WATCHING_DEPTH.keys()
    assert (
        not multipliers_of("standard", "width") | multipliers_of("standard", "depth") | multipliers_of("mup", "depth")
    )


REGIMES = list(dict.fromkeys(WATCHING.values()))
"""The first in CI, the others in full."""


@pytest.mark.parametrize("rule", ["mup", "completep"])
@pytest.mark.parametrize("regime", [REGIMES[0], *(pytest.param(one, marks=pytest.mark.full) for one in REGIMES[1:])])
def test_activations_are_flat_in_width(rule: str, regime: Regime) -> None:
    assert not problems(regime, rule)


@pytest.mark.parametrize(
    ("field", "role"),
    [pytest.param(*one, marks=() if regime == REGIMES[0] else pytest.mark.full) for one, regime in WATCHING.items()],
    ids=str,
)
def test_no_multiplier_can_be_spared_in_width(field: str, role: str | None) -> None:
    assert problems(WATCHING[field, role], "mup", without("mup", field, role))


def test_activations_grow_in_width_under_the_standard_rule() -> None:
    scale, change = slopes(FEATURES, "standard", RULES["standard"], "width")
    for name in ("stream", "attention", "feed_forward"):
        assert scale[name] > 0.5
        assert change[name] > 0.5


@pytest.mark.full
@pytest.mark.parametrize("regime", [DEEP, DEEP_GRADIENTS])
def test_activations_are_flat_in_depth_under_completep(regime: Regime) -> None:
    assert not problems(regime, "completep", axis="depth")


@pytest.mark.full
@pytest.mark.parametrize("rule", ["standard", "mup"])
def test_activations_grow_in_depth_under_the_other_rules(rule: str) -> None:
    scale, change = slopes(DEEP, rule, RULES[rule], "depth")
    assert min(scale["stream"], change["stream"]) > 0.6


@pytest.mark.full
@pytest.mark.parametrize(("field", "role"), list(WATCHING_DEPTH), ids=str)
def test_no_multiplier_can_be_spared_in_depth(field: str, role: str | None) -> None:
    assert problems(WATCHING_DEPTH[field, role], "completep", without("completep", field, role, "depth"), "depth")
