"""What the terminal says of a plan: by trajectory where they are few, by shape, skipped, cost, and what is done."""

import json
import re
from pathlib import Path

import pytest

from tests.studies.terminal import Terminal

LADDER = {"design": "ladder", "widths": [8, 16], "tokens_per_param": [1, 2]}


def test_few_trajectories_are_listed_and_then_their_shapes(tiny, terminal: Terminal) -> None:
    said = terminal.done("plan", tiny(sweep=LADDER))
    assert "w8-l1-s0-" in said
    assert "rate  batch" in said
    assert "w16-l1  10,848             1         2" in said
    assert "plan: 2 trajectories of 2 sizes, 4 horizons, " in said
    assert "device hours" not in said


def test_many_are_told_by_shape(tiny, terminal: Terminal) -> None:
    study = tiny(sweep=LADDER | {"factors": {"training.learning_rate": [1e-3 * 1.1**rung for rung in range(30)]}})
    said = terminal.done("plan", study)
    assert "-s0-" not in said
    assert "by shape, for there are 60 trajectories; --json has every one" in said
    assert len(json.loads(terminal.done("plan", study, "--json"))["trajectories"]) == 60


def test_skipped_cells_come_by_reason_with_counts(tiny, terminal: Terminal) -> None:
    rules = [
        {"when": {"width": 16, "tokens_per_param": {"above": 1}}, "because": "too dear"},
        {"when": {"learning_rate": {"below": 2e-3}}, "because": "hopeless"},
    ]
    factors = {"training.learning_rate": [1e-3 * 1.5**rung for rung in range(6)]}
    said = terminal.done("plan", tiny(sweep=LADDER | {"factors": factors, "skip": rules}))
    assert "skipped: 6 cells, because: too dear (width 16; tokens_per_param 2; training.learning_rate 0.001 to" in said
    assert "because: hopeless (width 8, 16; tokens_per_param 1, 2; training.learning_rate 0.001, 0.0015)" in said


def test_a_price_makes_a_cost(tiny, terminal: Terminal) -> None:
    study = tiny(sweep=LADDER)
    speed = ["--engine.expected-flops-per-second", "1e5"]
    said = terminal.done("plan", study, "--engine.price-per-device-hour", "3", *speed, "--engine.mesh.data", "2")
    hours, cost = re.search(r"about (\S+) device hours, that is (\S+) at 3 each", " ".join(said.split())).groups()
    assert float(cost) == pytest.approx(3 * float(hours), rel=0.01)


def test_out_says_what_is_done_and_refuses_what_is_no_run(
    tiny, tiny_shared, finished: Path, terminal: Terminal, tmp_path: Path
) -> None:
    said = terminal.done("plan", tiny_shared(), "--out", finished)
    assert "done: 11 of 11 horizons; left: 0.00e+00 FLOPs, about 0 s" in said
    assert "expected  done" in said
    more = tiny_shared(sweep={"budgets": [2e8, 4e8, 8e8, 1.6e9]})
    assert json.loads(terminal.done("plan", more, "--out", finished, "--json"))["done"]["horizons"] == 11
    assert "is " in terminal.refused("plan", tiny(sweep=LADDER), "--out", tmp_path / "none")


def test_the_fields_of_every_design_are_listed_once(tiny, terminal: Terminal) -> None:
    said = terminal.done("plan", tiny(), "--help-all")
    assert said.count("--sweep.design ") == 1
    assert "random, quasirandom: Cells that are drawn" in said
    assert "--sweep.budgets" in said
