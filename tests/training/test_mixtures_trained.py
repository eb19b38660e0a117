"""Trained on mixtures: each domain's loss falls with its share, and a mixture law is fitted to the observations."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from scaling import laws
from scaling.config import DataConfig
from scaling.data import Tokens, prepare, save
from scaling.records import Job, Observation, RunDirectory, shares
from scaling.studies.answers import table_of
from scaling.training.job import run
from tests.conftest import trajectory_of

WEIGHTS = (0.0, 0.1, 0.3, 0.5, 1.0)
"""Of the domain of capitals, in the mixtures that are trained on."""
STEPS = 80


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Tokens:
    """Two domains that have no character in common, each easy to learn."""
    folder = tmp_path_factory.mktemp("domains")
    for name, letters in (("capitals", "ABCD"), ("digits", "1234")):
        (folder / name).mkdir()
        for number in range(40):
            drawn = np.random.default_rng(number).choice(list(letters), 300)
            (folder / name / f"{number}.txt").write_text("".join(drawn))
    mixture = {name: {"corpus": str(folder / name)} for name in ("capitals", "digits")}
    return prepare(DataConfig.model_validate({"mixture": mixture, "validation_tokens": 2400}), seed=0)


@pytest.fixture(scope="module")
def rows(mixed: Tokens, compilation_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Observation]:
    folder = tmp_path_factory.mktemp("mixtures")
    save(mixed, folder / "tokens")
    trajectories = [
        trajectory_of(mixed, STEPS, mixture=shares({"capitals": weight, "digits": 1 - weight})) for weight in WEIGHTS
    ]
    settings = {
        "run_dir": str(folder / "run"),
        "tokens_dir": str(folder / "tokens"),
        "steps_per_dispatch": 8,
        "checkpoint_seconds": 3600.0,
        "keep_forks": "last",
        "compilation_cache": str(compilation_cache),
    }
    run(Job.model_validate({"name": "job", "settings": settings, "trajectories": trajectories}))
    directory = RunDirectory(folder / "run")
    return sorted(
        (row for one in trajectories for row in directory.trajectory(one.id).observations()),
        key=lambda row: row.domains["capitals"].share,
    )


def test_a_horizon_says_what_it_has_seen_of_each_domain(rows: list[Observation], mixed: Tokens) -> None:
    assert [row.domains["capitals"].share for row in rows] == list(WEIGHTS)
    for row in rows:
        assert sum(one.tokens for one in row.domains.values()) == pytest.approx(row.tokens)
        for record in mixed.record.domains:
            one = row.domains[record.name]
            assert one.unique_tokens == record.train_tokens
            assert one.epochs == pytest.approx(one.share * STEPS * 64 / record.train_tokens)
    assert rows[0].unique_tokens == mixed.record.domains[1].train_tokens
    assert rows[3].unique_tokens == mixed.record.train_tokens


def test_the_loss_is_the_mean_of_the_domains_by_tokens(rows: list[Observation], mixed: Tokens) -> None:
    counts = np.array([one.validation_tokens for one in mixed.record.domains], dtype=float)
    counts[0] -= 1  # the stream's first token is no target
    for row in rows:
        mean = np.average([row.domains[one.name].loss for one in mixed.record.domains], weights=counts)
        assert row.loss == pytest.approx(mean, rel=1e-9)


def test_a_domain_is_learnt_as_far_as_it_is_seen(rows: list[Observation]) -> None:
    """ln 4 is what is left of four letters that are drawn evenly; unseen ones cost as much as ever."""
    capitals = [row.domains["capitals"].loss for row in rows]
    digits = [row.domains["digits"].loss for row in rows]
    for losses in (capitals[::-1], digits):
        assert losses[0] == pytest.approx(np.log(4), rel=0.15)
        assert losses[-1] > 4
    assert np.all(np.diff(capitals) < 0.05)
    assert np.all(np.diff(digits) > -0.05)


def test_the_law_of_mixtures_is_fitted_to_the_table(rows: list[Observation]) -> None:
    table = table_of(rows)
    names = ("share_capitals", "share_digits")
    assert {*names, "epochs_digits", "loss_capitals", "loss_se_capitals", "bits_per_byte_capitals"} <= set(
        table.columns
    )
    law = laws.fit(table, "mixture", domains=names, columns={"loss": "loss_capitals"}, resamples=20)
    assert law.params["t_share_capitals"] < -1, "capitals help with capitals"
    assert law.loss(share_capitals=0.8, share_digits=0.2) < law.loss(share_capitals=0.2, share_digits=0.8)
    assert pl.Series(table["role"]).unique().to_list() == ["fit"]
